//! What answers at the control socket of a daemon that serves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded, never};

use super::control::{
    Answer, CredentialRequest, Handler, Order, Ordered, PinAnswer, PinRequest, PrefetchAnswer,
    PrefetchRequest, RepoRequest, Request, Versions,
};
use super::opening::Hide;
use super::pinning::Pinning;
use super::prefetching::Prefetching;
use super::reports::Informed;
use super::repositories::OpenRepositories;
use super::status::{State, Status};
use super::{Error, Failure, Reason, credentials, exporting, log, meeting, stats, supervisor};
use crate::fuse::{Mounted, Unmount};

/// A request to end, and where its outcome is awaited.
pub(super) struct Stop {
    pub(super) drain: Duration,
    pub(super) how: Unmount,
    pub(super) reply: Sender<Answer>,
}

/// What answers at the control socket.
pub(super) struct Desk {
    pub(super) began: Instant,
    pub(super) mounted: Arc<Mounted>,
    pub(super) data: String,
    pub(super) runtime: PathBuf,
    pub(super) mount_point: String,
    pub(super) repositories: Arc<OpenRepositories>,
    pub(super) draining: AtomicBool,
    pub(super) prefetching: Prefetching,
    pub(super) pinning: Arc<Pinning>,
    pub(super) stop: Sender<Stop>,
}

impl Handler for Desk {
    fn handle(&self, request: Request) -> Answer {
        match request {
            Request::Version => Answer::Version(Versions {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                mount_point: self.mount_point.clone(),
                data_dir: self.data.clone(),
                settings: meeting::settings(self.repositories.config()),
                draining: self.draining.load(Ordering::Acquire),
            }),
            Request::Status => Answer::Status(Box::new(self.status())),
            Request::Stats => Answer::Metrics(stats::gather(&stats::Sources {
                counters: self.mounted.counters(),
                remote: self.repositories.remote(),
                repositories: &self.repositories,
                began: self.began,
            })),
            Request::Log { level } => {
                answered(log::adjust(level).map(Answer::Log).ok_or(Error::NoLog))
            }
            Request::JournalList => Answer::Journal(self.repositories.journal()),
            Request::JournalShow { repo, path } => {
                answered(self.show(repo.as_deref(), path.as_deref()))
            }
            Request::JournalOrder { repo, order } => answered(self.order(repo.as_deref(), order)),
            Request::JournalDrop { repo, path } => answered(self.give_up(repo.as_deref(), &path)),
            Request::JournalVerify { repo } => answered(
                self.repositories
                    .verify(repo.as_deref())
                    .map(Answer::Verified),
            ),
            Request::Credential(request) => answered(self.credential(request)),
            Request::Conflicts(request) => {
                answered(self.repositories.conflicts(&request, &self.mount_point))
            }
            Request::Publish(request) => answered(self.repositories.publish(&request)),
            Request::Export { repo, format } => answered(
                exporting::of_mounted(&self.repositories, repo.as_deref(), format)
                    .map(Answer::Exported),
            ),
            Request::Repo(request) => answered(self.repo(&request)),
            Request::Prefetch(request) => answered(self.prefetch(request).map(Answer::Prefetch)),
            Request::Pin(request) => answered(self.pin(&request).map(Answer::Pin)),
            Request::Profile(request) => {
                answered(self.repositories.profile(&request).map(Answer::Ordered))
            }
            Request::Flush { timeout_ms } => {
                self.repositories.config().secrets.try_now();
                let deadline = Instant::now() + Duration::from_millis(timeout_ms);
                Answer::Flushed(self.repositories.drain(deadline, &never()).drained)
            }
            Request::Stop { drain_ms, force } => self.stop(drain_ms, force),
        }
    }
}

/// A failure is an answer like any other.
fn answered(result: Result<Answer, Error>) -> Answer {
    result.unwrap_or_else(|error| Answer::Failed(error.failure()))
}

impl Informed for Desk {
    fn status(&self) -> Status {
        let mut status = self.repositories.status();
        status.pid = Some(std::process::id());
        status.mount_point = Some(self.mount_point.clone());
        status.supervisor = supervisor::status(&self.runtime);
        if self.draining.load(Ordering::Acquire) {
            status.state = State::Draining;
        }
        status
    }
}

