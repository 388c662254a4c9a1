//! Chapters in which histories are made: commits, branches, merges, clones.

use std::fs;
use std::os::unix::fs::symlink;

use crate::side::{Side, not_text, numbered};

/// A new repository with everything that Git can hold.
pub fn begin(side: &mut Side) {
    side.git(&["init", "work"]);
    side.enter("work");
    side.git(&["config", "--list", "--local"]);
    side.git(&["config", "merge.directoryRenames", "true"]);
    side.write("README.txt", "# Work\n");
    side.write("numbers", numbered(60, &[]));
    for folder in 0..5 {
        for file in 0..20 {
            let text = format!("{folder} {file}\n").repeat(file * 10);
            side.write(format!("src/folder-{folder}/file-{file}.rs"), text);
        }
    }
    side.write("bin/run", "#!/bin/sh\nexit 0\n");
    side.chmod("bin/run", 0o755);
    symlink("../numbers", side.path("bin/link")).unwrap();
    symlink("no/where", side.path("dangling")).unwrap();
    side.write(not_text(b"caf\xe9"), "not UTF-8\n");
    side.write("h\u{e9}llo w\u{f6}rld", "UTF-8\n");
    side.write(".gitignore", "*.o\nbuild/\n");
    side.write("build/out.o", "object\n");
    side.commit("first");
    side.git(&["ls-tree", "-r", "-t", "HEAD"]);
    for number in 1..=8 {
        side.write("numbers", numbered(60, &[(number * 7, "changed")]));
        side.commit(&format!("number {number}"));
    }
    side.git(&["tag", "light"]);
    side.git(&["tag", "-a", "heavy", "-m", "annotated", "HEAD~3"]);
    side.git(&["describe", "--long"]);
    side.stand();
}

/// Merges without a conflict, with one, across a renamed folder, and given up.
pub fn merges(side: &mut Side) {
    side.git(&["checkout", "-b", "clean"]);
    side.write("src/folder-0/new.rs", "new\n");
    side.commit("clean: new file");
    side.git(&["checkout", "main"]);
    side.git(&["mv", "src/folder-0", "src/renamed"]);
    side.commit("main: a folder is renamed");
    // What was added to the old folder follows into the new one.
    side.git(&["merge", "--no-edit", "-m", "merge clean", "clean"]);
    side.git(&["ls-files", "src/renamed"]);

    side.git(&["checkout", "-b", "other", "HEAD~1"]);
    side.write("numbers", numbered(60, &[(30, "other")]));
    side.write("src/folder-1/file-3.rs", "other\n");
    fs::remove_file(side.path("src/folder-2/file-1.rs")).unwrap();
    side.commit("other");
    side.git(&["checkout", "main"]);
    side.write("numbers", numbered(60, &[(30, "main")]));
    side.write("src/folder-2/file-1.rs", "main\n");
    side.commit("main");
    side.git_ends(1, &["merge", "other"]);
    side.git(&["status", "--porcelain=v2"]);
    side.git(&["ls-files", "--unmerged"]);
    side.git(&["diff"]);
    side.git(&["merge", "--abort"]);
    side.stand();
    side.git_ends(1, &["merge", "other"]);
    side.write("numbers", numbered(60, &[(30, "both")]));
    side.commit("merge other, by hand");
    side.git(&["merge", "--ff-only", "clean"]);
    side.git(&["log", "--first-parent", "--stat", "--format=%H"]);
    side.stand();
}

/// Branches on which the same path is another kind of thing.
pub fn kinds(side: &mut Side) {
    side.git(&["checkout", "-b", "as-file"]);
    side.write("thing", "a file\n");
    side.write("swap/inner", "inner\n");
    side.write("tool", "#!/bin/sh\n");
    side.commit("as files");
    side.git(&["checkout", "-b", "as-folder"]);
    fs::remove_file(side.path("thing")).unwrap();
    side.write("thing/a/b", "deep\n");
    fs::remove_dir_all(side.path("swap")).unwrap();
    symlink("thing", side.path("swap")).unwrap();
    side.chmod("tool", 0o755);
    side.git(&["diff", "--summary"]);
    side.commit("as folders");
    side.git(&["show", "--summary", "--raw"]);
    for branch in ["as-file", "as-folder", "main", "as-folder", "as-file"] {
        side.git(&["checkout", branch]);
        side.git(&["status", "--porcelain"]);
        side.git(&["diff-index", "HEAD"]);
    }
    side.git(&["checkout", "as-folder"]);
    // The executable bit alone, staged and not.
    side.chmod("tool", 0o644);
    side.git(&["status", "--porcelain=v2"]);
    side.git(&["update-index", "--chmod=+x", "README.txt"]);
    side.git(&["status", "--porcelain=v2"]);
    side.git(&["reset", "--hard", "main"]);
    side.git(&["checkout", "main"]);
    side.stand();
}

/// Copies of repositories: from outside, from inside, without a work tree; and what goes between them.
pub fn clones(side: &mut Side) {
    side.enter("");
    side.git(&["clone", "--quiet", &side.served(), "served"]);
    side.git(&["clone", "--quiet", "--no-local", "work", "copied"]);
    side.git(&["clone", "--quiet", "work", "linked-objects"]);
    side.git(&["clone", "--quiet", "--bare", "work", "bare.git"]);
    side.git(&[
        "clone",
        "--quiet",
        "--depth=2",
        "--no-local",
        "work",
        "shallow",
    ]);
    side.git(&["clone", "--quiet", "--shared", "work", "shared"]);
    side.enter("served");
    side.stand();
    side.enter("copied");
    side.git(&["remote", "add", "bare", "../bare.git"]);
    side.write("pushed", "pushed\n");
    side.commit("pushed");
    side.git(&["push", "--quiet", "bare", "main"]);
    side.git(&["push", "--quiet", "bare", "main:refs/heads/elsewhere"]);
    side.stand();
    side.enter("work");
    side.git(&["fetch", "--quiet", "../bare.git", "elsewhere:fetched"]);
    side.git(&["pull", "--quiet", "--ff-only", "../copied", "main"]);
    side.stand();
    for folder in [
        "served",
        "copied",
        "linked-objects",
        "bare.git",
        "shallow",
        "shared",
    ] {
        side.enter(folder);
        side.git(&["fsck", "--full", "--strict"]);
    }
    side.enter("shallow");
    side.git(&["fetch", "--quiet", "--unshallow"]);
    side.stand();
    side.enter("work");
}
