//! The server's side of the question: listings of both commits, and what local bodies hash to.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::super::push::PushError;
use super::super::{At, Failure, Remote, RepositoryName};
use super::diff::Side;
use super::{Foreign, Spot, contradictions, diff, wanted};
use crate::lower::{EntryKind, ListingEntry};
use crate::tree::{ChangeId, Content, Edit, GitOid, TreePath};

/// Bytes that are hashed at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// What somebody else did to a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This.
    Known(Foreign),
    /// The change has moved on while it was looked at: ask again.
    Moved,
}

/// Looks at what others do to the changes of one repository.
#[derive(Debug)]
pub struct ForeignEdits {
    remote: Arc<Remote>,
    repository: RepositoryName,
}

impl ForeignEdits {
    pub(in super::super) fn new(remote: Arc<Remote>, repository: RepositoryName) -> ForeignEdits {
        ForeignEdits { remote, repository }
    }

    /// The commit that a change has now.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries.
    pub fn current(&self, change: ChangeId) -> Result<GitOid, Failure> {
        let client = self.remote.client();
        let ask = self
            .remote
            .ask(async || client.change(&self.repository, change).await);
        Ok(self.remote.block_on(ask)?.change.current_commit_oid)
    }

    /// What `theirs`, which the change has now, does to `base`, which is our last. A server that
    /// cannot show `base` any more shows what is at the paths of the edits; all of that then counts as
    /// theirs, since nobody knows better.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries for each directory.
    pub fn between(
        &self,
        change: ChangeId,
        (base, theirs): (GitOid, GitOid),
        edits: &[Edit],
    ) -> Result<Verdict, Failure> {
        let extensions = self
            .remote
            .block_on(self.remote.extensions(&self.repository))?;
        if extensions.commit_read {
            let commit = |side| match side {
                Side::Base => base,
                Side::Theirs => theirs,
            };
            let roots = (self.tree(base)?, self.tree(theirs)?);
            let mut list = |side, path: &TreePath, _tree| self.list(At::Commit(commit(side)), path);
            return diff(roots.0, roots.1, &mut list).map(Verdict::Known);
        }
        let paths: Vec<TreePath> = wanted(edits, extensions).into_keys().collect();
        let spots = self.spots(At::Change(change), &paths)?;
        // What was read is theirs if the change stayed.
        if self.current(change)? != theirs {
            return Ok(Verdict::Moved);
        }
        let leaves: BTreeMap<_, _> = paths.into_iter().zip(spots).collect();
        Ok(Verdict::Known(Foreign::Leaves(leaves)))
    }

    /// The paths on which edits contradict what somebody else did.
    ///
    /// # Errors
    ///
    /// [`PushError::Torn`] when a body changed while it was compared; a body that cannot be read.
    pub fn contradictions(
        &self,
        edits: &[Edit],
        foreign: &Foreign,
    ) -> Result<Vec<TreePath>, PushError> {
        let extensions = self
            .remote
            .block_on(self.remote.extensions(&self.repository))?;
        contradictions(&wanted(edits, extensions), foreign, &mut blob)
    }

    /// Whether the server shows any commit, not only what a change is now.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries.
    pub fn shows_commits(&self) -> Result<bool, Failure> {
        let ask = self.remote.extensions(&self.repository);
        Ok(self.remote.block_on(ask)?.commit_read)
    }

    /// What a commit has at some paths, or the change that is given where the server can show no
    /// commits; in their order.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after at most 5 s of retries for each directory.
    pub fn spots(&self, at: At, paths: &[TreePath]) -> Result<Vec<Option<Spot>>, Failure> {
        let mut listed: HashMap<TreePath, Option<Vec<ListingEntry>>> = HashMap::new();
        let mut spots = Vec::with_capacity(paths.len());
        for path in paths {
            spots.push(self.spot(at, path, &mut listed)?);
        }
        Ok(spots)
    }

