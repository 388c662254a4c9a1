//! Why a call did not succeed: one fact per variant, decided from status, error code and transport.

use std::error::Error;
use std::io;
use std::time::Duration;

use super::api::code;
use crate::lower::SourceError;
use crate::secrets::Missing;
use crate::tree::{NameError, TreePath};

/// What lies below a failure of the transport. It names neither address nor credential.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Longest piece of a server's message that is kept.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Why an answer cannot be believed.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// More than the caller can use; nobody needs unbounded memory to be wronged.
    #[error("the answer is larger than allowed")]
    TooLarge,
    /// Not the JSON that was promised.
    #[error("the answer is not what was asked for")]
    Shape(#[source] serde_json::Error),
    /// A name that cannot be a file's.
    #[error("the answer names a file that cannot be")]
    Name(#[from] NameError),
    /// Two entries of one name.
    #[error("the answer lists a name twice")]
    Duplicate,
    /// An entry that is not in the directory that was asked for.
    #[error("the answer lists an entry of another directory")]
    Elsewhere,
    /// An object other than the one that the commit has.
    #[error("the answer is another object")]
    OtherObject,
    /// The stored blob is not what was sent.
    #[error("the server stored other bytes than were sent")]
    StoredOther,
    /// A redirect, or another status that the contract does not have.
    #[error("status {0} has no meaning here")]
    Status(u16),
    /// A list that does not end.
    #[error("a list of pages does not end")]
    Endless,
    /// A date that is none.
    #[error("the answer has a malformed date")]
    Date,
    /// The body's encoding is damaged.
    #[error("the answer's encoding is damaged")]
    Encoding(#[source] Cause),
}

/// Most paths of one conflict that are kept: more than anybody reads, at 4 KiB each.
const CONFLICT_PATHS_MAX: usize = 1_000;

/// Which rule a conflict broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// The change has advanced past the commit that the caller saw.
    Stale,
    /// The bookmark is not an ancestor of what it would move to.
    NotForward,
    /// Another writer moved the same name at the same time: the same request may succeed now.
    Raced,
    /// What a merge would make is in conflict, or the change that would be written is; nothing
    /// was done.
    Merge {
        /// Where, as far as the server says it, names that cannot be left out, and no more than
        /// 1,000.
        paths: Vec<TreePath>,
        /// How many paths the server named besides.
        omitted: usize,
    },
    /// Anything else, such as a name that is taken.
    Other,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client could not be set up: a malformed address, or no certificates.
    #[error("cannot set up the connection")]
    Setup(#[source] Cause),
    /// No connection, or it broke.
    #[error("the server cannot be reached")]
    Offline(#[source] Cause),
    /// The server could not be reached a moment ago; nothing was sent.
    #[error("the server could not be reached a moment ago")]
    OfflineLately,
    /// Nothing came, or too slowly.
    #[error("the server did not answer in time")]
    TimedOut,
    /// There is none to send.
    #[error(transparent)]
    CredentialMissing(#[from] Missing),
    /// 401: its time is over.
    #[error("the credential has expired")]
    CredentialExpired,
    /// 401: it was revoked, or the key that signed it was.
    #[error("the credential was revoked")]
    CredentialRevoked,
    /// 401: the server does not know it.
    #[error("the server does not know the credential")]
    CredentialUnknown,
    /// 403.
    #[error("the credential does not allow it")]
    Forbidden,
    /// 404.
    #[error("the server has no such thing")]
    NotFound,
    /// 406: there are no bytes to send, as of a directory.
    #[error("the server has it in another form only")]
    NotAcceptable,
    /// 409.
    #[error("it contradicts what the server has")]
    Conflict(Conflict),
    /// 413: this will never be accepted.
    #[error("too large for the server")]
    TooLarge,
    /// 400, 405, 422: this will never be accepted.
    #[error("the server refuses it: {code}: {message}")]
    Refused {
        /// The status.
        status: u16,
        /// The server's word for the reason.
        code: Box<str>,
        /// The server's sentence about it.
        message: Box<str>,
    },
    /// 429.
    #[error("the server wants fewer requests")]
    RateLimited {
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// 5xx.
    #[error("the server failed with status {status}")]
    Server {
        /// The status.
        status: u16,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// A success that cannot be believed.
    #[error("the server's answer is not what the protocol promises")]
    Protocol(#[from] Violation),
    /// A name that has no place in an address: empty, `.` or `..`.
    #[error("a name that cannot be sent")]
    Unsendable,
    /// The bytes came, and the sink did not take them.
    #[error("writing what arrives")]
    Sink(#[source] io::Error),
    /// The bytes to send could not be read.
    #[error("reading what is to be sent")]
    Body(#[source] io::Error),
}

/// What an answer that is no success says.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) retry_after: Option<Duration>,
    pub(super) conflict_paths: Vec<String>,
}

fn merge_conflict(named: Vec<String>) -> Conflict {
    let count = named.len();
    let paths: Vec<TreePath> = named
        .into_iter()
        .filter_map(|path| TreePath::try_from(path.as_str()).ok())
        .filter(|path| !path.is_root())
        .take(CONFLICT_PATHS_MAX)
        .collect();
    let omitted = count - paths.len();
    Conflict::Merge { paths, omitted }
}

fn shortened(text: &str) -> Box<str> {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().into()
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let Refusal {
            status,
            code,
            message,
            retry_after,
            conflict_paths,
        } = refusal;
        match (status, code.as_str()) {
            (401, code::TOKEN_EXPIRED) => Failure::CredentialExpired,
            (401, code::KEY_REVOKED) => Failure::CredentialRevoked,
            (401, _) => Failure::CredentialUnknown,
            (403, _) => Failure::Forbidden,
            (404, _) => Failure::NotFound,
            (406, _) => Failure::NotAcceptable,
            (409, code::STALE_CHANGE) => Failure::Conflict(Conflict::Stale),
            (409, code::NOT_FORWARD) => Failure::Conflict(Conflict::NotForward),
            (409, code::LOCK_CONFLICT) => Failure::Conflict(Conflict::Raced),
            (409, code::MERGE_CONFLICT) => Failure::Conflict(merge_conflict(conflict_paths)),
            (409, _) => Failure::Conflict(Conflict::Other),
            (413, _) => Failure::TooLarge,
            (408, _) => Failure::TimedOut,
            (429, _) => Failure::RateLimited { retry_after },
            (400..=499, _) => Failure::Refused {
                status,
                code: shortened(&code),
                message: shortened(&message),
            },
            (500..=599, _) => Failure::Server {
                status,
                retry_after,
            },
            _ => Failure::Protocol(Violation::Status(status)),
        }
    }
}

impl Failure {
    /// Whether the server could not be reached at all, so that the next call would not either.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Failure::Offline(_) | Failure::OfflineLately | Failure::TimedOut
        )
    }

    /// Whether fewer requests at once might have been answered.
    pub(super) fn is_overload(&self) -> bool {
        matches!(
            self,
            Failure::RateLimited { .. } | Failure::Server { .. } | Failure::TimedOut
        )
    }

    /// Whether the server was heard of, whatever it said.
    pub fn is_answer(&self) -> bool {
        let unsent = matches!(
            self,
            Failure::Setup(_)
                | Failure::CredentialMissing(_)
                | Failure::Unsendable
                | Failure::Body(_)
        );
        !unsent && !self.is_unreachable()
    }

    /// Whether the request may have taken effect although no answer came.
    pub fn is_unknown_outcome(&self) -> bool {
        matches!(
            self,
            Failure::Offline(_) | Failure::TimedOut | Failure::Server { .. } | Failure::Protocol(_)
        )
    }

    /// Whether a new credential is what is needed.
    pub fn needs_credential(&self) -> bool {
        matches!(
            self,
            Failure::CredentialMissing(_)
                | Failure::CredentialExpired
                | Failure::CredentialRevoked
                | Failure::CredentialUnknown
        )
    }
}

impl From<Failure> for SourceError {
    fn from(failure: Failure) -> SourceError {
        match failure {
            Failure::Setup(_) | Failure::Offline(_) | Failure::OfflineLately => {
                SourceError::Offline
            }
            Failure::TimedOut => SourceError::TimedOut,
            Failure::CredentialMissing(_) => SourceError::CredentialMissing,
            Failure::CredentialExpired => SourceError::CredentialExpired,
            Failure::CredentialRevoked => SourceError::CredentialRevoked,
            Failure::CredentialUnknown => SourceError::CredentialUnknown,
            Failure::Forbidden => SourceError::Forbidden,
            Failure::NotFound => SourceError::NotFound,
            Failure::RateLimited { .. } | Failure::Server { .. } => SourceError::Server,
            Failure::NotAcceptable
            | Failure::Conflict(_)
            | Failure::TooLarge
            | Failure::Refused { .. }
            | Failure::Protocol(_)
            | Failure::Unsendable => SourceError::Protocol,
            Failure::Sink(error) | Failure::Body(error) => SourceError::Sink(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_comes_first_and_the_code_refines_it() {
        let failure = |status, code: &str| {
            Failure::from(Refusal {
                status,
                code: code.to_owned(),
                ..Refusal::default()
            })
        };
        assert!(matches!(
            failure(401, code::TOKEN_EXPIRED),
            Failure::CredentialExpired
        ));
        assert!(matches!(
            failure(401, code::KEY_REVOKED),
            Failure::CredentialRevoked
        ));
        assert!(matches!(
            failure(401, "NEW_WORD"),
            Failure::CredentialUnknown
        ));
        assert!(matches!(
            failure(500, code::KEY_REVOKED),
            Failure::Server { .. }
        ));
        assert!(matches!(
            failure(409, code::STALE_CHANGE),
            Failure::Conflict(Conflict::Stale)
        ));
        assert!(matches!(
            failure(422, ""),
            Failure::Refused { status: 422, .. }
        ));
        assert!(matches!(
            failure(302, ""),
            Failure::Protocol(Violation::Status(302))
        ));
    }

    #[test]
    fn conflicts_are_told_apart_and_their_paths_are_checked() {
        let conflict = |code: &str, conflict_paths: Vec<String>| {
            let refusal = Refusal {
                status: 409,
                code: code.to_owned(),
                conflict_paths,
                ..Refusal::default()
            };
            match Failure::from(refusal) {
                Failure::Conflict(conflict) => conflict,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(conflict(code::NOT_FORWARD, vec![]), Conflict::NotForward);
        assert_eq!(conflict(code::LOCK_CONFLICT, vec![]), Conflict::Raced);
        assert_eq!(conflict(code::CONFLICT, vec![]), Conflict::Other);
        let named = ["a/b", "../c", "", "/d", &"e".repeat(5_000)].map(str::to_owned);
        let expected = Conflict::Merge {
            paths: vec![TreePath::try_from("a/b").unwrap()],
            omitted: 4,
        };
        assert_eq!(conflict(code::MERGE_CONFLICT, named.into()), expected);
        let many = (0..CONFLICT_PATHS_MAX + 7).map(|number| number.to_string());
        let Conflict::Merge { paths, omitted } = conflict(code::MERGE_CONFLICT, many.collect())
        else {
            panic!();
        };
        assert_eq!((paths.len(), omitted), (CONFLICT_PATHS_MAX, 7));
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = "\u{e9}".repeat(MESSAGE_BYTES_MAX);
        assert_eq!(shortened(&text).len(), MESSAGE_BYTES_MAX);
        assert_eq!(shortened(&text[..]).chars().next(), Some('\u{e9}'));
    }
}
