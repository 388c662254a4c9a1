//! Each finding about the local state, from values.

use super::super::{Verdict, is};
use super::*;
use crate::daemon::control::RepoVerified;

#[test]
fn directories_are_ours_and_closed_or_the_cure_is_named() {
    let folder = Path::new("/state");
    let judge = |owned| judge_folder("the data directory", folder, 7, owned);
    let of = |owner, mode| judge(Owned::Folder { owner, mode });
    is(&of(7, 0o700), Verdict::Ok, "ours alone");
    is(&judge(Owned::Absent), Verdict::Ok, "will be made");
    is(&of(8, 0o700), Verdict::Problem, "chown -R 7");
    is(&judge(Owned::NoFolder), Verdict::Problem, "no directory");
    is(&judge(Owned::Unreadable), Verdict::Problem, "ls -ld");
    for mode in [0o755, 0o701, 0o500] {
        let open = of(7, mode);
        is(&open, Verdict::Problem, "chmod 0700 /state");
        assert_eq!(open.fix, Some(Fix::CloseFolder(folder.to_owned())));
    }
    assert_eq!(of(8, 0o755).fix, None, "not ours to change");
}

#[test]
fn what_a_dead_daemon_left_is_removed_and_a_living_one_is_left_alone() {
    let (socket, pid_file) = (Path::new("/run/control.sock"), Path::new("/run/mesa.pid"));
    let judge = |daemon, has_pid_file| judge_daemon(&daemon, socket, pid_file, has_pid_file);
    is(
        &judge(Daemon::Answers(5), true)[0],
        Verdict::Ok,
        "process 5",
    );
    assert_eq!(judge(Daemon::Answers(5), true)[0].fix, None);
    is(
        &judge(Daemon::Restarting, true)[0],
        Verdict::Warning,
        "supervisor",
    );
    let silent = judge(Daemon::Silent(Some(5)), true);
    is(&silent[0], Verdict::Problem, "kill 5");
    assert!(
        silent.iter().all(|finding| finding.fix.is_none()),
        "{silent:?}"
    );
    is(
        &judge(Daemon::Silent(None), false)[0],
        Verdict::Problem,
        "fuser",
    );
    is(
        &judge(Daemon::Gone { socket: false }, false)[0],
        Verdict::Ok,
        "none runs",
    );
    let left = judge(Daemon::Gone { socket: true }, true);
    let fixes: Vec<_> = left
        .iter()
        .filter_map(|finding| finding.fix.clone())
        .collect();
    let removed = [socket, pid_file].map(|path| Fix::RemoveFile(path.to_owned()));
    assert_eq!(fixes, removed);
}

#[test]
fn a_dead_mount_of_ours_is_cleared_and_any_other_is_only_named() {
    let ours = Path::new("/mnt");
    let judge = |path: &str, health| judge_mounts(&[(path.into(), health)], ours);
    is(
        &judge("/mnt", MountHealth::Answers)[0],
        Verdict::Ok,
        "no dead",
    );
    let dead = judge("/mnt", MountHealth::Dead);
    is(&dead[0], Verdict::Problem, "mesa mount");
    assert_eq!(dead[0].fix, Some(Fix::ClearMount(ours.to_owned())));
    let other = judge("/other", MountHealth::Dead);
    is(&other[0], Verdict::Warning, "fusermount3 -u -z /other");
    assert_eq!(other[0].fix, None);
    let silent = judge("/mnt", MountHealth::Silent);
    is(&silent[0], Verdict::Problem, "--force");
    assert_eq!(silent[0].fix, None);
}

#[test]
fn damage_is_named_by_repository() {
    let repo = |name: &str, sound| RepoVerified {
        org: "local".into(),
        name: name.into(),
        sound,
        ..RepoVerified::default()
    };
    let repos = vec![repo("one", true), repo("two", false)];
    let damaged = judge_integrity(Ok(Verified { repos }));
    assert_eq!(damaged.len(), 1);
    is(&damaged[0], Verdict::Problem, "local/two");
    let repos = vec![repo("one", true)];
    is(
        &judge_integrity(Ok(Verified { repos }))[0],
        Verdict::Ok,
        "sound",
    );
    is(
        &judge_integrity(Err("in use".into()))[0],
        Verdict::Problem,
        "in use",
    );
}

#[test]
fn what_the_cache_has_lost_is_no_more_than_a_warning() {
    let audit = |damaged: &[&str], is_cut_short| Audit {
        objects: 7,
        bytes: 9 << 20,
        damaged: damaged.iter().map(Into::into).collect(),
        is_cut_short,
    };
    is(
        &judge_store(Ok(audit(&[], false))),
        Verdict::Ok,
        "7 cached objects (9 MiB)",
    );
    is(&judge_store(Ok(audit(&[], true))), Verdict::Ok, "no time");
    let damaged = judge_store(Ok(audit(&["/c/x", "/c/y"], false)));
    is(&damaged, Verdict::Warning, "/c/x");
    let both = vec!["/c/x".into(), "/c/y".into()];
    assert_eq!(damaged.fix, Some(Fix::DiscardObjects(both)));
    let unreadable = io::Error::from(io::ErrorKind::PermissionDenied);
    is(&judge_store(Err(unreadable)), Verdict::Problem, "denied");
}
