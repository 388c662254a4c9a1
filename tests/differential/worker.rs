//! One process: the calls of a seed, and a line for each.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::stat::{Mode, umask};

use crate::call::{Call, next};
use crate::perform::Place;
use crate::shared::Shared;
use crate::show;
use crate::workload::Dice;

/// Set in the environment of a worker: its task, by line.
const TASK: &str = "MESA_TEST_DIFFERENTIAL";
/// A round in the shared folder follows every so many calls.
const CALLS_A_ROUND: u64 = 25;

/// What a worker is to do.
#[derive(Clone, Debug)]
pub struct Task {
    /// The mounted repository, or its like on ext4.
    pub base: PathBuf,
    /// The file that it writes its lines to.
    pub report: PathBuf,
    pub worker: u64,
    pub seed: u64,
    pub calls: u64,
    /// Times from before this are exact.
    pub start: i64,
}

/// What a worker wrote.
pub struct Report {
    pub lines: Vec<String>,
    /// Rounds in the shared folder, and races won there.
    pub shared: (u64, u64),
}

impl Task {
    /// The task of this process, if it is a worker.
    pub fn of_this_process() -> Option<Task> {
        let text = std::env::var(TASK).ok()?;
        let mut lines = text.lines();
        let mut word = || lines.next().unwrap();
        Some(Task {
            base: PathBuf::from(word()),
            report: PathBuf::from(word()),
            worker: word().parse().unwrap(),
            seed: word().parse().unwrap(),
            calls: word().parse().unwrap(),
            start: word().parse().unwrap(),
        })
    }

    /// Starts a process for it, which runs one test of this program again.
    pub fn start(&self, test: &str) -> Child {
        let text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}",
            self.base.display(),
            self.report.display(),
            self.worker,
            self.seed,
            self.calls,
            self.start
        );
        Command::new(std::env::current_exe().unwrap())
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .env(TASK, text)
            .args(["--exact", test, "--nocapture"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Does it.
    pub fn perform(&self) {
        umask(Mode::from_bits_truncate(0o022));
        let mut lines = String::new();
        let mut dice = Dice::new(self.seed * 100 + self.worker);
        let mut place = Place::new(&self.base.join(format!("worker-{}", self.worker)));
        let mut shared = Shared::new(&self.base, self.worker);
        for number in 0..self.calls {
            let call = next(&mut dice);
            let outcome = match place.perform(&call) {
                Ok(value) => value,
                Err(errno) => errno.to_string(),
            };
            let after = self.after(&place, &call);
            writeln!(lines, "{number} {call:?} = {outcome};{after}").unwrap();
            if number % CALLS_A_ROUND == 0 {
                shared.round();
            }
        }
        let (rounds, won) = shared.end();
        writeln!(lines, "{rounds} {won}").unwrap();
        fs::write(&self.report, lines).unwrap();
    }

    /// What is there after a call: at its paths, in their folders, and in the open file.
    fn after(&self, place: &Place, call: &Call) -> String {
        let mut said = String::new();
        let mut show = |path: &Path| {
            let shown = show::at(&place.at(path), self.start);
            write!(said, " {}: {shown};", path.display()).unwrap();
        };
        for path in call.paths() {
            show(&path);
            show(path.parent().unwrap());
        }
        if let Some(file) = call.slot().and_then(|slot| place.slot(slot).ok()) {
            let metadata = File::from(file.try_clone().unwrap()).metadata().unwrap();
            said.push_str(&show::attributes(&metadata, self.start));
        }
        said
    }

    /// What it wrote.
    pub fn report(&self) -> Report {
        let text = fs::read_to_string(&self.report).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let last = lines.pop().unwrap();
        let (rounds, won) = last.split_once(' ').unwrap();
        Report {
            lines,
            shared: (rounds.parse().unwrap(), won.parse().unwrap()),
        }
    }
}
