//! Locks: of ranges by process, of ranges by open file, and of whole files. They are the kernel's own.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use crate::pair::{Pair, open, outcome};

/// A lock of this kind on a range, by one of the commands of `fcntl(2)`.
fn range_lock(file: &File, command: i32, kind: i32, start: i64, length: i64) -> io::Result<()> {
    // SAFETY: all of the structure's fields are numbers.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = start;
    lock.l_len = length;
    // SAFETY: an open descriptor and a structure that is alive during the call.
    match unsafe { libc::fcntl(file.as_raw_fd(), command, &lock) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn whole_lock(file: &File, operation: i32) -> io::Result<()> {
    // SAFETY: an open descriptor and a number.
    match unsafe { libc::flock(file.as_raw_fd(), operation) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

const PATHS: [&str; 2] = ["README.md", "src/main.rs"];

#[test]
fn open_files_lock_ranges_against_each_other() {
    const SET: i32 = libc::F_OFD_SETLK;
    let pair = Pair::new();
    for path in PATHS {
        pair.same(path, |root| {
            let (one, two) = (open(&root.join(path)), open(&root.join(path)));
            let by = |file: &File, kind, start| outcome(range_lock(file, SET, kind, start, 10));
            let told = [
                by(&one, libc::F_WRLCK, 0),
                by(&two, libc::F_WRLCK, 5),
                by(&two, libc::F_RDLCK, 9),
                by(&two, libc::F_WRLCK, 10),
                by(&one, libc::F_RDLCK, 0),
                by(&two, libc::F_RDLCK, 0),
                by(&one, libc::F_WRLCK, 0),
                by(&two, libc::F_UNLCK, 0),
                by(&one, libc::F_WRLCK, 0),
            ];
            // A lock ends with the open file.
            drop(one);
            (told, by(&two, libc::F_WRLCK, 0))
        });
    }
}

#[test]
fn whole_files_are_locked_by_whoever_opened_them() {
    let pair = Pair::new();
    for path in PATHS {
        pair.same(path, |root| {
            let (one, two) = (open(&root.join(path)), open(&root.join(path)));
            let by = |file: &File, operation| outcome(whole_lock(file, operation | libc::LOCK_NB));
            let told = [
                by(&one, libc::LOCK_SH),
                by(&two, libc::LOCK_SH),
                by(&one, libc::LOCK_EX),
                by(&two, libc::LOCK_UN),
                by(&one, libc::LOCK_EX),
                by(&two, libc::LOCK_SH),
                // The two families know nothing of each other.
                outcome(range_lock(&two, libc::F_SETLK, libc::F_WRLCK, 0, 0)),
            ];
            drop(one);
            (told, by(&two, libc::LOCK_EX))
        });
    }
}

#[test]
fn processes_lock_ranges_against_each_other() {
    // Python has `lockf`, and holds the lock until it is told.
    const HOLDER: &str = "import fcntl, sys\n\
        f = open(sys.argv[1], 'r+b')\n\
        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)\n\
        print('held', flush=True)\n\
        sys.stdin.read()\n";
    let pair = Pair::new();
    for path in PATHS {
        pair.same(path, |root| {
            let path = root.join(path);
            let file = open(&path);
            let mut holder = Command::new("python3")
                .args(["-c", HOLDER])
                .arg(&path)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            let answer = holder.stdout.take().unwrap();
            io::BufRead::read_line(&mut io::BufReader::new(answer), &mut line).unwrap();
            let lock = |start| outcome(range_lock(&file, libc::F_SETLK, libc::F_WRLCK, start, 5));
            let held = [lock(0), lock(9), lock(10)];
            drop(holder.stdin.take());
            assert!(holder.wait().unwrap().success());
            (line, held, lock(0))
        });
    }
}
