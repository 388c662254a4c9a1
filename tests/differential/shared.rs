//! What several processes do at once to the same files, such that the end does not depend on who was
//! first: appending, counting under a lock, and races with one winner each.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

/// The folder, beside those that the workers have to themselves.
pub const FOLDER: &str = "shared";

/// One worker's part in it.
pub struct Shared {
    folder: PathBuf,
    worker: u64,
    rounds: u64,
    won: u64,
}

impl Shared {
    /// In the folder of a base.
    pub fn new(base: &Path, worker: u64) -> Shared {
        Shared {
            folder: base.join(FOLDER),
            worker,
            rounds: 0,
            won: 0,
        }
    }

    /// One round: a line, two counts, and two races.
    pub fn round(&mut self) {
        let number = self.rounds;
        self.rounds += 1;
        let mut log = OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.folder.join("log"))
            .unwrap();
        let line = format!("{} {number:012}\n", self.worker);
        assert_eq!(log.write(line.as_bytes()).unwrap(), line.len());
        self.count("counted-by-flock", |file| file.lock().unwrap());
        self.count("counted-by-fcntl", |file| {
            let lock = libc::flock {
                l_type: libc::F_WRLCK as i16,
                l_whence: libc::SEEK_SET as i16,
                l_start: 0,
                l_len: 0,
                l_pid: 0,
            };
            fcntl(file, FcntlArg::F_SETLKW(&lock)).unwrap();
        });
        let made = File::create_new(self.folder.join(format!("race-{number}")));
        self.race(made.map(drop));
        self.race(fs::create_dir(self.folder.join(format!("folder-{number}"))));
    }

    /// Adds one to the number in a file, which somebody else does as well. Closing it ends the lock.
    fn count(&self, name: &str, lock: impl FnOnce(&File)) {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.folder.join(name))
            .unwrap();
        lock(&file);
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let number: u64 = text.trim().parse().unwrap_or(0);
        file.seek(SeekFrom::Start(0)).unwrap();
        writeln!(file, "{}", number + 1).unwrap();
    }

    fn race(&mut self, result: std::io::Result<()>) {
        match result {
            Ok(()) => self.won += 1,
            Err(error) => assert_eq!(error.raw_os_error(), Some(Errno::EEXIST as i32)),
        }
    }

    /// How many rounds there were, and how many races this worker won.
    pub fn end(self) -> (u64, u64) {
        (self.rounds, self.won)
    }
}

/// Checks what the workers, each with its rounds and its wins, have left.
#[track_caller]
pub fn check(base: &Path, workers: &[(u64, u64)]) {
    let folder = base.join(FOLDER);
    let rounds: u64 = workers.iter().map(|(rounds, _)| rounds).sum();
    let won: u64 = workers.iter().map(|(_, won)| won).sum();
    let most = workers.iter().map(|(rounds, _)| *rounds).max().unwrap_or(0);
    assert_eq!(won, 2 * most, "races in {base:?}");
    for name in ["counted-by-flock", "counted-by-fcntl"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(text, format!("{rounds}\n"), "{name} in {base:?}");
    }
    let log = fs::read_to_string(folder.join("log")).unwrap();
    for (worker, (rounds, _)) in workers.iter().enumerate() {
        let lines = log.lines().filter_map(|line| line.split_once(' '));
        let own = lines.filter(|(writer, _)| *writer == worker.to_string());
        let numbers: Vec<u64> = own.map(|(_, number)| number.parse().unwrap()).collect();
        let expected: Vec<u64> = (0..*rounds).collect();
        assert_eq!(numbers, expected, "lines of worker {worker} in {base:?}");
    }
    assert_eq!(log.lines().count() as u64, rounds, "lines in {base:?}");
}
