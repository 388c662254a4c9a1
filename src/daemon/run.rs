//! A daemon's life, from the lock of its data directory to the last word about what remains.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::audience::{Audience, Supervision};
use super::control::{Answer, ControlServer, Drained};
use super::desk::{Desk, Stop};
use super::pinning::Pinning;
use super::prefetching::Prefetching;
use super::ready::Ready;
use super::reports::Reporter;
use super::repositories::OpenRepositories;
use super::rounds::Rounds;
use super::{
    DataLock, Error, Holding, control_socket, exporting, harden, holders, keeper, private_folder,
    pruning, signals, space, supervisor, upkeep,
};
use crate::config::{AllowOther, Config, Opens, Transport};
use crate::fuse::{self, Access, Mounted, SpecialFiles, Unmount};

/// How long SIGTERM and Ctrl+C push what is left before they unmount.
const DRAIN_DEFAULT: Duration = Duration::from_secs(30);
/// How long a session may take to end after its mount is gone: requests of its workers have
/// deadlines of a few seconds.
const SESSION_END: Duration = Duration::from_secs(10);
/// How long the local state may take to come to rest: pushes that are under way have deadlines.
const CLOSE_MAX: Duration = Duration::from_secs(60);
/// The same, when somebody wants the end now.
const CLOSE_NOW: Duration = Duration::from_millis(500);
/// How long the thread of the pins may take after that: its requests have failed by then.
const PINS_END: Duration = Duration::from_secs(2);
/// How long peers of the control socket may take to get their last answers.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long a mount may be in use by what is just ending.
const BUSY_PATIENCE: Duration = Duration::from_secs(1);
/// Pause between two tries to unmount.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Stop requests that wait for the loop; one more is refused.
const STOPS_MAX: usize = 4;

/// Mounts, tells `audience` once the mount answers, and serves until a signal, `mesa umount`, or
/// somebody else's unmount ends it. Returns what the remote does not have.
///
/// # Errors
///
/// Why it could not start. Once it has started, it always ends in order.
pub fn run(config: Config, audience: &dyn Audience) -> Result<Drained, Error> {
    let began = Instant::now();
    let blocked = signals::block().map_err(Error::Setup)?;
    harden::harden();
    space::check_mount(&config.data_folder)?;
    for folder in [
        &config.data_folder,
        &config.cache.folder,
        &config.runtime_folder,
    ] {
        private_folder(folder)?;
    }
    let lock = DataLock::take(&config.data_folder, Holding::Starting)?;
    let runtime_lock = runtime_lock(&config)?;
    if audience.supervision() == Supervision::None {
        supervisor::forget_earlier(&config.runtime_folder);
    }
    exporting::sweep(&config.data_folder);
    let signals = blocked.listen().map_err(Error::Setup)?;
    let config = Arc::new(config);
    let repositories = OpenRepositories::open(&config)?;
    let upkeep = upkeep::start(Arc::downgrade(&repositories), config.commit_interval);
    let upkeep = upkeep.map_err(Error::Setup)?;
    let keeper = keeper::start(Arc::downgrade(&repositories), Arc::clone(&config.secrets));
    let keeper = keeper.map_err(Error::Setup)?;
    make_mount_point(&config.mount_point)?;
    let reporter = Arc::new(Reporter::new(Arc::clone(&repositories)));
    let mounted = Arc::new(Mounted::start(
        &mount_options(&config),
        Arc::clone(&repositories) as Arc<dyn fuse::Repositories>,
        Arc::clone(&reporter) as Arc<dyn fuse::Reports>,
    )?);
    let pruning = pruning::start(
        Arc::downgrade(&repositories),
        Arc::downgrade(&mounted),
        config.cache.memory_bytes_max,
    );
    let pruning = pruning.map_err(Error::Setup)?;
    let (stop, stops) = bounded(STOPS_MAX);
    let desk = Arc::new(Desk {
        began,
        mounted: Arc::clone(&mounted),
        data: canonical(&config.data_folder).display().to_string(),
        runtime: config.runtime_folder.clone(),
        mount_point: mounted.path().display().to_string(),
        repositories: Arc::clone(&repositories),
        draining: AtomicBool::new(false),
        prefetching: Prefetching::default(),
        pinning: Pinning::start(&repositories)?,
        stop,
    });
    reporter.ask(&desk);
    let control = ControlServer::listen(&control_socket(&config), Arc::clone(&desk) as _)?;
    let pid = std::process::id();
    // For people and scripts; nothing of ours reads it.
    if let Err(error) = std::fs::write(&config.pid_file, format!("{pid}\n")) {
        tracing::warn!(path = %config.pid_file.display(), error = %error, "no pid file");
    }
    tracing::info!(mount_point = desk.mount_point, "mounted");
    lock.say(Holding::Serving);
    audience.ready(Ready { pid });

    let life = Life {
        mounted,
        repositories,
        upkeep,
        keeper,
        pruning,
        desk,
        signals,
        stops,
        audience,
    };
    let (drained, rest, reply) = life.live()?;
    let peers = control.close();
    let _gone_already = std::fs::remove_file(&config.pid_file);
    supervisor::forget_lost(&config.runtime_folder);
    match rest {
        Rest::Complete => drop((lock, runtime_lock)),
        Rest::Cut => {
            // A push is still under way, and only the end of this process ends it for good.
            lock.say(Holding::Command);
            std::mem::forget((lock, runtime_lock));
        }
    }
    if let Some(reply) = reply {
        let _peer_gone = reply.send(Answer::Stopped(drained.clone()));
    }
    peers.wait_until(Instant::now() + LAST_WORDS);
    Ok(drained)
}

