//! What the files of `.mesa/` hold: the same as the commands print, for programs that can read a file
//! and nothing else. No credential is in any of them, and none of them waits for the network.

use std::sync::{Arc, OnceLock, Weak};

use serde::Serialize;

use super::log::incidents::{self, Incident};
use super::repositories::OpenRepositories;
use super::status::Status;
use crate::fuse::{Rendered, Report, Reports, Slot};

/// Bytes of pending work that are listed; what is beyond is counted.
const JOURNAL_BYTES_MAX: usize = 1 << 20;

const README: &str = "\
This folder is about the mount that it is in. It is made as it is read, costs no network, is the same
for everybody, and cannot be written.

status.json     how the mount is, as `mesa status --json` prints it. Safe to throw this machine away:
                totals.operations, totals.kept_local and totals.unreadable are 0. What keeps work from
                being pushed: totals.waiting, with state, cause, reason and age. When the credential
                ends: credential.expires_at.
journal.ndjson  what the server does not have yet: one line of JSON for each path, with state, reason
                and age. Empty when it has everything.
errors.ndjson   what went wrong lately, the newest last: time, what was tried, path, errno, reason and a
                hint. `tail -f` works. It begins anew with each daemon, and keeps the last 512.

An error number says why: ENETUNREACH no network, EKEYEXPIRED the credential's time is over, EKEYREVOKED
and ENOKEY it is refused or missing, EACCES it does not allow this, ENOSPC the local disk is full, EROFS
it failed. Writing goes on without a network and without a credential; only what was never read cannot
be read then.
";

/// Who knows how everything is, once it runs.
pub(super) trait Informed: Send + Sync {
    /// How everything is.
    fn status(&self) -> Status;
}

/// Renders the reports of one mount.
pub(super) struct Reporter {
    repositories: Arc<OpenRepositories>,
    informed: OnceLock<Weak<dyn Informed>>,
}

impl Reporter {
    pub(super) fn new(repositories: Arc<OpenRepositories>) -> Reporter {
        Reporter {
            repositories,
            informed: OnceLock::new(),
        }
    }

    /// Says who knows more: the mount answers a moment before that is there.
    pub(super) fn ask(&self, informed: &Arc<impl Informed + 'static>) {
        let informed: Weak<dyn Informed> = Arc::<_>::downgrade(informed) as _;
        let _asked_already = self.informed.set(informed);
    }

    fn status(&self) -> Status {
        match self.informed.get().and_then(Weak::upgrade) {
            Some(informed) => informed.status(),
            None => self.repositories.status(),
        }
    }

    fn journal(&self) -> Vec<u8> {
        let listing = self.repositories.journal();
        let mut text = Vec::new();
        let mut omitted = listing.omitted;
        for entry in &listing.entries {
            match text.len() < JOURNAL_BYTES_MAX {
                true => line(&mut text, entry),
                false => omitted += 1,
            }
        }
        if omitted > 0 {
            line(&mut text, &Omitted { omitted });
        }
        text
    }

    fn errors(&self, since: u64) -> Rendered {
        let (incidents, position) = incidents::since(since);
        let mut bytes = Vec::new();
        for mut incident in incidents {
            self.name(&mut incident);
            line(&mut bytes, &incident);
        }
        Rendered { bytes, position }
    }

    /// Says by name which repository it was.
    fn name(&self, incident: &mut Incident) {
        let slot = incident.slot.and_then(|slot| Slot::try_from(slot).ok());
        if let Some(slot) = slot
            && incident.repository.is_none()
        {
            incident.repository = self.repositories.name_of(slot);
        }
    }
}

/// The last line of a listing that is not whole.
#[derive(Serialize)]
struct Omitted {
    omitted: u64,
}

fn line(text: &mut Vec<u8>, value: &impl Serialize) {
    match serde_json::to_vec(value) {
        Ok(line) => {
            text.extend_from_slice(&line);
            text.push(b'\n');
        }
        Err(error) => tracing::debug!(error = %error, "a line of a report"),
    }
}

impl Reports for Reporter {
    fn render(&self, report: Report) -> Rendered {
        let bytes = match report {
            Report::Readme => README.into(),
            Report::Status => {
                let mut text = serde_json::to_vec_pretty(&self.status()).unwrap_or_default();
                text.push(b'\n');
                text
            }
            Report::Journal => self.journal(),
            Report::Errors => return self.errors(0),
        };
        Rendered { bytes, position: 0 }
    }

    fn more(&self, report: Report, position: u64) -> Rendered {
        match report {
            Report::Errors => self.errors(position),
            Report::Readme | Report::Status | Report::Journal => Rendered {
                bytes: Vec::new(),
                position,
            },
        }
    }
}
