//! Link counts of directories and of files, and what else names are good for.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::pair::{Pair, outcome};
use crate::support::syscall::{exchange, hard_link};

fn links(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().nlink()
}

/// Reads a directory, after which its links are counted.
fn read(path: &Path) {
    assert!(fs::read_dir(path).unwrap().count() < 100);
}

#[test]
fn directories_count_the_directories_in_them() {
    let pair = Pair::new();
    // What is in it came along with the snapshot.
    pair.same("before anybody lists it", |root| links(&root.join("src")));
    let counts = |root: &Path| {
        for folder in ["", "src", "src/deep", "docs"] {
            read(&root.join(folder));
        }
        ["", "src", "src/deep", "docs", "new", "new/in", "moved"].map(|folder| {
            let path = root.join(folder);
            path.is_dir().then(|| links(&path))
        })
    };
    type Step = (&'static str, fn(&Path));
    let steps: [Step; 9] = [
        ("nothing", |_| {}),
        ("mkdir", |root| {
            fs::create_dir_all(root.join("new/in")).unwrap()
        }),
        ("mkdir in a lower one", |root| {
            fs::create_dir(root.join("docs/in")).unwrap();
        }),
        ("a lower one moves to a new one", |root| {
            fs::rename(root.join("src/deep/a"), root.join("new/a")).unwrap();
        }),
        ("a new one moves to a lower one", |root| {
            fs::rename(root.join("new/in"), root.join("src/deep/in")).unwrap();
        }),
        ("directory and file change places", |root| {
            exchange(&root.join("src/deep/in"), &root.join("docs/one.md")).unwrap();
        }),
        ("one replaces an empty one", |root| {
            fs::rename(root.join("docs/one.md"), root.join("docs/in")).unwrap();
        }),
        ("rename in place", |root| {
            fs::rename(root.join("new"), root.join("moved")).unwrap();
        }),
        ("rmdir", |root| {
            fs::remove_dir(root.join("docs/in")).unwrap()
        }),
    ];
    for (what, step) in steps {
        pair.same(what, |root| {
            step(root);
            counts(root)
        });
    }
    pair.world.flush();
    pair.same("after a push", counts);
}

#[test]
fn files_keep_their_bytes_and_numbers_whatever_becomes_of_their_names() {
    let pair = Pair::new();
    let number = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
    pair.same("links of a lower file", |root| {
        let (one, two) = (root.join("docs/one.md"), root.join("src/two"));
        let ino = number(&one);
        hard_link(&one, &two).unwrap();
        hard_link(&two, &root.join("three")).unwrap();
        let made = [&one, &two, &root.join("three")].map(|path| (links(path), number(path) == ino));
        fs::write(&two, "changed by another name\n").unwrap();
        fs::remove_file(&one).unwrap();
        fs::rename(root.join("three"), root.join("docs/one.md")).unwrap();
        let after = (
            links(&one),
            number(&one) == ino,
            fs::read_to_string(&one).unwrap(),
        );
        // Two names of one file: nothing happens, and both stay.
        fs::rename(&one, &two).unwrap();
        let both = (one.exists(), two.exists());
        fs::remove_file(&two).unwrap();
        (
            made,
            after,
            both,
            links(&one),
            outcome(fs::metadata(&two).map(drop)),
        )
    });
    pair.world.flush_and_compare("app");
}

#[test]
fn a_file_has_65000_names_and_no_more() {
    let pair = Pair::new();
    let root = pair.mounted();
    let first = root.join("README.md");
    let folder = root.join("names");
    fs::create_dir(&folder).unwrap();
    for number in 1..65_000 {
        hard_link(&first, &folder.join(number.to_string())).unwrap();
    }
    assert_eq!(links(&first), 65_000);
    assert_eq!(
        outcome(hard_link(&first, &folder.join("one-more"))),
        Err("EMLINK: Too many links".to_owned())
    );
    fs::remove_file(folder.join("7")).unwrap();
    hard_link(&first, &folder.join("one-more")).unwrap();
    assert_eq!(links(&first), 65_000);
}
