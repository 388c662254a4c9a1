//! Credentials: where they come from, which one is used, and how they stay out of sight.
//!
//! ```text
//! credential, scope     what one is, and what it is for
//! choice                pure: which of several is used; the one list of precedence
//! standing, pace        pure: what the server said of them, and how often it and the command are asked
//! file, stored, table, vault   files, and the store that `mesa auth` writes
//! command               the user's program that prints one
//! clock                 the server's time
//! ```
//!
//! [`Secrets`] holds what the stores have, each credential with the generation in which it came. A
//! change of any raises the generation and wakes whoever waits for [`Secrets::changes`]; so a running
//! daemon gets a new credential without a remount, whichever way it comes. Files are looked at by
//! [`Secrets::look`], which costs two stats when nothing changed; the command is run by
//! [`Secrets::renew`] alone, when nothing good is left, once at a time, and ever more rarely while
//! what it gives is refused.
//!
//! What comes from the environment stays in memory, that of `MESA_ORGS` too: a variable lives as long
//! as its process, and what it says is written to no store.
//!
//! A [`Credential`] is zeroed when dropped, masked in Debug and Display, and shown by `expose` alone.
//! Nothing here knows of HTTP. No lock is held while a file is read or a program runs but `renewing`,
//! which is there for that; it is taken before `state`.

mod choice;
mod clock;
mod command;
mod credential;
mod error;
mod file;
mod pace;
mod passphrase;
mod scope;
mod sources;
mod standing;
mod state;
mod stored;
mod table;
mod vault;
mod writing;

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

pub use choice::{Entry, Origin, Rank, Store};
pub use clock::ServerClock;
pub use credential::{CREDENTIAL_BYTES_MAX, Credential, CredentialError, Fingerprint, Kind};
pub use error::{Cause, CommandError, Error};
pub use passphrase::Passphrase;
pub use scope::{Place, PlaceError, Scope};
pub use sources::{SECRET_VARIABLES, Sources};
pub use standing::Refusal;
pub use state::{Found, Missing, RENEW_PATIENCE};
pub use stored::Backend;

use self::state::{Reread, State};
use self::stored::Stored;

/// What came of giving a credential to a running process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adopted {
    /// It is used already.
    Known,
    /// It was found in the store.
    Stored,
    /// It is kept in memory, for as long as this process lives.
    InMemory,
}

/// All credentials of a process.
pub struct Secrets {
    sources: Sources,
    renewing: Mutex<()>,
    state: Mutex<State>,
    clock: Arc<ServerClock>,
    changed: Sender<()>,
    changes: Receiver<()>,
}

impl Secrets {
    /// Credentials from these sources; files are read when the first is asked for.
    pub fn new(sources: Sources) -> Secrets {
        let (changed, changes) = bounded(1);
        Secrets {
            state: Mutex::new(State::new(&sources, SystemTime::now())),
            sources,
            renewing: Mutex::new(()),
            clock: Arc::default(),
            changed,
            changes,
        }
    }

    /// One credential for everything, as a variable of the environment gives it.
    pub fn of(credential: Credential) -> Secrets {
        Secrets::new(Sources {
            environment: vec![(Place::Global, "MESA_API_KEY", credential)],
            ..Sources::default()
        })
    }

    /// Where they come from.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The server's clock.
    pub fn clock(&self) -> Arc<ServerClock> {
        Arc::clone(&self.clock)
    }

    /// Opens the vault with this passphrase from now on.
    pub fn unlock(&self, passphrase: Passphrase) {
        let _one = self.renewing.lock();
        self.state.lock().unlock(passphrase);
    }

    /// What opens the vault, if it was given.
    pub fn passphrase(&self) -> Option<Passphrase> {
        self.state.lock().passphrase()
    }

    /// Whether the store is a vault, and no passphrase was given.
    pub fn wants_passphrase(&self) -> bool {
        self.sources.backend == Backend::Vault && !self.state.lock().is_unlocked()
    }

    /// Whether there is a vault that needs a passphrase, and none was given.
    pub fn is_locked(&self) -> bool {
        let exists = self.stored().is_some_and(|stored| stored.path().exists());
        exists && self.wants_passphrase()
    }

    /// The credential to use for `scope`. Reads files only the first time.
    ///
    /// # Errors
    ///
    /// [`Missing`] when no store has one.
    pub fn find(&self, scope: Scope<'_>) -> Result<Found, Missing> {
        if !self.state.lock().is_loaded() {
            let _one = self.renewing.lock();
            self.reread(Reread::Changed);
        }
        self.state.lock().find(scope, self.clock.now())
    }

    /// Everything that the stores have, by place; the command is not run for it.
    pub fn entries(&self) -> Vec<Entry> {
        if !self.state.lock().is_loaded() {
            let _one = self.renewing.lock();
            self.reread(Reread::Changed);
        }
        self.state.lock().entries()
    }

    /// What is wrong with stores, in words; told once to the log.
    pub fn troubles(&self) -> Vec<String> {
        self.state.lock().troubles()
    }

    /// Raised by every change of any credential, and when the server takes one again that it had
    /// refused.
    pub fn generation(&self) -> u64 {
        self.state.lock().generation()
    }

    /// Gets a message after the generation was raised, once for many. One receiver is meant.
    pub fn changes(&self) -> Receiver<()> {
        self.changes.clone()
    }

    /// Whether a found credential may be sent: of a refused one, now and then one caller may.
    ///
    /// # Errors
    ///
    /// What the server said of it last.
    pub fn admit(&self, found: &Found) -> Result<(), Refusal> {
        let which = found.credential.fingerprint();
        self.state.lock().standing.admit(which, Instant::now())
    }