/// The runtime directory may be shared by two data directories by mistake: then the second daemon
/// would take the first one's socket away.
fn runtime_lock(config: &Config) -> Result<Option<DataLock>, Error> {
    if config.runtime_folder == config.data_folder {
        return Ok(None);
    }
    DataLock::take(&config.runtime_folder, Holding::Serving).map(Some)
}

/// One spelling for one directory, so that two commands agree on which is meant.
fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Makes the mount point if nothing is there. A dead mount is not nothing: looking at it fails in
/// another way, and mounting clears it.
fn make_mount_point(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => std::fs::create_dir_all(path)
            .map_err(|source| Error::Folder {
                path: path.to_owned(),
                source,
            }),
        _ => Ok(()),
    }
}

fn mount_options(config: &Config) -> fuse::Options {
    fuse::Options {
        mount_point: config.mount_point.clone(),
        access: match config.allow_other {
            AllowOther::Everyone => Access::Everyone,
            AllowOther::Owner => Access::Owner,
        },
        owner: (config.uid, config.gid),
        special_files: SpecialFiles::Inert,
        opens: match config.opens {
            Opens::Kernel => fuse::Opens::Kernel,
            Opens::Plain => fuse::Opens::Plain,
            Opens::Passthrough => fuse::Opens::Passthrough,
        },
        transport: match config.transport {
            Transport::Device => fuse::Transport::Device,
            Transport::IoUring => fuse::Transport::IoUring,
        },
        helper: std::env::var_os("FUSERMOUNT_PATH").map(PathBuf::from),
    }
}

/// A daemon that serves.
struct Life<'a> {
    mounted: Arc<Mounted>,
    repositories: Arc<OpenRepositories>,
    upkeep: Rounds,
    keeper: Rounds,
    pruning: Rounds,
    desk: Arc<Desk>,
    signals: Receiver<()>,
    stops: Receiver<Stop>,
    audience: &'a dyn Audience,
}

/// How the local state was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rest {
    /// The next opening is quick.
    Complete,
    /// As after a crash.
    Cut,
}

/// What ends a life.
enum Cause {
    Signal,
    Stop(Stop),
    /// The mount is gone, or dead, by somebody else's doing.
    Gone,
}

