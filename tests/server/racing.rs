//! Pushes at the same time, of each other and of a kill -9, and a push that is large.

use crate::crash::Child;
use crate::gits::*;
use crate::harness::*;
use crate::merging::rev;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn of_pushes_at_once_one_wins_each_step_and_no_commit_is_lost() {
    const CLIENTS: usize = 4;
    const COMMITS: usize = 5;
    let (_source, server) = sample_server().await;
    let clients = (0..CLIENTS).map(|client| {
        let clone = Clone::of(&server, &[]);
        tokio::task::spawn_blocking(move || {
            let mut wins = 0;
            for number in 0..COMMITS {
                clone.commit(&format!("c{client}-{number}"), "");
                loop {
                    let pushed = clone.run(&["push", "-q"]);
                    if pushed.is_done {
                        wins += 1;
                        break;
                    }
                    let is_race = [
                        "fetch first",
                        "non-fast-forward",
                        "meanwhile",
                        "cannot lock",
                    ]
                    .iter()
                    .any(|word| pushed.said.contains(word));
                    assert!(is_race, "{}", pushed.said);
                    clone.git(&["pull", "-q", "--rebase"]);
                }
            }
            wins
        })
    });
    let wins = futures_util::future::join_all(clients.collect::<Vec<_>>()).await;
    let wins: usize = wins.into_iter().map(Result::unwrap).sum();
    assert_eq!(wins, CLIENTS * COMMITS);
    let bare = server.bare("app");
    let history = git(&bare, &["log", "--format=%s", "--first-parent", "trunk"]);
    let mut found: Vec<&str> = history
        .lines()
        .filter(|line| line.starts_with('c'))
        .collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), CLIENTS * COMMITS, "{history}");
    assert_eq!(
        git(&bare, &["ls-tree", "--name-only", "trunk"])
            .matches("\nc")
            .count(),
        CLIENTS * COMMITS
    );
    fsck(&server, "app");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_a_kill_nine_cuts_is_there_or_is_not() {
    let (_source, mut server) = sample_server().await;
    let clone = Clone::of(&server, &[]);
    server.stop().await;
    let bare = server.bare("app");
    let (mut answered, mut cut) = (0, 0);
    let mut last = rev(&server, "trunk");
    let mut round = 0_u32;
    // How long a push takes when nothing cuts it: a small one is unpacked, a large one kept as a pack.
    let mut whole = [Duration::ZERO; 2];
    while round < 26 || ((cut < 5 || answered < 3) && round < 60) {
        let (child, base) = Child::start(&server.data());
        server.base = base;
        let at = url(&server, &server.key, "app");
        let is_large = round.is_multiple_of(2);
        if is_large {
            for number in 0..150 {
                fs::write(
                    clone.at.join(number.to_string()),
                    format!("{round} {number}\n"),
                )
                .unwrap();
            }
            clone.git(&["add", "-A"]);
        }
        let commit = clone.commit("round", round.to_string());
        let begun = Instant::now();
        let push = {
            let mut command = command(&clone.at, &["push", "-q", &at, "trunk"]);
            tokio::task::spawn_blocking(move || ran(command.output().unwrap()))
        };
        let whole = &mut whole[usize::from(is_large)];
        if round >= 2 {
            // From before the pack is there to after the answer.
            tokio::time::sleep(*whole * (round / 2 % 13) / 8).await;
            cut += usize::from(!push.is_finished());
            drop(child);
        }
        let pushed = push.await.unwrap();
        if round < 2 {
            *whole = begun.elapsed();
        }
        round += 1;
        let now = rev(&server, "trunk");
        if pushed.is_done {
            answered += 1;
            assert_eq!(now, commit, "an answer that was not true");
        } else {
            assert!(now == commit || now == last, "{now}");
        }
        git(&bare, &["fsck", "--strict", "--full", "--no-dangling"]);
        // What did not arrive is not sent again, or every push would take longer than the one before.
        clone.git(&["reset", "-q", "--hard", &now]);
        last = now;
    }
    println!("{round} pushes: {cut} cut, {answered} answered");
    assert!(answered >= 3 && cut >= 5, "{answered} answered, {cut} cut");
    server.start(&[]).await;
    fsck(&server, "app");
    let commit = clone.commit("round", "last");
    clone.git(&["push", "-q", &url(&server, &server.key, "app"), "trunk"]);
    assert_eq!(rev(&server, "trunk"), commit);
    fsck(&server, "app");
}

/// Most memory that a process has had, in bytes.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes << 10
}

/// Bytes that no compression makes less.
fn noise(path: &Path, bytes: u64, seed: u64) {
    let mut file = std::io::BufWriter::new(File::create(path).unwrap());
    let mut state = seed;
    for _ in 0..bytes / 8 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        file.write_all(&(state ^ (state >> 29)).to_le_bytes())
            .unwrap();
    }
    file.flush().unwrap();
}

/// As large as `MESA_TEST_PUSH_MIB` says, or as a test may be that runs with every change.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_repository_is_pushed_and_cloned_in_little_memory() {
    let mebibytes: u64 =
        std::env::var("MESA_TEST_PUSH_MIB").map_or(64, |text| text.parse().unwrap());
    let mut server = Server::with_app().await;
    server.stop().await;
    let (child, base) = Child::start(&server.data());
    server.base = base;
    let source = tempfile::tempdir().unwrap();
    git(source.path(), &["init", "-q", "-b", "main"]);
    // A quarter in one file, the rest in files of 1 MiB.
    noise(&source.path().join("large"), mebibytes << 18, 1);
    for number in 0..mebibytes - mebibytes / 4 {
        noise(&source.path().join(number.to_string()), 1 << 20, number + 2);
    }
    let quick = ["-c", "core.compression=0", "-c", "core.bigFileThreshold=1m"];
    let run_in = |folder: &Path, arguments: &[&str]| {
        run(folder, &[&quick[..], arguments].concat()).done();
    };
    run_in(source.path(), &["add", "-A"]);
    run_in(source.path(), &["commit", "-q", "-m", "large"]);
    let before = peak(child.id());
    let at = url(&server, &server.key, "app");
    let begun = Instant::now();
    run_in(source.path(), &["push", "-q", &at, "main"]);
    let pushed = begun.elapsed();
    let begun = Instant::now();
    let clone = tempfile::tempdir().unwrap();
    run_in(clone.path(), &["clone", "-q", "--bare", &at, "clone"]);
    let cloned = begun.elapsed();
    let grown = peak(child.id()) - before;
    println!(
        "{mebibytes} MiB pushed in {pushed:?}, cloned in {cloned:?}, the server grew by {} KiB",
        grown >> 10
    );
    assert_eq!(
        git(&clone.path().join("clone"), &["rev-parse", "main"]),
        git(source.path(), &["rev-parse", "HEAD"])
    );
    assert!(grown < 32 << 20, "{grown}");
    drop(child);
    fsck(&server, "app");
}
