//! Others, who edit the same repository meanwhile: the bookmark moves, branches come, and the change
//! that takes the edits of the mount gets edits of theirs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::git::git_text;
use crate::support::stranger::{advance, edit, file};
use crate::support::world::World;

/// The folder that they keep to.
pub const FOLDER: &str = "theirs";
/// Between two of their edits: several fall between two pushes of ours, and between others none.
const PAUSE: Duration = Duration::from_millis(100);

/// Goes on until it is done; how many edits there were of each kind.
pub fn meddle(world: &World, source: &Path, done: &AtomicBool) -> [u64; 3] {
    let mut edits = [0; 3];
    let bare = world.bare("app");
    for number in 0_u64.. {
        if done.load(Ordering::SeqCst) {
            break;
        }
        let text = format!("{number}\n");
        match number % 3 {
            0 => {
                let path = format!("{FOLDER}/bookmark-{number}");
                advance(world, "app", "main", &[file(&path, &text)]);
            }
            1 => {
                let branch = format!("HEAD:refs/heads/theirs-{number}");
                let message = format!("theirs {number}");
                git_text(
                    source,
                    &["commit", "--quiet", "--allow-empty", "-m", &message],
                );
                git_text(
                    source,
                    &["push", "--quiet", bare.to_str().unwrap(), &branch],
                );
            }
            _ => {
                let status = world.repo_status("app");
                if let Some(change) = status["change"]["id"].as_str() {
                    let path = format!("{FOLDER}/change-{number}");
                    edit(world, "app", change, &[file(&path, &text)]);
                } else {
                    continue;
                }
            }
        }
        edits[usize::try_from(number % 3).unwrap()] += 1;
        thread::sleep(PAUSE);
    }
    edits
}
