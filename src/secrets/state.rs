//! What is known of all credentials: no I/O, no clock of its own.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::choice::{self, Entry, Origin, Rank, Store};
use super::file::Signature;
use super::pace::Pace;
use super::sources::{KeyFileRead, Sources, StoredRead};
use super::standing::{Refusal, Standing};
use super::{Credential, Error, Passphrase, Place, Scope};

/// Shortest pause between two searches for something better: what has just failed for one reader
/// fails for all others.
const RENEW_PAUSE: Duration = Duration::from_secs(1);
/// How long a search that is under way is waited for: a command answers within that, or a reader is
/// better told what is missing.
pub const RENEW_PATIENCE: Duration = Duration::from_secs(3);

/// How files are read again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reread {
    /// Those that look changed.
    Changed,
    /// All whose reading costs nothing.
    Everything,
}

/// A credential, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// The credential.
    pub credential: Credential,
    /// What it is for.
    pub place: Place,
    /// Where it came from.
    pub origin: Origin,
    /// When it came, by the server's clock.
    pub seen: SystemTime,
    /// How good it is.
    pub rank: Rank,
    /// What the server said of it, if it refused it.
    pub refusal: Option<Refusal>,
}

/// No store has a credential for this scope, or for any wider one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no credential{}{}", of(organization.as_deref()), told(troubles))]
pub struct Missing {
    /// The organization that it was wanted for, if it was for one.
    pub organization: Option<String>,
    /// What is wrong with stores that may have one.
    pub troubles: Vec<String>,
    /// What would help.
    pub hint: Option<String>,
}

fn of(organization: Option<&str>) -> String {
    organization.map_or_else(String::new, |name| format!(" for the organization {name}"))
}

fn told(troubles: &[String]) -> String {
    match troubles {
        [] => String::new(),
        troubles => format!("; {}", troubles.join("; ")),
    }
}

type Reported = (String, Option<String>);

/// The state of [`super::Secrets`].
pub(super) struct State {
    entries: Vec<Entry>,
    generation: u64,
    loaded: bool,
    passphrase: Option<Passphrase>,
    key_file: Option<Option<Signature>>,
    stored: Option<Option<Signature>>,
    troubles: BTreeMap<Store, Reported>,
    renew_not_before: Option<Instant>,
    /// When the search that is under way began.
    searching: Option<Instant>,
    pub(super) standing: Standing,
    pub(super) pace: Pace,
    has_command: bool,
}

