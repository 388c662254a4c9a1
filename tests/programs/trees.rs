//! Chapters in which the work tree is what changes: other work trees, parts of one, names.

use std::fs;

use crate::side::{Side, numbered};

/// Other work trees of the same repository.
pub fn worktrees(side: &mut Side) {
    side.git(&["worktree", "add", "-b", "second", "../second", "main~2"]);
    side.git(&["worktree", "add", "--detach", "../third", "light"]);
    side.git(&["worktree", "list", "--porcelain"]);
    side.enter("second");
    side.write("second/file", "second\n");
    side.commit("in the second work tree");
    side.stand();
    side.enter("work");
    side.git_ends(128, &["checkout", "second"]);
    side.git(&["merge", "--no-edit", "-m", "merge second", "second"]);
    side.git(&["worktree", "move", "../second", "../moved"]);
    side.git_ends(128, &["worktree", "remove", "../nowhere"]);
    side.write("../third/untracked", "untracked\n");
    side.git_ends(128, &["worktree", "remove", "../third"]);
    side.git(&["worktree", "remove", "--force", "../third"]);
    fs::remove_dir_all(side.path("../moved")).unwrap();
    side.git(&["worktree", "prune", "--verbose"]);
    side.git(&["worktree", "list", "--porcelain"]);
    side.stand();
}

/// A part of the tree, and all of it again.
pub fn sparse(side: &mut Side) {
    side.git(&["sparse-checkout", "set", "--cone", "src/folder-2", "bin"]);
    side.git(&["sparse-checkout", "list"]);
    side.stand();
    side.git(&["sparse-checkout", "add", "src/folder-3"]);
    side.git(&["checkout", "upstream"]);
    side.stand();
    side.git(&["sparse-checkout", "set", "--no-cone", "/*", "!/src/"]);
    side.stand();
    side.git(&["sparse-checkout", "disable"]);
    side.git(&["checkout", "main"]);
    side.stand();
}

/// Moves and names: of case alone, of folders, onto others.
pub fn names(side: &mut Side) {
    side.git(&["mv", "README.txt", "readme.txt"]);
    side.git(&["status", "--porcelain=v2"]);
    side.commit("case alone");
    side.git(&["mv", "readme.txt", "ReadMe.TXT"]);
    side.write("readme.txt", "beside it\n");
    side.commit("two that differ by case alone");
    side.git(&["mv", "src/folder-4", "src/Folder-4"]);
    side.git(&["mv", "src/folder-2/file-2.rs", "bin"]);
    side.git_ends(128, &["mv", "src/folder-3", "numbers"]);
    side.git_ends(
        128,
        &["mv", "src/folder-3/file-2.rs", "src/folder-3/file-3.rs"],
    );
    side.git(&[
        "mv",
        "--force",
        "src/folder-3/file-2.rs",
        "src/folder-3/file-3.rs",
    ]);
    side.git(&["status", "--porcelain=v2"]);
    side.commit("moved");
    side.git(&["show", "--find-renames", "--raw", "HEAD"]);
    side.git(&["checkout", "main~3"]);
    side.git(&["checkout", "main"]);
    side.git(&["rm", "-r", "--quiet", "src/Folder-4"]);
    side.git(&["reset", "--hard", "HEAD"]);
    fs::rename(side.path("src"), side.path("elsewhere")).unwrap();
    side.git(&["status", "--porcelain"]);
    side.git(&["reset", "--hard", "HEAD"]);
    side.git(&["clean", "-ffdx"]);
    side.stand();
}

/// The commit that broke it, found by halving.
pub fn bisect(side: &mut Side) {
    for number in 0..12 {
        let kept = if number < 8 { "good" } else { "bad" };
        side.write("state", format!("{kept}\n"));
        side.write("numbers", numbered(60 + number, &[]));
        side.commit(&format!("step {number}"));
    }
    side.git(&["bisect", "start", "HEAD", "HEAD~11"]);
    side.git(&["bisect", "run", "grep", "-q", "good", "state"]);
    let found = side.git(&["bisect", "log"]);
    assert!(found.contains("step 8\n"), "{found}");
    side.git(&["bisect", "reset"]);
    side.git(&["blame", "-s", "numbers"]);
    side.git(&["log", "--follow", "--format=%h %s", "ReadMe.TXT"]);
    side.git(&["reset", "--hard", "HEAD~12"]);
    side.stand();
}
