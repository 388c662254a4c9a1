//! The README's five minutes, run as they stand.

use std::fs;
use std::path::Path;

use crate::support::kernel;
use crate::support::process::run;
use crate::support::world::World;

/// The code blocks of the README's section of that name.
fn blocks(section: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(readme).unwrap();
    let start = text.find(&format!("\n## {section}\n")).unwrap() + 1;
    let end = text[start + 3..]
        .find("\n## ")
        .map_or(text.len(), |end| start + 3 + end);
    let pieces = text[start..end].split("```");
    let blocks: Vec<&str> = pieces
        .skip(1)
        .step_by(2)
        .map(|block| block.trim_start_matches("sh\n"))
        .collect();
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    blocks.join("\n")
}

#[test]
fn the_tour_runs_as_it_stands() {
    // The world only lends its folder, and takes away what a failed tour leaves.
    let world = World::serve(&[]);
    let program = Path::new(env!("CARGO_BIN_EXE_mesa")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    // The servers hold the output open as long as they run, so a failure must end them.
    let script = format!(
        "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{}",
        blocks("Five minutes")
    );
    let mut command = world.command("bash");
    command
        .args(["-euo", "pipefail", "-c", &script])
        .env("PATH", format!("{}:{path}", program.display()))
        .env("TMPDIR", world.folder())
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.com")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com")
        .env("MESA_NO_CONFIG_FILE", "1");
    let tour = run(&mut command).success();
    assert!(tour.text().contains("buy milk\ncall Ada\n"), "{tour}");
    assert!(
        tour.text().contains("plans/today"),
        "no commit is shown: {tour}"
    );
    assert!(kernel::mounts_below(world.folder()).is_empty());
}
