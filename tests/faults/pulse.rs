//! Somebody who only does what needs no server, all the time, and takes the time of each call.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::LOCAL_MAX;
use crate::support::syscall::refused;

/// Between two rounds: it is to notice a wait, not to load the machine.
const PAUSE: Duration = Duration::from_millis(20);

/// What it found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beat {
    /// Calls.
    pub calls: usize,
    /// The longest of them.
    pub longest: Duration,
}

/// Works below a mounted repository.
pub struct Pulse<'a> {
    app: PathBuf,
    cached: (PathBuf, Vec<u8>),
    /// Held during a round; whoever takes the mount away holds it meanwhile.
    pub mounted: &'a Mutex<()>,
    pub done: &'a AtomicBool,
}

impl<'a> Pulse<'a> {
    /// Reads `cached` once, so that it is here.
    pub fn new(
        app: &Path,
        cached: &str,
        mounted: &'a Mutex<()>,
        done: &'a AtomicBool,
    ) -> Pulse<'a> {
        let path = app.join(cached);
        let bytes = fs::read(&path).unwrap();
        fs::create_dir_all(app.join("pulse")).unwrap();
        Pulse {
            app: app.to_owned(),
            cached: (path, bytes),
            mounted,
            done,
        }
    }

    /// Goes on until it is done.
    pub fn beat(&self) -> Beat {
        let mut beat = Beat::default();
        for round in 0.. {
            if self.done.load(Ordering::SeqCst) {
                break;
            }
            let held = self.mounted.lock().unwrap();
            self.round(round, &mut beat);
            drop(held);
            thread::sleep(PAUSE);
        }
        beat
    }

    fn round(&self, round: usize, beat: &mut Beat) {
        let (cached, bytes) = &self.cached;
        let own = self.app.join("pulse");
        let file = own.join(format!("file-{}", round % 8));
        let renamed = own.join("renamed");
        let organization = self.app.parent().unwrap();
        let mut call = |what: &str, work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            let took = start.elapsed();
            assert!(took < LOCAL_MAX, "{what} waited {took:?}");
            beat.calls += 1;
            beat.longest = beat.longest.max(took);
        };
        call("a cached read", &mut || {
            assert_eq!(fs::read(cached).unwrap(), *bytes);
        });
        call("a write", &mut || fs::write(&file, bytes).unwrap());
        call("a rename", &mut || fs::rename(&file, &renamed).unwrap());
        call("a listing", &mut || {
            assert!(fs::read_dir(&own).unwrap().count() > 0);
        });
        call("the listing of the organization", &mut || {
            assert!(fs::read_dir(organization).unwrap().count() > 0);
        });
        call("a name that is none", &mut || {
            refused(fs::metadata(organization.join(".git")), libc::ENOENT);
            refused(fs::metadata(own.join(format!("no-{round}"))), libc::ENOENT);
        });
        call("a look at the repository", &mut || {
            assert!(fs::metadata(&self.app).unwrap().is_dir());
        });
        if round.is_multiple_of(10) {
            call("an fsync", &mut || {
                File::open(&renamed).unwrap().sync_all().unwrap();
            });
        }
    }
}
