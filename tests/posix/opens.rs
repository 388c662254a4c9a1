//! How files are opened: appending, directly, exclusively, cut to nothing, without a name, while they run.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::pair::{Pair, outcome};
use crate::support::fixture;
use crate::support::world::World;

#[test]
fn writers_that_append_never_overwrite_each_other() {
    const WRITERS: usize = 4;
    const LINES: usize = 200;
    let pair = Pair::new();
    for path in ["docs/one.md", "new"] {
        let path = pair.mounted().join(path);
        let before = fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .count();
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let path = &path;
                scope.spawn(move || {
                    let open = OpenOptions::new().append(true).create(true).open(path);
                    let mut file = open.unwrap();
                    for line in 0..LINES {
                        let text = format!("writer {writer} line {line}\n");
                        file.write_all(text.as_bytes()).unwrap();
                    }
                });
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), before + WRITERS * LINES);
        for writer in 0..WRITERS {
            let mine = format!("writer {writer} ");
            let lines = text.lines().filter_map(|line| line.strip_prefix(&mine));
            let expected = (0..LINES).map(|line| format!("line {line}"));
            assert!(lines.eq(expected), "writer {writer} out of order");
        }
    }
}

/// A buffer at a multiple of the page's size, as O_DIRECT wants it.
fn aligned(bytes: usize) -> (Vec<u8>, usize) {
    let buffer = vec![0_u8; bytes + 4096];
    let start = buffer.as_ptr().align_offset(4096);
    (buffer, start)
}

#[test]
fn direct_reads_and_writes_agree_with_cached_ones() {
    let pair = Pair::new();
    for path in ["docs/one.md", "new"] {
        pair.same(path, |root| {
            let path = root.join(path);
            let mut cached = OpenOptions::new();
            let cached = cached.read(true).write(true).create(true).truncate(false);
            let cached = cached.open(&path).unwrap();
            let direct = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_DIRECT)
                .open(&path)
                .unwrap();
            cached.write_all_at(&[1; 12_288], 0).unwrap();
            let (mut buffer, start) = aligned(8192);
            let room = &mut buffer[start..start + 8192];
            let seen = direct.read_at(room, 4096).unwrap();
            assert!(room[..seen].iter().all(|byte| *byte == 1));
            room.fill(2);
            let written = direct.write_at(room, 4096).unwrap();
            let mut all = vec![0; 16_384];
            let read = cached.read_at(&mut all, 0).unwrap();
            let at_end = direct.read_at(room, 12_288).unwrap();
            (seen, written, read, all, at_end)
        });
    }
}

#[test]
fn what_must_not_be_there_is_refused() {
    let pair = Pair::new();
    fs::create_dir(pair.mounted().join("new")).unwrap();
    pair.same("O_EXCL and O_TMPFILE", |root| {
        let exclusive = |name: &str| {
            let open = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(root.join(name));
            outcome(open.map(drop))
        };
        [
            "README.md",
            "docs",
            "src/link",
            "brand-new",
            "brand-new",
            "no/such",
        ]
        .map(exclusive)
    });
    let unnamed = OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(pair.mounted());
    // What programs take for "make a file with a name, then": a file without one has no record.
    assert!(
        outcome(unnamed.map(drop))
            .unwrap_err()
            .starts_with("EOPNOTSUPP")
    );
}

#[test]
fn what_is_cut_to_nothing_is_not_fetched() {
    let source = tempfile::tempdir().unwrap();
    let small = fixture::small(source.path());
    let mut world = World::serve(&[("app", &small)]);
    world.count_requests();
    world.mount();
    let app = world.repo("app");
    for folder in ["", "docs", "src", "bin"] {
        assert!(fs::read_dir(app.join(folder)).unwrap().count() > 0);
    }
    let before = world.proxy().requests().len();
    fs::write(app.join("docs/one.md"), "open and truncate\n").unwrap();
    let file = File::options()
        .write(true)
        .open(app.join("docs/two.md"))
        .unwrap();
    file.set_len(0).unwrap();
    let path = std::ffi::CString::new(app.join("src/main.rs").to_str().unwrap()).unwrap();
    // SAFETY: a C string, alive during the call.
    assert_eq!(unsafe { libc::truncate(path.as_ptr(), 0) }, 0);
    let fetched = world.proxy().requests();
    let content = fetched[before..]
        .iter()
        .filter(|line| line.contains("/content"));
    assert_eq!(content.count(), 0, "{fetched:?}");
}

/// Starts a program that was just written: whatever another test starts at the same time has our descriptor
/// for a moment, until it becomes that program.
fn spawn(command: &mut Command) -> Child {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {
                assert!(Instant::now() < deadline, "{command:?} stays busy");
                thread::sleep(Duration::from_millis(10));
            }
            started => return started.unwrap(),
        }
    }
}

#[test]
fn a_program_that_runs_is_not_written_to() {
    let pair = Pair::new();
    for path in ["bin/tool", "new"] {
        pair.same(path, |root: &Path| {
            let path = root.join(path);
            fs::copy("/bin/sleep", &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            let mut running = spawn(Command::new(&path).arg("60"));
            let busy = [
                outcome(File::options().write(true).open(&path).map(drop)),
                outcome(File::options().append(true).open(&path).map(drop)),
                outcome(
                    File::options()
                        .write(true)
                        .truncate(true)
                        .open(&path)
                        .map(drop),
                ),
                outcome(File::open(&path).map(drop)),
                // Refused, and not cut all the same.
                outcome(
                    OpenOptions::new()
                        .read(true)
                        .custom_flags(libc::O_TRUNC)
                        .open(&path)
                        .map(drop),
                ),
            ];
            assert!(fs::metadata(&path).unwrap().len() > 1000);
            assert_eq!(running.try_wait().unwrap(), None, "it still runs");
            running.kill().unwrap();
            running.wait().unwrap();
            let cut = OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_TRUNC)
                .open(&path);
            let free = outcome(cut.and_then(|file| Ok(file.metadata()?.len())));
            (busy, free, outcome(fs::remove_file(&path)))
        });
    }
}
