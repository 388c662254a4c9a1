//! Keeps the credential fresh: one thread that notices new ones, wakes whoever waits for one, and
//! sees an end coming.
//!
//! Once a second it looks at the files of credentials. A change of any reaches the replay workers at
//! once, also those that gave up for want of a credential; readers find it by themselves. When nothing
//! good is left it has the credential command run, on a thread of its own, so that a command that
//! hangs keeps nothing from being noticed. In the margin before an end it has everything pushed.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, after, select};

use super::expiry::Life;
use super::replay_worker::Handshake;
use super::repositories::OpenRepositories;
use super::repository::Repository;
use super::rounds::Rounds;
use crate::remote::RepositoryName;
use crate::secrets::{Fingerprint, Found, Place, Secrets};

/// How often files are looked at: two stats.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often edits are looked for while everything is to be pushed at once.
const HURRY_EVERY: Duration = Duration::from_millis(100);
/// Credentials whose end was warned of; beyond it some are warned of twice.
const WARNED_MAX: usize = 256;

/// How long the server is given to tell the time before ours says what is about to end: ours may be
/// wrong. And how often is looked whether it has.
const CLOCK_PATIENCE: Duration = Duration::from_secs(5);
const CLOCK_LOOK_EVERY: Duration = Duration::from_millis(200);

/// Starts the thread. It does not keep the repositories alive.
///
/// # Errors
///
/// The thread cannot be started.
pub(super) fn start(
    repositories: Weak<OpenRepositories>,
    secrets: Arc<Secrets>,
) -> io::Result<Rounds> {
    let round = Round {
        generation: secrets.generation(),
        renewing: Arc::default(),
        began: Instant::now(),
        secrets,
        warned: HashSet::new(),
        hurried: HashMap::new(),
    };
    Rounds::start("credentials", move |ended| {
        rounds(&repositories, round, ended);
    })
}

fn rounds(repositories: &Weak<OpenRepositories>, mut round: Round, ended: &Receiver<()>) {
    let changes = round.secrets.changes();
    let mut looked: Option<Instant> = None;
    loop {
        if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            round.secrets.look();
            looked = Some(Instant::now());
        }
        let pause = match repositories.upgrade() {
            Some(repositories) => round.go(&repositories),
            None => return,
        };
        select! {
            recv(ended) -> _ => return,
            recv(changes) -> _ => {}
            recv(after(pause)) -> _ => {}
        }
    }
}

/// What is remembered from round to round.
struct Round {
    secrets: Arc<Secrets>,
    generation: u64,
    renewing: Arc<AtomicBool>,
    began: Instant,
    warned: HashSet<Fingerprint>,
    /// Pushes that were asked for because an end is near.
    hurried: HashMap<RepositoryName, Handshake>,
}

impl Round {
    /// Does what is due; returns how long nothing will be.
    fn go(&mut self, repositories: &OpenRepositories) -> Duration {
        let all = repositories.all();
        let generation = self.secrets.generation();
        if generation != self.generation {
            self.generation = generation;
            self.changed(repositories);
        }
        self.renew(repositories, &all);
        let clock = self.secrets.clock();
        if !clock.is_known() && self.began.elapsed() < CLOCK_PATIENCE {
            return CLOCK_LOOK_EVERY;
        }
        let mut pause = LOOK_EVERY;
        let now = clock.now();
        if let Ok(found) = self.secrets.find(repositories.scope()) {
            pause = pause.min(self.watch(&found, now, None));
        }
        for repository in &all {
            if let Ok(found) = self.secrets.find(repository.name().scope()) {
                pause = pause.min(self.watch(&found, now, Some(repository)));
            }
        }
        pause
    }

    fn changed(&self, repositories: &OpenRepositories) {
        match self.secrets.find(repositories.scope()) {
            Ok(found) => tracing::info!(origin = %found.origin, "another credential"),
            Err(missing) => tracing::warn!(error = %missing, "no credential any more"),
        }
        repositories.credential_changed();
    }

    /// Has a better credential looked for where there is no good one.
    fn renew(&self, repositories: &OpenRepositories, all: &[Arc<Repository>]) {
        let names = all.iter().map(|repository| repository.name().scope());
        let mut scopes = std::iter::once(repositories.scope()).chain(names);
        let Some(wanted) = scopes.find(|scope| self.secrets.wants_renewal(*scope)) else {
            return;
        };
        if self.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let (secrets, renewing) = (Arc::clone(&self.secrets), Arc::clone(&self.renewing));
        let place = Place::from(wanted);
        let spawned = thread::Builder::new()
            .name("renewal".into())
            .spawn(move || {
                secrets.renew(place.scope());
                renewing.store(false, Ordering::Release);
            });
        if let Err(error) = spawned {
            self.renewing.store(false, Ordering::Release);
            tracing::warn!(error = %error, "no thread for the credential command");
        }
    }

    /// Warns of an end, once, and has everything pushed before it; returns how long nothing changes.
    fn watch(
        &mut self,
        found: &Found,
        now: SystemTime,
        repository: Option<&Arc<Repository>>,
    ) -> Duration {
        let Some(expires) = found.credential.expires_at() else {
            return LOOK_EVERY;
        };
        let which = found.credential.fingerprint();
        let life = Life::new(found.credential.issued_at(), expires, found.seen);
        let phase = life.phase(now);
        if self.warned.len() >= WARNED_MAX {
            self.warned.clear();
        }
        if phase.is_late && self.warned.insert(which) {
            let seconds_left = life.left(now).as_secs();
            tracing::warn!(origin = %found.origin, seconds_left, "the credential is about to expire");
        }
        let mut pause = phase.lasts.unwrap_or(LOOK_EVERY);
        if phase.is_hurried
            && let Some(repository) = repository
        {
            self.hurry(repository, life.left(now));
            pause = pause.min(HURRY_EVERY);
        }
        pause
    }

    /// Has a repository pushed at once, unless that is under way, or pointless.
    fn hurry(&mut self, repository: &Arc<Repository>, left: Duration) {
        if !repository.can_hurry() {
            return;
        }
        let name = repository.name();
        if self
            .hurried
            .get(name)
            .is_some_and(|under_way| !under_way.is_over())
        {
            return;
        }
        tracing::debug!(repository = %name, "pushed before the credential expires");
        let handshake = repository.drain(Instant::now() + left);
        self.hurried.insert(name.clone(), handshake);
    }
}
