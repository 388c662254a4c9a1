//! Which of several credentials is used: a pure function, and the one list of precedence.
//!
//! ```text
//! 1. not refused by the server, and not over by its own word,   before   over by its own word,
//!    before   not allowed to do this (403),                     before   refused (401)
//! 2. for the repository,   before   for the organization,   before   for everything
//! 3. what changed last while this process runs
//! 4. at its start: environment, key file, vault, plaintext file, credential command
//! ```
//!
//! So a dead token in a daemon's environment does not stand in the way of a newer one, whichever way
//! that comes. Line 1 only orders: when all are refused or over, the first is still tried now and
//! then, since the server decides, and not our clock.

use std::cmp::Reverse;
use std::fmt;
use std::time::SystemTime;

use super::{Credential, Place, Scope};

/// Where a credential came from, in the order in which stores are preferred when nothing else tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Store {
    /// A variable of the environment.
    Environment,
    /// A file that somebody rewrites.
    KeyFile,
    /// The encrypted file.
    Vault,
    /// The file that is not encrypted.
    Plaintext,
    /// What the credential command printed.
    Command,
    /// Given to the running daemon, which keeps it in memory alone.
    Handed,
}

impl Store {
    /// The store's name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Store::Environment => "environment",
            Store::KeyFile => "key-file",
            Store::Vault => "vault",
            Store::Plaintext => "plaintext",
            Store::Command => "command",
            Store::Handed => "handed-over",
        }
    }
}

/// A store, and what of it: a variable, a path, a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The store.
    pub store: Store,
    /// What of it.
    pub detail: String,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { store, detail } = self;
        match store {
            Store::Environment => write!(formatter, "{detail} in the environment"),
            Store::KeyFile => write!(formatter, "the key file {detail}"),
            Store::Vault => write!(formatter, "the vault {detail}"),
            Store::Plaintext => write!(formatter, "the plaintext file {detail}"),
            Store::Command => write!(formatter, "the credential command {detail}"),
            Store::Handed => write!(formatter, "{detail}, handed to the daemon"),
        }
    }
}

/// One credential of one store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it is for.
    pub place: Place,
    /// Where it came from.
    pub origin: Origin,
    /// The credential.
    pub credential: Credential,
    /// The generation in which it came; 0 for what was there at the start.
    pub since: u64,
    /// When it came, by the server's clock.
    pub seen: SystemTime,
}

/// How good a credential is, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    /// Nothing speaks against it.
    Good,
    /// It says itself that its time is over. A clock may be wrong.
    Over,
    /// The server knows it, and said that it does not allow what was asked.
    Forbidden,
    /// The server did not take it.
    Refused,
}

/// The entry to use for `scope`, with its rank.
pub(super) fn choose<'a>(
    entries: &'a [Entry],
    scope: Scope<'_>,
    rank: impl Fn(&Entry) -> Rank,
) -> Option<(&'a Entry, Rank)> {
    let fitting = entries.iter().filter_map(|entry| {
        let breadth = entry.place.breadth(scope)?;
        let rank = rank(entry);
        let key = (rank, breadth, Reverse(entry.since), entry.origin.store);
        Some((key, entry, rank))
    });
    let best = fitting.min_by_key(|(key, ..)| *key)?;
    Some((best.1, best.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(place: &str, store: Store, text: &str, since: u64) -> Entry {
        let place = match place.split_once('/') {
            Some((one, other)) => Place::Repository(one.into(), other.into()),
            None if place == "*" => Place::Global,
            None => Place::Organization(place.into()),
        };
        Entry {
            place,
            origin: Origin {
                store,
                detail: String::new(),
            },
            credential: Credential::try_from(text.to_owned()).unwrap(),
            since,
            seen: SystemTime::UNIX_EPOCH,
        }
    }

    /// The choice for acme/app; what begins with `r` is refused, with `f` forbidden, with `o` over.
    fn chosen(entries: &[Entry]) -> &str {
        let scope = Scope::Repository {
            organization: "acme",
            repository: "app",
        };
        let rank = |entry: &Entry| match entry.credential.expose().as_bytes()[0] {
            b'r' => Rank::Refused,
            b'f' => Rank::Forbidden,
            b'o' => Rank::Over,
            _ => Rank::Good,
        };
        let (entry, _) = choose(entries, scope, rank).unwrap();
        entry.credential.expose()
    }

    #[test]
    fn at_the_start_the_narrowest_scope_wins_and_then_the_stores_order() {
        let all = [
            entry("*", Store::Environment, "environment", 0),
            entry("*", Store::KeyFile, "key-file", 0),
            entry("*", Store::Vault, "vault", 0),
            entry("acme", Store::Vault, "acme", 0),
            entry("other", Store::Environment, "other", 0),
            entry("acme/app", Store::Vault, "app", 0),
            entry("acme/web", Store::Environment, "web", 0),
        ];
        assert_eq!(chosen(&all), "app");
        assert_eq!(chosen(&all[..5]), "acme");
        assert_eq!(chosen(&all[..3]), "environment");
        assert_eq!(chosen(&all[1..3]), "key-file");
    }

    #[test]
    fn a_dead_credential_is_passed_over_also_for_a_wider_one() {
        let dead = entry("acme/app", Store::Environment, "refused", 0);
        let over = entry("acme", Store::Environment, "over", 0);
        let forbidden = entry("acme", Store::KeyFile, "forbidden", 0);
        let good = entry("*", Store::Vault, "good", 0);
        let all = [dead, forbidden, over, good];
        assert_eq!(chosen(&all), "good");
        assert_eq!(
            chosen(&all[..3]),
            "over",
            "the server decides, not the clock"
        );
        assert_eq!(chosen(&all[..2]), "forbidden");
        assert_eq!(chosen(&all[..1]), "refused", "better than nothing");
    }

    #[test]
    fn what_changed_last_comes_first_within_its_scope() {
        let all = [
            entry("*", Store::Environment, "environment", 0),
            entry("*", Store::Vault, "set-key", 2),
            entry("*", Store::KeyFile, "key-file", 1),
        ];
        assert_eq!(chosen(&all), "set-key");
        let narrower = entry("acme", Store::Environment, "acme", 0);
        assert_eq!(chosen(&[all[1].clone(), narrower]), "acme");
    }

    #[test]
    fn nothing_that_fits_is_nothing() {
        let other = [entry("other", Store::Environment, "other", 0)];
        assert!(choose(&other, Scope::Global, |_| Rank::Good).is_none());
    }
}
