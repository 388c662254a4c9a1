//! One mount whose credential comes in one of the four ways, and is renewed in the same way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

use crate::DEADLINE;
use crate::support::fixture;
use crate::support::git::git_text;
use crate::support::process::{run, run_with_input};
use crate::support::stopwatch::wait_until;
use crate::support::world::{ORG, World};

/// A way in which a credential reaches a daemon that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    SetKey,
    File,
    Command,
    Remount,
}

impl Renewal {
    pub const ALL: [Renewal; 4] = [
        Renewal::SetKey,
        Renewal::File,
        Renewal::Command,
        Renewal::Remount,
    ];
}

/// A mounted world, with what is needed to renew its credential.
pub struct Case {
    pub world: World,
    pub renewal: Renewal,
}

impl Case {
    /// Serves a small repository `app`, and mounts it with a token of this life.
    pub fn mount(renewal: Renewal, lifetime: &str) -> Case {
        let source = TempDir::new().unwrap();
        let repository = fixture::small(source.path());
        let mut case = Case {
            world: World::serve(&[("app", &repository)]),
            renewal,
        };
        case.world.set("MESA_SECRETS_BACKEND", "plaintext-file");
        let file = case.key_file();
        match renewal {
            Renewal::File => case.world.set("MESA_API_KEY_FILE", file.to_str().unwrap()),
            Renewal::Command => {
                let command = format!("cat {}", file.display());
                case.world.set("MESA_SECRETS_COMMAND", &command);
            }
            Renewal::SetKey | Renewal::Remount => {}
        }
        // On a machine under load a token of some seconds may be over before the mount asks.
        for _ in 0..5 {
            let token = case.world.mint(lifetime, &["app"]);
            case.give(&token);
            let mounted = run(&mut case.world.mesa(&["mount", "--daemonize"]));
            if mounted.code() == 0 {
                case.world.adopt();
                return case;
            }
            mounted.expect(5);
        }
        panic!("no mount within the life of its token, five times");
    }

    fn key_file(&self) -> PathBuf {
        self.world.folder().join("token")
    }

    /// Puts a token where the next mount finds it.
    pub fn give(&mut self, token: &str) {
        match self.renewal {
            Renewal::File | Renewal::Command => {
                self.world.token = String::new();
                replace(&self.key_file(), token);
            }
            Renewal::SetKey | Renewal::Remount => token.clone_into(&mut self.world.token),
        }
    }

    /// Gives the running daemon a token, without a remount.
    pub fn renew(&mut self, lifetime: &str) {
        let token = self.world.mint(lifetime, &["app"]);
        let before = self.daemon();
        match self.renewal {
            Renewal::SetKey => {
                let mut command = self.world.mesa(&["auth", "set-key", "--org", ORG]);
                run_with_input(&mut command, &token).success();
            }
            Renewal::File | Renewal::Command => replace(&self.key_file(), &token),
            Renewal::Remount => {
                self.world.token = token;
                run(&mut self.world.mesa(&["mount", "--daemonize"])).success();
            }
        }
        assert_eq!(self.daemon(), before, "the same daemon goes on");
    }

    fn daemon(&self) -> u64 {
        self.world.status()["pid"].as_u64().unwrap()
    }

    /// Waits until the daemon knows that its credential is over.
    pub fn wait_for_the_end(&self) {
        wait_until("the token expires", DEADLINE, || {
            self.world.status()["credential"]["trouble"] == "expired"
        });
    }

    /// Waits until everything was pushed without anybody asking for it, then compares the remote's
    /// tree with what is mounted.
    pub fn drains_by_itself(&self) {
        let case = self.renewal;
        wait_until(&format!("{case:?}: drained by itself"), DEADLINE, || {
            self.world.pending("app") == 0
        });
        wait_until(&format!("{case:?}: all is well again"), DEADLINE, || {
            let status = self.world.status();
            status["credential"]["state"] == "valid" && status["state"] == "ready"
        });
        self.world.flush_and_compare("app");
    }

    /// The change that takes the edits.
    pub fn change(&self) -> Option<String> {
        let status = self.world.repo_status("app");
        status["change"]["id"].as_str().map(str::to_owned)
    }

    /// How many changes were made here: more than one would be an edit that is pushed twice.
    pub fn changes(&self) -> usize {
        let base = self.world.repo_status("app")["base"]["change_id"].clone();
        let names = ["for-each-ref", "--format=%(refname)", "refs/mesa/changes"];
        let names = git_text(&self.world.bare("app"), &names);
        let made = names
            .lines()
            .filter(|name| !name.ends_with(base.as_str().unwrap()));
        made.count()
    }
}

/// Replaces a file in one step.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, format!("{text}\n")).unwrap();
    fs::rename(new, path).unwrap();
}

/// Reads what is cached, all the time, and fails its test when that ever fails.
pub struct Reader {
    ended: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Reads some files once, then over and over.
    pub fn start(case: &Case) -> Reader {
        let app = case.world.repo("app");
        let expected: Vec<(PathBuf, Vec<u8>)> = ["README.md", "src/main.rs", "empty"]
            .iter()
            .map(|name| (app.join(name), fs::read(app.join(name)).unwrap()))
            .collect();
        let ended = Arc::new(AtomicBool::new(false));
        let rounds = Arc::new(AtomicU64::new(0));
        let shared = (Arc::clone(&ended), Arc::clone(&rounds));
        let thread = thread::spawn(move || {
            while !shared.0.load(Ordering::Relaxed) {
                for (path, bytes) in &expected {
                    let read = fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
                    assert_eq!(&read, bytes);
                    let length = fs::metadata(path).unwrap().len();
                    assert_eq!(length, bytes.len() as u64);
                }
                assert!(fs::read_dir(app.join("src")).unwrap().count() >= 3);
                shared.1.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        });
        Reader {
            ended,
            rounds,
            thread: Some(thread),
        }
    }

    /// Ends, and checks that nothing ever failed.
    #[track_caller]
    pub fn finish(mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.thread
            .take()
            .unwrap()
            .join()
            .expect("a cached read failed");
        assert!(self.rounds.load(Ordering::Relaxed) > 0);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