impl Life<'_> {
    /// Serves until something ends it, and ends in order.
    fn live(self) -> Result<(Drained, Rest, Option<Sender<Answer>>), Error> {
        let gone = self.watch_session()?;
        loop {
            let cause = select! {
                recv(self.signals) -> _ => Cause::Signal,
                recv(gone) -> _ => Cause::Gone,
                recv(self.stops) -> stop => match stop {
                    Ok(stop) => Cause::Stop(stop),
                    Err(_) => Cause::Signal,
                },
            };
            self.audience.ending();
            self.desk.draining.store(true, Ordering::Release);
            let (drain, how, reply) = match cause {
                Cause::Signal => (DRAIN_DEFAULT, Unmount::Clean, None),
                Cause::Gone => (DRAIN_DEFAULT, Unmount::Lazy, None),
                Cause::Stop(stop) => (stop.drain, stop.how, Some(stop.reply)),
            };
            let (mut deadline, mut patience) = (Instant::now() + drain, CLOSE_MAX);
            if self.repositories.drain(deadline, &self.signals).cancelled {
                // The second signal means "now".
                (deadline, patience) = (Instant::now(), CLOSE_NOW);
            }
            match self.unmount(how) {
                Ok(_) => {}
                // Asked by a person, who can close what is open, or insist.
                Err(error @ fuse::Error::Busy { .. }) if reply.is_some() => {
                    self.desk.draining.store(false, Ordering::Release);
                    self.audience.staying();
                    if let Some(reply) = reply {
                        let mut failure = Error::Mount(error).failure();
                        let holders = holders::find(self.mounted.path());
                        failure.causes = holders.iter().map(ToString::to_string).collect();
                        let _peer_gone = reply.send(Answer::Failed(failure));
                    }
                    continue;
                }
                Err(error) => {
                    let holders = holders::find(self.mounted.path());
                    let holders: Vec<String> = holders.iter().map(ToString::to_string).collect();
                    tracing::warn!(error = %error, ?holders, "unmounted lazily instead");
                    if let Err(error) = self.mounted.unmount(Unmount::Lazy) {
                        tracing::error!(error = %error, "the mount stays behind");
                    }
                }
            }
            let (drained, rest) = self.end(deadline, patience);
            return Ok((drained, rest, reply));
        }
    }

    /// Unmounts; what ended a moment ago may still be letting go of its files.
    fn unmount(&self, how: Unmount) -> Result<fuse::Unmounted, fuse::Error> {
        let deadline = Instant::now() + BUSY_PATIENCE;
        loop {
            match self.mounted.unmount(how) {
                Err(fuse::Error::Busy { .. }) if Instant::now() < deadline => {
                    thread::sleep(BUSY_PAUSE);
                }
                result => return result,
            }
        }
    }

    /// After the mount is gone nothing changes any more: what is left now is what remains.
    fn end(&self, deadline: Instant, patience: Duration) -> (Drained, Rest) {
        let session_end = Instant::now() + SESSION_END.min(patience);
        let session = self.mounted.wait_until(session_end);
        if session.is_none() {
            tracing::warn!("programs still use the mount; it ends under them");
        }
        let drained = self.repositories.drain(deadline, &self.signals).drained;
        self.keeper.stop();
        self.pruning.stop();
        self.upkeep.stop();
        self.desk.prefetching.stop(|_| true);
        self.desk.pinning.stop();
        let rest = self.close(patience);
        self.desk.pinning.wait(PINS_END);
        for remaining in &drained.remains {
            tracing::warn!(
                repository = format_args!("{}/{}", remaining.org, remaining.name),
                operations = remaining.operations,
                bytes = remaining.bytes,
                reason = remaining.reason,
                journal = remaining.journal,
                "not pushed; it stays in the journal, and `mesa journal export` writes it into one file"
            );
        }
        tracing::info!("unmounted");
        (drained, rest)
    }

    /// Brings the local state to rest, which waits for pushes that are under way; but not for long.
    fn close(&self, patience: Duration) -> Rest {
        let (closed, is_closed) = bounded(1);
        let repositories = Arc::clone(&self.repositories);
        let spawned = thread::Builder::new().name("close".into()).spawn(move || {
            repositories.close();
            let _too_late = closed.send(());
        });
        if spawned.is_ok() && is_closed.recv_timeout(patience).is_ok() {
            return Rest::Complete;
        }
        tracing::warn!("the local state is left as after a crash, which the next mount mends");
        Rest::Cut
    }

    fn watch_session(&self) -> Result<Receiver<()>, Error> {
        let (sender, gone) = bounded(1);
        let mounted = Arc::clone(&self.mounted);
        thread::Builder::new()
            .name("session-watch".into())
            .spawn(move || {
                let how = mounted.wait();
                tracing::info!(how = ?how, "the session ended");
                let _ending_already = sender.try_send(());
            })
            .map_err(Error::Setup)?;
        Ok(gone)
    }
}
