//! Every kind renamed over every other, in every way, between layers.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::Path;

use nix::sys::stat::Mode;

use crate::pair::{Pair, outcome};
use crate::support::syscall::{exchange, refused, rename_no_replace};
use crate::support::world::World;

/// What can stand at a name: of the repository or made here, and of either what was changed here.
const KINDS: [&str; 10] = [
    "lower-file",
    "lower-link",
    "lower-folder",
    "lower-edited",
    "lower-emptied",
    "new-file",
    "new-link",
    "new-pipe",
    "new-folder",
    "nothing",
];

/// Makes one of each kind in a folder, with names of its own.
fn lay_out(root: &Path, side: &str) {
    let at = |name: &str| root.join(format!("{side}-{name}"));
    let source = |name: &str| root.join(format!("{side}/{name}"));
    fs::rename(source("file"), at("lower-file")).unwrap();
    fs::rename(source("link"), at("lower-link")).unwrap();
    fs::rename(source("folder"), at("lower-folder")).unwrap();
    fs::rename(source("edited"), at("lower-edited")).unwrap();
    fs::write(at("lower-edited"), "edited\n").unwrap();
    fs::rename(source("emptied"), at("lower-emptied")).unwrap();
    fs::remove_file(at("lower-emptied").join("inside")).unwrap();
    fs::write(at("new-file"), "new\n").unwrap();
    symlink("new-file", at("new-link")).unwrap();
    nix::unistd::mkfifo(&at("new-pipe"), Mode::S_IRWXU).unwrap();
    fs::create_dir(at("new-folder")).unwrap();
}

/// What is at a path: its kind, and of a file or folder what is in it.
fn seen(path: &Path) -> String {
    let Ok(found) = fs::symlink_metadata(path) else {
        return "nothing".to_owned();
    };
    let kind = found.file_type();
    if kind.is_dir() {
        let names = fs::read_dir(path).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        return format!("folder {names:?}");
    }
    if kind.is_symlink() {
        return format!("link to {:?}", fs::read_link(path).unwrap());
    }
    if kind.is_fifo() {
        return "pipe".to_owned();
    }
    format!("file {:?}", fs::read_to_string(path).unwrap())
}

/// A repository with the same five things under `left` and `right`, as many times as there are ways.
fn repository(folder: &Path, copies: usize) -> std::path::PathBuf {
    let root = folder.join("kinds");
    for copy in 0..copies {
        for side in ["left", "right"] {
            let side = root.join(format!("{copy}/{side}"));
            fs::create_dir_all(side.join("folder")).unwrap();
            fs::create_dir_all(side.join("emptied")).unwrap();
            fs::write(side.join("file"), "file\n").unwrap();
            fs::write(side.join("edited"), "unedited\n").unwrap();
            fs::write(side.join("folder/inside"), "inside\n").unwrap();
            fs::write(side.join("emptied/inside"), "inside\n").unwrap();
            symlink("file", side.join("link")).unwrap();
        }
    }
    crate::support::git::initialise(&root);
    root
}

#[test]
fn every_kind_over_every_other_in_every_way() {
    type Way = (&'static str, fn(&Path, &Path) -> std::io::Result<()>);
    const WAYS: [Way; 3] = [
        ("replace", |from, to| fs::rename(from, to)),
        ("no replace", rename_no_replace),
        ("exchange", exchange),
    ];
    let source = tempfile::tempdir().unwrap();
    // A pair of kinds needs fresh things: one copy for each kind that moves, in each way.
    let copies = WAYS.len() * KINDS.len() * KINDS.len();
    let pair = Pair::of(&repository(source.path(), copies));
    let mut copy = 0;
    for (way, rename) in WAYS {
        for from in KINDS {
            for to in KINDS {
                pair.same(&format!("{way}: {from} to {to}, in {copy}"), |root| {
                    let root = root.join(copy.to_string());
                    for side in ["left", "right"] {
                        lay_out(&root, side);
                    }
                    let (from, to) = (
                        root.join(format!("left-{from}")),
                        root.join(format!("right-{to}")),
                    );
                    let number =
                        |path: &Path| fs::symlink_metadata(path).ok().map(|found| found.ino());
                    let before = (number(&from), number(&to));
                    let done = outcome(rename(&from, &to));
                    let after = (number(&from), number(&to));
                    let moved = (after.1 == before.0, after.0 == before.1, after == before);
                    (done, moved, seen(&from), seen(&to))
                });
                copy += 1;
            }
        }
    }
    // What Git cannot hold stays here, and an empty folder is a matter of the server.
    pair.world.flush();
    pair.same("after the push", |root| {
        (0..copies)
            .map(|copy| seen(&root.join(copy.to_string())))
            .collect::<Vec<_>>()
    });
}

#[test]
fn a_tree_moves_without_a_look_at_what_is_in_it() {
    let source = tempfile::tempdir().unwrap();
    let mut world = World::serve(&[("app", &repository(source.path(), 8))]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    assert_eq!(fs::read_dir(&app).unwrap().count(), 8);
    let before = world.proxy().requests().len();
    for copy in 0..8 {
        fs::rename(
            app.join(copy.to_string()),
            app.join(format!("moved-{copy}")),
        )
        .unwrap();
    }
    fs::create_dir(app.join("further")).unwrap();
    fs::rename(app.join("moved-1"), app.join("further/again")).unwrap();
    exchange(&app.join("moved-2"), &app.join("moved-3")).unwrap();
    let asked = world.proxy().requests();
    let reads: Vec<&String> = asked[before..]
        .iter()
        .filter(|line| line.starts_with("GET") && line.contains("/content"))
        .collect();
    assert!(reads.is_empty(), "{reads:?}");
    // It is all there, and a folder that takes an old place shows nothing of what was below.
    fs::create_dir(app.join("0")).unwrap();
    assert_eq!(seen(&app.join("0")), "folder []");
    assert_eq!(
        fs::read_to_string(app.join("further/again/left/folder/inside")).unwrap(),
        "inside\n"
    );
    refused(fs::metadata(app.join("1")), libc::ENOENT);
    fs::remove_dir(app.join("0")).unwrap();
    world.flush_and_compare("app");
}

#[test]
fn a_folder_that_takes_an_old_place_is_opaque() {
    let mut pair = Pair::new();
    let step = |root: &Path| {
        fs::remove_dir_all(root.join("src")).unwrap();
        fs::create_dir(root.join("src")).unwrap();
        let empty = seen(&root.join("src"));
        fs::write(root.join("src/main.rs"), "another\n").unwrap();
        fs::create_dir_all(root.join("src/deep/a")).unwrap();
        (
            empty,
            seen(&root.join("src")),
            seen(&root.join("src/deep/a")),
        )
    };
    pair.same("made again", step);
    let look = |root: &Path| (seen(&root.join("src")), seen(&root.join("src/deep/a")));
    pair.survives(look);
}
