//! Many at once: mounts of one repository, repositories of one server, files of one repository.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::process::run;
use crate::support::second::Second;
use crate::support::world::World;

const MOUNTS: usize = 100;
/// Mounts that do something at the same time.
const AT_ONCE: usize = 16;

/// Runs something for each number, some at a time.
fn each(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    work(number);
                }
            });
        }
    });
}

#[test]
fn a_hundred_mounts_of_one_repository_stay_correct() {
    let source = tempfile::tempdir().unwrap();
    let repository = fixture::small(source.path());
    let mut world = World::serve(&[("app", &repository)]);
    world.watch_for(Duration::from_secs(400));
    let wanted = git_text(&repository, &["ls-tree", "-r", "-z", "HEAD"]);
    let mounts: Vec<Second> = (0..MOUNTS)
        .map(|number| Second::new(&world, &format!("m{number}")))
        .collect();
    let begun = Instant::now();
    // All are mounted before the first ends, so they are there at the same time.
    each(MOUNTS, |number| mounts[number].mount(&[]));
    let mounted = begun.elapsed();
    each(MOUNTS, |number| {
        let app = mounts[number].repo("app");
        // Every byte of the remote, by Git's own hashes.
        for line in wanted.split_terminator('\0') {
            let (facts, path) = line.split_once('\t').unwrap();
            if !facts.starts_with("100") {
                continue;
            }
            let sha = git_text(
                &repository,
                &["hash-object", app.join(path).to_str().unwrap()],
            );
            assert!(facts.ends_with(sha.trim()), "{path} of mount {number}");
        }
        fs::write(app.join("shared"), format!("of {number}\n")).unwrap();
        fs::create_dir(app.join(format!("own-{number}"))).unwrap();
        for n in 0..5 {
            let file = app.join(format!("own-{number}/{n}"));
            fs::write(file, format!("{number} {n}\n")).unwrap();
        }
        mounts[number].flush();
    });
    let bare = world.bare("app");
    for (number, mount) in mounts.iter().enumerate() {
        let status = mount.repo_status("app");
        let commit = status["change"]["commit_oid"].as_str().unwrap();
        assert_eq!(status["conflicts"], 0, "mount {number}");
        let shared = git_text(&bare, &["show", &format!("{commit}:shared")]);
        assert_eq!(shared, format!("of {number}"));
        let own = git_text(&bare, &["ls-tree", "-r", "--name-only", commit]);
        let ours: Vec<&str> = own
            .lines()
            .filter(|path| path.starts_with("own-"))
            .collect();
        assert_eq!(ours.len(), 5, "mount {number}: {ours:?}");
    }
    git_text(&bare, &["fsck", "--strict", "--no-dangling"]);
    each(MOUNTS, |number| {
        mounts[number].unmount().success();
    });
    println!(
        "{MOUNTS} mounts of one repository: mounted in {:.1} s, all correct after {:.1} s",
        mounted.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
}

#[test]
fn a_server_starts_with_a_thousand_repositories() {
    let source = tempfile::tempdir().unwrap();
    let repository = fixture::small(source.path());
    let mut world = World::serve(&[("r0", &repository)]);
    world.stop_server();
    let first = world.bare("r0");
    for number in 1..1000 {
        let copy = world.bare(&format!("r{number}"));
        run(world.command("cp").arg("-al").arg(&first).arg(&copy)).success();
        // Links would be one repository under two names.
        for file in ["mesa.json", "HEAD", "config"] {
            let text = fs::read_to_string(first.join(file)).unwrap();
            fs::remove_file(copy.join(file)).unwrap();
            let id = format!("repo_{number:032}");
            let old = first_id(&text);
            let text = old.map_or(text.clone(), |old| text.replace(&old, &id));
            fs::write(copy.join(file), text).unwrap();
        }
    }
    let begun = Instant::now();
    world.start_server();
    let started = begun.elapsed();
    world.token = world.mint("1h", &["r0", "r999"]);
    world.mount();
    assert_eq!(
        fs::read(world.repo("r999").join("README.md")).unwrap(),
        fs::read(repository.join("README.md")).unwrap()
    );
    println!(
        "1000 repositories: the server answers after {:.2} s",
        started.as_secs_f64()
    );
}

/// The id in a repository's `mesa.json`.
fn first_id(text: &str) -> Option<String> {
    let at = text.find("repo_")?;
    Some(text[at..].chars().take_while(|c| *c != '"').collect())
}

#[test]
fn a_repository_of_a_hundred_thousand_files_is_served() {
    const FILES: usize = 100_000;
    let repository = fixture::many(FILES);
    let mut world = World::serve(&[("many", &repository)]);
    world.watch_for(Duration::from_secs(400));
    world.mount();
    let begun = Instant::now();
    let mut find = world.command("find");
    find.arg(world.repo("many"))
        .args(["-type", "f", "-printf", "."]);
    // And a README.
    assert_eq!(run(&mut find).success().stdout.len(), FILES + 1);
    let walked = begun.elapsed();
    let some = world.repo("many").join("added");
    fs::write(&some, "one more\n").unwrap();
    world.flush();
    let commit = world.repo_status("many")["change"]["commit_oid"].clone();
    let bare = world.bare("many");
    let listed = git_text(
        &bare,
        &["ls-tree", "-r", "--name-only", commit.as_str().unwrap()],
    );
    assert_eq!(listed.lines().count(), FILES + 2);
    println!("{FILES} files: walked in {:.1} s", walked.as_secs_f64());
}