    /// The server took a credential.
    pub fn accepted(&self, found: &Found) {
        if self.state.lock().accept(found) {
            tracing::info!(origin = %found.origin, "the server takes the credential again");
            self.announce();
        }
    }

    /// The server did not take a credential that was sent for `scope`.
    pub fn refused(&self, found: &Found, scope: Scope<'_>, refusal: Refusal) {
        let which = found.credential.fingerprint();
        let mut state = self.state.lock();
        if !state.standing.refuse(which, refusal, Instant::now()) {
            return;
        }
        let gives_way = state.gives_way(scope, self.clock.now());
        drop(state);
        tracing::warn!(origin = %found.origin, ?refusal, "the server refuses the credential");
        if gives_way {
            self.announce();
        }
    }

    /// The server does not allow a credential what was asked of it in `scope`.
    pub fn forbidden(&self, found: &Found, scope: Scope<'_>) {
        let which = found.credential.fingerprint();
        let mut state = self.state.lock();
        if !state.standing.forbid(which, Place::from(scope)) {
            return;
        }
        let gives_way = state.gives_way(scope, self.clock.now());
        drop(state);
        tracing::warn!(origin = %found.origin, "the credential does not allow what is asked");
        if gives_way {
            self.announce();
        }
    }

    /// Somebody asks for today's answer: the next request is sent whatever was refused before, and
    /// the command may run.
    pub fn try_now(&self) {
        self.state.lock().try_now(Instant::now());
    }

    /// Looks whether files have changed, and reads those that have. Blocks for that.
    pub fn look(&self) {
        let _one = self.renewing.lock();
        self.reread(Reread::Changed);
    }

    /// Whether [`Secrets::renew`] could find something better for `scope` now.
    pub fn wants_renewal(&self, scope: Scope<'_>) -> bool {
        let state = self.state.lock();
        !state.is_good(scope, self.clock.now()) && state.may_renew(Instant::now())
    }

    /// Looks for a better credential when there is no good one: reads the files again, then runs the
    /// command, if that is due. Callers at the same time share one such search. Blocks for at most
    /// the command's deadline and some file reads; who cannot wait so long waits for
    /// [`RENEW_PATIENCE`].
    pub fn renew(&self, scope: Scope<'_>) {
        let _one = self.renewing.lock();
        // Whoever waited for the lock may find that all is well, or was looked for just now.
        if !self.wants_renewal(scope) {
            return;
        }
        self.state.lock().search(Instant::now());
        let _search = Search(self);
        self.reread(Reread::Everything);
        let run = {
            let state = self.state.lock();
            !state.is_good(scope, self.clock.now()) && state.pace.is_due(Instant::now())
        };
        if run && let Some(command) = &self.sources.command {
            self.run(command);
        }
    }

    fn run(&self, command: &[String]) {
        let outcome = command::run(command, command::DEADLINE);
        let program = command.first().cloned().unwrap_or_default();
        let found = match outcome {
            Ok(credential) => Ok(vec![(Place::Global, program, credential)]),
            Err(source) => Err(Error::Command { program, source }),
        };
        let mut state = self.state.lock();
        state.pace.ran(Instant::now());
        let changed = state.take(Store::Command, found, self.clock.now());
        drop(state);
        if changed {
            self.announce();
        }
    }

    /// Takes a credential that somebody gives to this process: it counts from now on, unless it is
    /// used already. The store is read again first, since it may be there.
    pub fn adopt(&self, place: Place, credential: Credential, detail: &str) -> Adopted {
        let _one = self.renewing.lock();
        let before = self.generation();
        self.reread(Reread::Changed);
        let mut state = self.state.lock();
        if state.is_used(&place, &credential, self.clock.now()) {
            return match before == state.generation() {
                true => Adopted::Known,
                false => Adopted::Stored,
            };
        }
        state.hand(place, credential, detail, self.clock.now());
        drop(state);
        self.announce();
        Adopted::InMemory
    }

    /// Forgets what was given to this process for a place, and reads the store again.
    pub fn forget(&self, place: &Place) {
        let _one = self.renewing.lock();
        let forgotten = self.state.lock().forget(place);
        if forgotten {
            self.announce();
        }
        self.reread(Reread::Changed);
    }

    fn stored(&self) -> Option<Stored> {
        let folder = self.sources.folder.as_deref()?;
        Some(Stored::new(folder, self.sources.backend))
    }

    /// Reads files; `renewing` is held.
    fn reread(&self, how: Reread) {
        let mut changed = false;
        if let Some(path) = &self.sources.key_file {
            let seen = self.state.lock().key_file_seen();
            if let Some(read) = sources::key_file(path, seen, how) {
                changed |= self
                    .state
                    .lock()
                    .take_key_file(path, read, self.clock.now());
            }
        }
        if let Some(stored) = self.stored() {
            let (seen, passphrase) = {
                let state = self.state.lock();
                (state.stored_seen(), state.passphrase())
            };
            if let Some(read) = sources::stored(&stored, seen, passphrase.as_ref()) {
                let store = self.sources.backend.store();
                changed |=
                    self.state
                        .lock()
                        .take_stored(store, &stored.path(), read, self.clock.now());
            }
        }
        self.state.lock().loaded();
        if changed {
            self.announce();
        }
    }

    fn announce(&self) {
        // One message that nobody has taken yet says the same.
        let _told_already = self.changed.try_send(());
    }
}

/// A search that is under way; it has ended when this is dropped, also by a panic.
struct Search<'a>(&'a Secrets);

impl Drop for Search<'_> {
    fn drop(&mut self) {
        self.0.state.lock().searched(Instant::now());
    }
}

impl Default for Secrets {
    fn default() -> Secrets {
        Secrets::new(Sources::default())
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secrets(masked)")
    }
}

#[cfg(test)]
mod tests;