impl State {
    pub(super) fn new(sources: &Sources, now: SystemTime) -> State {
        let given = sources.environment.iter();
        let entries = given.map(|(place, variable, credential)| Entry {
            place: place.clone(),
            origin: Origin {
                store: Store::Environment,
                detail: (*variable).to_owned(),
            },
            credential: credential.clone(),
            since: 0,
            seen: now,
        });
        State {
            entries: entries.collect(),
            generation: 0,
            loaded: false,
            passphrase: None,
            key_file: None,
            stored: None,
            troubles: BTreeMap::new(),
            renew_not_before: None,
            searching: None,
            standing: Standing::default(),
            pace: Pace::default(),
            has_command: sources.command.is_some(),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// What comes from now on is a change.
    pub(super) fn loaded(&mut self) {
        self.loaded = true;
    }

    pub(super) fn passphrase(&self) -> Option<Passphrase> {
        self.passphrase.clone()
    }

    pub(super) fn is_unlocked(&self) -> bool {
        self.passphrase.is_some()
    }

    pub(super) fn unlock(&mut self, passphrase: Passphrase) {
        self.passphrase = Some(passphrase);
        self.stored = None;
        self.loaded = false;
    }

    pub(super) fn key_file_seen(&self) -> Option<Option<Signature>> {
        self.key_file
    }

    pub(super) fn stored_seen(&self) -> Option<Option<Signature>> {
        self.stored
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        entries.sort_by(|one, other| {
            (&one.place, one.origin.store).cmp(&(&other.place, other.origin.store))
        });
        entries
    }

    pub(super) fn troubles(&self) -> Vec<String> {
        let texts = self.troubles.values();
        texts.map(|(text, _)| text.clone()).collect()
    }

    fn choose(&self, scope: Scope<'_>, now: SystemTime) -> Option<(&Entry, Rank)> {
        let asked = Place::from(scope);
        choice::choose(&self.entries, scope, |entry| {
            let which = entry.credential.fingerprint();
            let over = |at: SystemTime| at <= now;
            if self.standing.refusal(which).is_some() {
                Rank::Refused
            } else if self.standing.is_forbidden(which, &asked) {
                Rank::Forbidden
            } else if entry.credential.expires_at().is_some_and(over) {
                Rank::Over
            } else {
                Rank::Good
            }
        })
    }

    pub(super) fn find(&self, scope: Scope<'_>, now: SystemTime) -> Result<Found, Missing> {
        match self.choose(scope, now) {
            Some((entry, rank)) => Ok(Found {
                credential: entry.credential.clone(),
                place: entry.place.clone(),
                origin: entry.origin.clone(),
                seen: entry.seen,
                rank,
                refusal: self.standing.refusal(entry.credential.fingerprint()),
            }),
            None => Err(Missing {
                organization: scope.organization().map(str::to_owned),
                troubles: self.troubles(),
                hint: self.troubles.values().find_map(|(_, hint)| hint.clone()),
            }),
        }
    }

    pub(super) fn is_good(&self, scope: Scope<'_>, now: SystemTime) -> bool {
        matches!(self.choose(scope, now), Some((_, Rank::Good)))
    }

    /// Whether this credential is what would be used for its own place.
    pub(super) fn is_used(&self, place: &Place, credential: &Credential, now: SystemTime) -> bool {
        let chosen = self.choose(place.scope(), now);
        chosen.is_some_and(|(entry, _)| &entry.place == place && &entry.credential == credential)
    }

    pub(super) fn may_renew(&self, now: Instant) -> bool {
        if let Some(begun) = self.searching {
            return now < begun + RENEW_PATIENCE;
        }
        let rested = self.renew_not_before.is_none_or(|at| now >= at);
        rested && (!self.has_command || self.pace.is_due(now))
    }

    /// A search begins.
    pub(super) fn search(&mut self, now: Instant) {
        self.searching = Some(now);
    }

    /// It has ended.
    pub(super) fn searched(&mut self, now: Instant) {
        self.searching = None;
        self.renew_not_before = Some(now + RENEW_PAUSE);
    }

    pub(super) fn try_now(&mut self, now: Instant) {
        self.standing.probe_now(now);
        self.renew_not_before = None;
        self.pace.hurry();
    }

    /// The server took it; returns whether that is a change.
    pub(super) fn accept(&mut self, found: &Found) -> bool {
        if found.origin.store == Store::Command {
            self.pace.worked();
        }
        let again = self.standing.accept(found.credential.fingerprint());
        if again {
            self.generation += 1;
        }
        again
    }

    /// The server does not take it, or does not allow it something; returns whether another one will
    /// do, of which those who wait for one have to be told.
    pub(super) fn gives_way(&mut self, scope: Scope<'_>, now: SystemTime) -> bool {
        let other = self.is_good(scope, now);
        if other {
            self.generation += 1;
        }
        other
    }

    pub(super) fn take_key_file(
        &mut self,
        path: &Path,
        read: KeyFileRead,
        now: SystemTime,
    ) -> bool {
        let (signature, credential) = read;
        self.key_file = Some(signature);
        let detail = path.display().to_string();
        let found = credential.map(|found| {
            let found = found.map(|credential| (Place::Global, detail, credential));
            found.into_iter().collect()
        });
        self.take(Store::KeyFile, found, now)
    }

    pub(super) fn take_stored(
        &mut self,
        store: Store,
        path: &Path,
        read: StoredRead,
        now: SystemTime,
    ) -> bool {
        let (signature, table) = read;
        self.stored = Some(signature);
        let detail = path.display().to_string();
        let found = table.map(|table| {
            let of = |(place, credential)| (place, detail.clone(), credential);
            table.into_iter().map(of).collect()
        });
        self.take(store, found, now)
    }

    /// Takes what a store has now; what cannot be read leaves it as it was known. Returns whether
    /// that is a change.
    pub(super) fn take(
        &mut self,
        store: Store,
        found: Result<Vec<(Place, String, Credential)>, Error>,
        now: SystemTime,
    ) -> bool {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.report(store, &error);
                return false;
            }
        };
        self.troubles.remove(&store);
        let (old, others): (Vec<Entry>, Vec<Entry>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| entry.origin.store == store);
        self.entries = others;
        let next = self.generation + 1;
        let mut changed = old.len() != found.len();
        for (place, detail, credential) in found {
            let same = |entry: &&Entry| entry.place == place && entry.credential == credential;
            let (since, seen) = match (old.iter().find(same), self.loaded) {
                (Some(known), _) => (known.since, known.seen),
                (None, true) => (next, now),
                (None, false) => (0, now),
            };
            changed |= since == next;
            self.entries.push(Entry {
                place,
                origin: Origin { store, detail },
                credential,
                since,
                seen,
            });
        }
        let changed = changed && self.loaded;
        if changed {
            self.generation = next;
        }
        changed
    }

    /// Keeps what is wrong with a store, and tells the log once.
    fn report(&mut self, store: Store, error: &Error) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        let reported = (text, error.hint());
        if self.troubles.get(&store) != Some(&reported) {
            tracing::warn!(error = reported.0, "a store of credentials cannot be used");
            self.troubles.insert(store, reported);
        }
    }

    /// Takes what was given to this process.
    pub(super) fn hand(
        &mut self,
        place: Place,
        credential: Credential,
        detail: &str,
        now: SystemTime,
    ) {
        self.generation += 1;
        self.entries
            .retain(|entry| entry.origin.store != Store::Handed || entry.place != place);
        self.entries.push(Entry {
            place,
            origin: Origin {
                store: Store::Handed,
                detail: detail.to_owned(),
            },
            credential,
            since: self.generation,
            seen: now,
        });
    }

    /// Forgets it; returns whether there was one.
    pub(super) fn forget(&mut self, place: &Place) -> bool {
        let before = self.entries.len();
        self.entries
            .retain(|entry| entry.origin.store != Store::Handed || &entry.place != place);
        let forgotten = self.entries.len() != before;
        if forgotten {
            self.generation += 1;
        }
        forgotten
    }
}
