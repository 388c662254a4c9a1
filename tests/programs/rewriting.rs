//! Chapters in which histories are told anew, and repositories packed.

use std::fs;

use crate::side::{Side, numbered};

/// Rebases, cherry-picks and reverts; with conflicts, and without.
pub fn rebases(side: &mut Side) {
    side.git(&["checkout", "-b", "topic", "main~1"]);
    for (number, line) in [(1, 5), (2, 15), (3, 25)] {
        side.write(format!("topic/file-{number}"), format!("{number}\n"));
        side.write("numbers", numbered(60, &[(line, "topic")]));
        side.commit(&format!("topic {number}"));
    }
    side.git(&["checkout", "-b", "upstream", "main"]);
    side.write(
        "numbers",
        numbered(60, &[(5, "upstream"), (58, "upstream")]),
    );
    side.commit("upstream");
    side.git(&["checkout", "topic"]);
    side.git_ends(1, &["rebase", "upstream"]);
    side.git(&["status", "--porcelain=v2"]);
    side.git(&["checkout", "--theirs", "numbers"]);
    side.git(&["rebase", "--abort"]);
    side.stand();
    side.git_ends(1, &["rebase", "upstream"]);
    side.write("numbers", numbered(60, &[(5, "topic"), (58, "upstream")]));
    side.git(&["add", "numbers"]);
    side.git(&["rebase", "--continue"]);
    side.stand();
    side.git(&["reset", "--hard", "ORIG_HEAD"]);
    side.git(&["rebase", "-X", "theirs", "upstream"]);
    side.stand();
    side.write("topic/file-1", "1, better\n");
    side.git(&["commit", "-am", "fixup! topic 1"]);
    side.git(&["rebase", "--interactive", "--autosquash", "upstream"]);
    side.git(&["checkout", "upstream"]);
    side.git(&["cherry-pick", "-X", "theirs", "topic~1"]);
    side.git_ends(1, &["cherry-pick", "other~1"]);
    side.git(&["status", "--porcelain"]);
    side.git(&["cherry-pick", "--abort"]);
    side.git(&["revert", "--no-edit", "HEAD"]);
    side.git(&["reflog", "-n", "20"]);
    side.git(&["checkout", "main"]);
    side.stand();
}

/// Work put aside, and parts of files committed.
pub fn stashes(side: &mut Side) {
    side.write("numbers", numbered(60, &[(2, "first"), (55, "second")]));
    let diff = side.git(&["diff", "-U1", "numbers"]);
    // The first hunk alone, as `git add -p` stages it.
    let second = diff.match_indices("\n@@ ").nth(1).unwrap().0;
    side.write("../first.patch", &diff[..=second]);
    side.git(&["apply", "--cached", "../first.patch"]);
    side.git(&["status", "--porcelain"]);
    side.git(&["diff", "--cached"]);
    side.git(&["diff"]);
    side.write("untracked", "untracked\n");
    fs::remove_file(side.path("src/folder-3/file-7.rs")).unwrap();
    side.git(&["stash", "push", "--include-untracked", "-m", "aside"]);
    side.stand();
    side.git(&["stash", "show", "--include-untracked", "--stat"]);
    side.git(&["stash", "pop", "--index"]);
    side.git(&["status", "--porcelain"]);
    side.git(&["diff", "--cached"]);
    side.git(&["stash", "push", "--keep-index"]);
    side.git(&["commit", "-m", "the first hunk"]);
    side.git(&["stash", "drop"]);
    side.git(&["clean", "-n"]);
    side.git(&["clean", "-xdf"]);
    side.stand();
}

/// Packs of every kind, and whether all is in order after.
pub fn packs(side: &mut Side) {
    side.git(&["fsck", "--full", "--strict"]);
    side.git(&["repack", "-q"]);
    side.git(&["gc", "--quiet", "--aggressive", "--prune=now"]);
    side.git(&["count-objects"]);
    side.git(&["fsck", "--full", "--strict"]);
    side.git(&["commit-graph", "write", "--reachable"]);
    side.write("more", "more\n");
    side.commit("after gc");
    side.git(&["repack", "-q", "-d"]);
    side.git(&["multi-pack-index", "write", "--no-progress"]);
    side.git(&["multi-pack-index", "verify", "--no-progress"]);
    side.git(&["repack", "-q", "-a", "-d", "--write-bitmap-index"]);
    side.git(&["pack-refs", "--all", "--prune"]);
    side.git(&["branch", "-m", "fetched", "named/deeper"]);
    side.git(&["branch", "-D", "clean"]);
    side.git(&["reflog", "expire", "--expire=now", "--all"]);
    side.git(&["prune", "--expire=now"]);
    side.git(&["commit-graph", "verify", "--no-progress"]);
    side.git(&["fsck", "--full", "--strict"]);
    side.git(&["rev-list", "--all", "--objects", "--count"]);
    side.git(&["bundle", "create", "-q", "../all.bundle", "--all"]);
    side.git(&["bundle", "verify", "-q", "../all.bundle"]);
    side.stand();
}