    fn spot(
        &self,
        at: At,
        path: &TreePath,
        listed: &mut HashMap<TreePath, Option<Vec<ListingEntry>>>,
    ) -> Result<Option<Spot>, Failure> {
        let mut directory = TreePath::ROOT;
        let mut found = None;
        for name in path.names() {
            if found.is_some_and(|spot: Spot| spot.kind != EntryKind::Directory) {
                return Ok(None);
            }
            if !listed.contains_key(&directory) {
                let entries = match self.list(at, &directory) {
                    Err(Failure::NotFound) => None,
                    entries => Some(entries?),
                };
                listed.insert(directory.clone(), entries);
            }
            let entries = listed.get(&directory).and_then(Option::as_ref);
            let entry = entries.and_then(|all| all.iter().find(|entry| entry.name == name));
            let Some(entry) = entry else { return Ok(None) };
            found = Some(Spot::of(entry));
            match directory.join(&name) {
                Ok(below) => directory = below,
                Err(_) => return Ok(None),
            }
        }
        Ok(found)
    }

    /// The entries of a directory.
    ///
    /// # Errors
    ///
    /// Any [`Failure`]; `NotFound` when there is none.
    pub fn list(&self, at: At, path: &TreePath) -> Result<Vec<ListingEntry>, Failure> {
        let client = self.remote.client();
        let read = self.remote.read(async |patience| {
            client
                .directory(&self.repository, at, path, 1, patience)
                .await
        });
        Ok(self.remote.block_on(read)?.entries)
    }

    fn tree(&self, commit: GitOid) -> Result<GitOid, Failure> {
        let client = self.remote.client();
        let (at, root) = (At::Commit(commit), TreePath::ROOT);
        let read = self.remote.read(async |patience| {
            client
                .directory(&self.repository, at, &root, 0, patience)
                .await
        });
        Ok(self.remote.block_on(read)?.tree)
    }

    /// Writes what is at a path into `sink`, and checks that it is this blob.
    ///
    /// # Errors
    ///
    /// Any [`Failure`], after one attempt; [`Failure::Protocol`] for other bytes.
    pub fn fetch(
        &self,
        at: At,
        path: &TreePath,
        spot: &Spot,
        sink: &mut dyn io::Write,
    ) -> Result<(), Failure> {
        let mut hashed = super::super::sinks::Hashing::new(sink, spot.size);
        let client = self.remote.client();
        let patience = super::super::READ_PATIENCE;
        let mut written = 0;
        let call = client.object(
            &self.repository,
            at,
            path,
            patience,
            &mut hashed,
            &mut written,
        );
        self.remote.block_on(self.remote.write(call))?;
        if hashed.oid() != spot.oid {
            return Err(super::super::Violation::OtherObject.into());
        }
        Ok(())
    }
}

/// The blob that an edit brings.
fn blob(edit: &Edit) -> Result<GitOid, PushError> {
    let path = edit.path();
    let failed = |source| PushError::Body {
        path: path.clone(),
        source,
    };
    match edit {
        Edit::Symlink { target, .. } => blob_of(&target[..], target.len() as u64).map_err(failed),
        Edit::File { content, .. } => match content {
            Content::Lower { oid, .. } => Ok(*oid),
            Content::Empty => blob_of(io::empty(), 0).map_err(failed),
            Content::Body(body) => {
                let file = body
                    .open()
                    .map_err(|source| PushError::unopened(path, &**body, source))?;
                let oid = blob_of(file.take(body.size()), body.size()).map_err(failed)?;
                match body.is_unchanged() {
                    true => Ok(oid),
                    false => Err(PushError::Torn { path: path.clone() }),
                }
            }
        },
        // Never asked: these bring no blob.
        Edit::Remove { .. } | Edit::Directory { .. } | Edit::Graft { .. } => Ok(GitOid::EMPTY_TREE),
    }
}

fn blob_of(mut bytes: impl Read, size: u64) -> io::Result<GitOid> {
    let mut hash = Sha1::new();
    hash.update(format!("blob {size}\0"));
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = bytes.read(&mut buffer)?;
        if count == 0 {
            return Ok(GitOid(hash.finalize().into()));
        }
        hash.update(buffer.get(..count).unwrap_or_default());
    }
}
