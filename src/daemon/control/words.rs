//! What journals hold, as it crosses the control socket and as `--json` prints it: fields are added,
//! never renamed or dropped.

use serde::{Deserialize, Serialize};

use super::super::status;
use crate::export::{Format, LeftOut};

/// What the journals hold for the remote, coalesced: the shortest list of effects.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct JournalListing {
    /// The effects, by repository and path.
    pub entries: Vec<JournalEntry>,
    /// How many more there are than were listed.
    pub omitted: u64,
}

/// How one pending effect is. Blocked is not conflicted is not lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// It is pushed as soon as edits pause, or is being pushed.
    Pending,
    /// It waits for the network, a server or a credential, and goes on by itself.
    Blocked,
    /// A person holds it.
    Held,
    /// Somebody else edited the same path: `mesa conflicts list`.
    Conflicted,
    /// The server refuses it as it is.
    Quarantined,
}

impl EntryState {
    /// The state's name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            EntryState::Pending => "pending",
            EntryState::Blocked => "blocked",
            EntryState::Held => "held",
            EntryState::Conflicted => "conflicted",
            EntryState::Quarantined => "quarantined",
        }
    }
}

/// One effect that the remote does not have yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// `put`, `remove` or `copy`.
    pub effect: String,
    /// Where; bytes that are not UTF-8 are shown as replacement characters.
    pub path: String,
    /// Where a copy comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Bytes of the file that is put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Age of the first change behind it, in whole seconds.
    pub age_seconds: u64,
    /// How it is.
    pub state: EntryState,
    /// Why it is not pushed, if there is a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where a repository's journal stands, and the records in it that the remote does not have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JournalRecords {
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// The last record.
    pub head: u64,
    /// The last record that survives a power cut.
    pub synced: u64,
    /// The last record that the remote has.
    pub pushed: u64,
    /// Syncs since it was opened.
    pub syncs: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// The last record of a push that was announced and has no outcome.
    pub announced: Option<u64>,
    /// The records, oldest first.
    pub records: Vec<RecordEntry>,
    /// How many more there are than were listed.
    pub omitted: u64,
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordEntry {
    /// Its place in the local history; several that a compaction folded share one.
    pub sequence: u64,
    /// When it was made, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What was done.
    pub what: String,
    /// To what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// From where, of renames and links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What became of an order.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ordered {
    /// The repositories that it reached, as `org/repo`.
    pub repos: Vec<String>,
    /// Effects that were given up.
    pub dropped: u64,
}

/// How sound the local state of each repository is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Verified {
    /// Every repository that has local state.
    pub repos: Vec<RepoVerified>,
}

/// How sound one repository's local state is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RepoVerified {
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// Whether it opens and everything in it can be read.
    pub sound: bool,
    /// Intact records in the journal's files.
    pub records: u64,
    /// Bytes of these files.
    pub bytes: u64,
    /// What is not as an orderly end leaves it.
    pub findings: Vec<FindingEntry>,
    /// Files whose bytes are gone.
    pub lost_bodies: Vec<String>,
    /// Bodies that no file needs.
    pub stray_bodies: u64,
    /// Why it could not be verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What a repair did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired: Option<RepairEntry>,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FindingEntry {
    /// The file; absent for a record that does not fit the tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What.
    pub problem: String,
    /// What mounting makes of it: `repaired`, `ignored` or `refused`.
    pub verdict: String,
}

/// What a repair kept, and what it could not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RepairEntry {
    /// Records that were kept.
    pub kept: u64,
    /// Ranges of records that are lost, first and last.
    pub lost: Vec<(u64, u64)>,
    /// Records that were left out, since what they need is lost.
    pub left_out: u64,
    /// Where the old files are.
    pub aside: String,
}

/// An export, in a file that is the asker's to move or delete.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exported {
    /// Where it is.
    pub path: String,
    /// Organization.
    pub org: String,
    /// Repository.
    pub name: String,
    /// As what.
    pub format: Format,
    /// What it was made on.
    pub base: status::Base,
    /// The commit of a bundle.
    pub commit_oid: Option<String>,
    /// The ref of a bundle.
    pub reference: Option<String>,
    /// Paths that are new, different or gone; of a bundle, Git objects.
    pub count: u64,
    /// The file's size.
    pub bytes: u64,
    /// How many of the operations behind it the remote lacks.
    pub operations: u64,
    /// What it does not carry.
    pub left_out: Vec<LeftOut>,
}