impl Desk {
    fn show(&self, repo: Option<&str>, path: Option<&str>) -> Result<Answer, Error> {
        let repository = self.repositories.one(repo)?;
        let records = repository
            .records(path)
            .map_err(|source| Error::Repository {
                name: repository.name().to_string(),
                source,
            })?;
        Ok(Answer::JournalRecords(Box::new(records)))
    }

    fn prefetch(&self, request: PrefetchRequest) -> Result<PrefetchAnswer, Error> {
        match request {
            PrefetchRequest::Start { repo, path } => {
                let repository = self.repositories.one(Some(&repo))?;
                return self.prefetching.start(repository, &path);
            }
            PrefetchRequest::List => {}
            PrefetchRequest::Stop => self.prefetching.stop(|_| true),
        }
        Ok(self.prefetching.list())
    }

    fn pin(&self, request: &PinRequest) -> Result<PinAnswer, Error> {
        let (repositories, pinning) = (&self.repositories, &self.pinning);
        match request {
            PinRequest::Add { repo, path } => {
                if !repositories.config().cache.enabled {
                    return Err(Error::NothingKept);
                }
                pinning.add(&*repositories.one(Some(repo))?, path)
            }
            PinRequest::Remove { repo, path } => pinning.remove(repositories.store(), repo, path),
            PinRequest::List => Ok(pinning.list()),
        }
    }

    fn credential(&self, request: CredentialRequest) -> Result<Answer, Error> {
        let secrets = &self.repositories.config().secrets;
        Ok(Answer::Credential(credentials::follow(secrets, request)?))
    }

    fn repo(&self, request: &RepoRequest) -> Result<Answer, Error> {
        let forget = |organization: &_, name: &_| self.mounted.forget_name(organization, name);
        let answer = match request {
            RepoRequest::List => {
                return Ok(Answer::Explicit(self.repositories.selection.explicit()));
            }
            RepoRequest::Open { org, name, rev } => {
                (self.repositories).show((org.as_deref(), name), rev.as_deref(), forget)?
            }
            RepoRequest::Close {
                org,
                name,
                timeout_ms,
                force,
            } => {
                let deadline = Instant::now() + Duration::from_millis(*timeout_ms);
                let how = if *force { Hide::Anyway } else { Hide::Idle };
                let of_organization = |repo: &str| {
                    let (organization, repository) = repo.split_once('/').unwrap_or(("", repo));
                    repository == name && org.as_deref().is_none_or(|org| org == organization)
                };
                self.prefetching.stop(of_organization);
                self.pinning.pause(of_organization);
                (self.repositories).hide((org.as_deref(), name), deadline, how, forget)?
            }
        };
        Ok(Answer::Repo(Box::new(answer)))
    }

    fn order(&self, repo: Option<&str>, order: Order) -> Result<Answer, Error> {
        let mut ordered = Ordered::default();
        self.repositories.config().secrets.try_now();
        for repository in self.repositories.named(repo)? {
            let name = repository.name().to_string();
            match repository.order(order) {
                Ok(()) => ordered.repos.push(name),
                Err(source) => return Err(Error::Repository { name, source }),
            }
        }
        Ok(Answer::Ordered(ordered))
    }

    fn give_up(&self, repo: Option<&str>, path: &str) -> Result<Answer, Error> {
        let repository = self.repositories.one(repo)?;
        let name = repository.name().to_string();
        match repository.give_up(path) {
            Ok(dropped) => Ok(Answer::Ordered(Ordered {
                repos: vec![name],
                dropped,
            })),
            Err(source) => Err(Error::Repository { name, source }),
        }
    }

    fn stop(&self, drain_ms: u64, force: bool) -> Answer {
        let (reply, answer) = bounded(1);
        let stop = Stop {
            drain: Duration::from_millis(drain_ms),
            how: if force {
                Unmount::Force
            } else {
                Unmount::Clean
            },
            reply,
        };
        let asked = self.stop.try_send(stop).ok();
        match asked.and_then(|()| answer.recv().ok()) {
            Some(answer) => answer,
            None => Answer::Failed(Failure {
                reason: Reason::Failed,
                message: "the daemon is ending already".to_owned(),
                causes: Vec::new(),
                hint: None,
            }),
        }
    }
}
