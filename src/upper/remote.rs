//! What each record of the way to the remote does to what is known of the remote, and the records that
//! tell it again.

use journal::{ConflictKind, Record, Sequence};

use super::convert::{journal_path, journal_time, timestamp};
use super::state::{Conflict, Publishing, RemoteState};
use crate::tree::{ChangeId, GitOid, TreePath};

impl RemoteState {
    /// Takes one record; those of the local tree say nothing here.
    pub(super) fn absorb(&mut self, record: &Record) {
        match record {
            Record::Pin {
                bookmark,
                change,
                commit,
                tree,
                time,
            } => {
                let time = timestamp(*time);
                self.bookmark.clone_from(bookmark);
                self.pin = Some((ChangeId(*change), GitOid(*commit), GitOid(*tree), time));
            }
            Record::ForkIntended {
                transaction,
                continues,
            } => self.fork_intended(*transaction, continues.map(ChangeId)),
            Record::Forked { change, commit } => {
                self.change = Some((ChangeId(*change), GitOid(*commit)));
                let waiting = |conflict: &&mut Conflict| {
                    conflict.kind == ConflictKind::Foreign && conflict.sibling.is_none()
                };
                for conflict in self.conflicts.iter_mut().filter(waiting) {
                    conflict.sibling = Some(ChangeId(*change));
                }
            }
            Record::PushIntended { through, batch } => self.intended = Some((*through, *batch)),
            Record::Pushed { through, commit } => {
                self.pushed = self.pushed.max(*through);
                self.intended = None;
                if let Some((_, current)) = &mut self.change {
                    *current = GitOid(*commit);
                }
            }
            Record::Held { time } => self.held = Some(timestamp(*time)),
            Record::Released { .. } => self.held = None,
            Record::PublishIntended {
                publish,
                change,
                commit,
                bookmark,
            } => {
                self.publishing = Some(Publishing {
                    id: *publish,
                    change: ChangeId(*change),
                    commit: GitOid(*commit),
                    bookmark: bookmark.clone(),
                });
            }
            Record::Published { change, bookmark } => {
                self.publishing = None;
                self.published = Some((ChangeId(*change), bookmark.clone()));
            }
            Record::ConflictFound { .. } => self.conflicts.extend(conflict_of(record)),
            Record::ConflictResolved { conflict, .. } => {
                self.conflicts.retain(|known| known.id != *conflict);
            }
            _ => {}
        }
    }

    fn fork_intended(&mut self, transaction: [u8; 16], continues: Option<ChangeId>) {
        self.fork = Some(transaction);
        self.change = None;
        self.intended = None;
        self.continues = continues;
        if continues.is_none() {
            // A change on the pinned one has nothing of ours yet: its first push carries everything.
            self.pushed = Sequence::ZERO;
        }
    }

    /// Adds a path to a conflict.
    pub(super) fn absorb_path(&mut self, conflict: &[u8; 16], path: TreePath) {
        let known = self
            .conflicts
            .iter_mut()
            .find(|known| known.id == *conflict);
        if let Some(known) = known {
            known.paths.push(path);
        }
    }

    /// Records that rebuild this from nothing, but for the announced push; see
    /// [`RemoteState::announced`].
    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some((change, commit, tree, time)) = self.pin {
            records.push(Record::Pin {
                bookmark: self.bookmark.clone(),
                change: change.0,
                commit: commit.0,
                tree: tree.0,
                time: journal_time(time),
            });
        }
        if let Some(transaction) = self.fork {
            records.push(Record::ForkIntended {
                transaction,
                continues: self.continues.map(|change| change.0),
            });
        }
        if let Some((change, commit)) = self.change {
            let (change, commit) = (change.0, commit.0);
            records.push(Record::Forked { change, commit });
        }
        if self.pushed > Sequence::ZERO {
            // Without a change the commit says nothing, and nothing reads it.
            let commit = self.change.map_or([0; 20], |(_, commit)| commit.0);
            let through = self.pushed;
            records.push(Record::Pushed { through, commit });
        }
        records.extend(self.held.map(|time| Record::Held {
            time: journal_time(time),
        }));
        records.extend(self.published.clone().map(|(change, bookmark)| {
            let change = change.0;
            Record::Published { change, bookmark }
        }));
        records.extend(self.publishing.clone().map(|one| Record::PublishIntended {
            publish: one.id,
            change: one.change.0,
            commit: one.commit.0,
            bookmark: one.bookmark,
        }));
        for conflict in &self.conflicts {
            records.extend(records_of(conflict));
        }
        records
    }

    /// The record of a push that was announced and has no outcome.
    pub fn announced(&self) -> Option<Record> {
        let (through, batch) = self.intended?;
        Some(Record::PushIntended { through, batch })
    }
}

fn conflict_of(record: &Record) -> Option<Conflict> {
    let Record::ConflictFound {
        conflict,
        kind,
        change,
        base,
        theirs,
        bookmark,
        sibling,
        time,
    } = record
    else {
        return None;
    };
    Some(Conflict {
        id: *conflict,
        kind: *kind,
        change: ChangeId(*change),
        base: GitOid(*base),
        theirs: GitOid(*theirs),
        bookmark: bookmark.clone(),
        sibling: sibling.map(ChangeId),
        time: timestamp(*time),
        paths: Vec::new(),
    })
}

/// The records that tell of a conflict.
pub fn records_of(conflict: &Conflict) -> Vec<Record> {
    let mut records = vec![Record::ConflictFound {
        conflict: conflict.id,
        kind: conflict.kind,
        change: conflict.change.0,
        base: conflict.base.0,
        theirs: conflict.theirs.0,
        bookmark: conflict.bookmark.clone(),
        sibling: conflict.sibling.map(|change| change.0),
        time: journal_time(conflict.time),
    }];
    records.extend(conflict.paths.iter().map(|path| Record::ConflictPath {
        conflict: conflict.id,
        path: journal_path(path),
    }));
    records
}
