//! A repository that takes no edits: every change is refused, and nothing of it is journaled.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

use nix::sys::stat::Mode;

use crate::pair::{Pair, outcome};
use crate::support::syscall::{exchange, hard_link, set_times, unlink};
use crate::system::{remove_xattr, set_xattr, xattrs};

#[test]
fn every_change_is_refused_and_none_is_journaled() {
    let pair = Pair::read_only();
    let journal = pair.world.data().join("repos/local/app/journal");
    let journaled = || {
        let files = fs::read_dir(&journal).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        files
            .iter()
            .map(|file| (file.clone(), fs::read(file).unwrap()))
            .collect::<Vec<_>>()
    };
    let look = |root: &Path| {
        let read = outcome(fs::read_to_string(root.join("README.md")));
        let names = fs::read_dir(root.join("src")).unwrap().count();
        (read, names, outcome(xattrs(&root.join("docs"))))
    };
    pair.same("before", look);
    let before = journaled();
    pair.same("changes", |root| {
        let at = |path: &str| root.join(path);
        // Where the kernel opens files by itself, what is not cut is refused at the first write.
        let open = |options: &OpenOptions, path: &str| {
            let written = |mut file: File| file.write_all(b"x");
            outcome(options.open(at(path)).and_then(written))
        };
        let mut write = OpenOptions::new();
        let mut cut = OpenOptions::new();
        let mut read = OpenOptions::new();
        let mut make = OpenOptions::new();
        let mode = fs::Permissions::from_mode(0o600);
        [
            open(write.write(true), "README.md"),
            open(write.write(true).read(true), "README.md"),
            open(cut.write(true).truncate(true), "README.md"),
            open(read.read(true).custom_flags(libc::O_TRUNC), "README.md"),
            open(make.write(true).create(true), "new"),
            open(make.write(true).create(true), "README.md"),
            open(make.create_new(true), "README.md"),
            outcome(File::open(at("README.md")).map(drop)),
            outcome(fs::create_dir(at("new"))),
            outcome(fs::create_dir(at("src"))),
            outcome(fs::create_dir(at("no/such"))),
            outcome(symlink("x", at("new"))),
            outcome(hard_link(&at("README.md"), &at("new"))),
            outcome(nix::unistd::mkfifo(&at("new"), Mode::S_IRWXU).map_err(Into::into)),
            outcome(unlink(&at("README.md"))),
            outcome(fs::remove_dir(at("docs"))),
            outcome(fs::rename(at("README.md"), at("new"))),
            outcome(fs::rename(at("src"), at("moved"))),
            outcome(exchange(&at("src"), &at("docs"))),
            outcome(fs::set_permissions(at("README.md"), mode)),
            outcome(chown(at("README.md"), Some(1), Some(1))),
            outcome(set_times(&at("README.md"), 1, 1)),
            outcome(set_xattr(&at("README.md"), "user.a", b"", 0)),
            outcome(remove_xattr(&at("README.md"), "user.a")),
        ]
    });
    pair.same("after", look);
    assert!(journaled() == before, "the journal has grown");
    assert_eq!(pair.world.pending("app"), 0);
}
