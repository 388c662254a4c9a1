//! Changes: making one, amending one, and finding what one is now.

use super::commit::{self, Amendment, Commit, Conflict, NewCommit, Person};
use super::edit::{self, Editor, Source, Step};
use super::error::{Doing, Error};
use super::merge::{self, Resolutions};
use super::path::FilePath;
use super::refs::{self, Move};
use super::staging::Staging;
use super::{Repository, ours, rebase, theirs};
use crate::remote::api::{Author, FileMode};
use crate::tree::{ChangeId, GitOid};
use gix::objs::tree::{EntryKind, EntryMode};

pub(super) const CHANGES: &str = "refs/mesa/changes/";

/// Longest target of a symbolic link that Linux takes.
const LINK_TARGET_BYTES_MAX: usize = 4095;

/// One state of the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Snapshot {
    pub(in crate::server) change: ChangeId,
    /// `None` is the virtual root, which has no commit.
    pub(in crate::server) commit: Option<GitOid>,
    pub(in crate::server) tree: GitOid,
}

impl Snapshot {
    const ROOT: Snapshot = Snapshot {
        change: ChangeId::ROOT,
        commit: None,
        tree: GitOid::EMPTY_TREE,
    };
}

/// What a new change is made of.
#[derive(Debug)]
pub(in crate::server) struct ChangeInput {
    /// The new change's id; if the change exists already, it is the answer, and nothing is made.
    pub(in crate::server) id: ChangeId,
    pub(in crate::server) base: ChangeId,
    pub(in crate::server) message: String,
    pub(in crate::server) author: Person,
    /// Everybody whose work it is; empty if it is the author's alone.
    pub(in crate::server) authors: Vec<Author>,
    pub(in crate::server) committer: Person,
    pub(in crate::server) steps: Vec<Step>,
}

/// What an amended change is made of; what is `None` stays.
#[derive(Debug)]
pub(in crate::server) struct PatchInput {
    pub(in crate::server) id: ChangeId,
    pub(in crate::server) expected: Option<GitOid>,
    pub(in crate::server) message: Option<String>,
    pub(in crate::server) author: Option<Person>,
    /// With a new author, everybody whose work it is now.
    pub(in crate::server) authors: Vec<Author>,
    pub(in crate::server) committer: Person,
    pub(in crate::server) steps: Vec<Step>,
    /// What is wanted in place of the conflicts that the change records.
    pub(in crate::server) resolutions: Option<Resolutions>,
}

/// What amending a change has done.
#[derive(Debug)]
pub(in crate::server) struct Patched {
    pub(in crate::server) commit: Commit,
    /// What has a new commit: the change, and those that moved along.
    pub(in crate::server) evolved: Vec<Evolution>,
}

/// A change that has a new commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Evolution {
    pub(in crate::server) change: ChangeId,
    pub(in crate::server) from: GitOid,
    pub(in crate::server) to: GitOid,
}

impl Repository {
    /// What a change is now.
    pub(in crate::server) fn snapshot(&self, change: ChangeId) -> Result<Snapshot, Error> {
        let repo = self.local();
        self.look_again(&repo)?;
        self.snapshot_in(&repo, change)
    }

    pub(super) fn snapshot_in(
        &self,
        repo: &gix::Repository,
        change: ChangeId,
    ) -> Result<Snapshot, Error> {
        if change == ChangeId::ROOT {
            return Ok(Snapshot::ROOT);
        }
        let commit = match refs::find(repo, &format!("{CHANGES}{change}"))? {
            Some(oid) => ours(&oid),
            None => self.indexed(repo, change)?.ok_or(Error::UnknownChange)?,
        };
        let tree = tree_of(repo, commit)?;
        Ok(Snapshot {
            change,
            commit: Some(commit),
            tree,
        })
    }

    /// One commit, whether or not it is what its change is now.
    pub(in crate::server) fn commit_snapshot(&self, oid: GitOid) -> Result<Snapshot, Error> {
        let repo = self.local();
        let header = repo
            .try_find_header(theirs(oid))
            .doing("reading a commit")?;
        if header.map(|header| header.kind()) != Some(gix::objs::Kind::Commit) {
            return Err(Error::UnknownCommit);
        }
        Ok(Snapshot {
            change: commit::change_of(&repo, theirs(oid))?,
            commit: Some(oid),
            tree: tree_of(&repo, oid)?,
        })
    }

    /// A commit in full.
    pub(in crate::server) fn commit(&self, oid: GitOid) -> Result<Commit, Error> {
        commit::read(&self.local(), oid)
    }

    /// Makes a change on top of another; on return it survives a power cut.
    pub(in crate::server) fn create_change(&self, input: ChangeInput) -> Result<Commit, Error> {
        let repo = self.local();
        let name = format!("{CHANGES}{}", input.id);
        if let Some(existing) = refs::find(&repo, &name)? {
            return commit::read(&repo, ours(&existing));
        }
        let base = self.snapshot_in(&repo, input.base)?;
        let mut staging = Staging::new(&repo)?;
        let tree = apply(&mut staging, base.tree, input.steps)?;
        let oid = commit::write(
            &mut staging,
            &NewCommit {
                change: input.id,
                tree,
                parents: base.commit.map(theirs).into_iter().collect(),
                author: &input.author,
                authors: &input.authors,
                committer: &input.committer,
                message: &input.message,
                conflict: None,
            },
        )?;
        staging.publish()?;
        let mut moves: Vec<Move> = keeping(&repo, &base)?.into_iter().collect();
        moves.push(Move {
            name,
            from: None,
            to: Some(theirs(oid)),
        });
        refs::apply(&repo, &moves)?;
        self.note(input.id, oid);
        commit::read(&repo, oid)
    }

    /// Amends a change: the next commit has the same parents and the same id, and bookmarks on
    /// the change follow, as do changes that are built on it. On return it survives a power cut.
    pub(in crate::server) fn patch_change(&self, input: PatchInput) -> Result<Patched, Error> {
        if input.id == ChangeId::ROOT {
            return Err(Error::VirtualRoot);
        }
        let repo = self.local();
        let now = self.snapshot_in(&repo, input.id)?;
        let Some(old) = now.commit else {
            return Err(Error::VirtualRoot);
        };
        if input.expected.is_some_and(|expected| expected != old) {
            return Err(Error::Stale);
        }
        if !input.steps.is_empty() {
            merge::refuse_conflicted(&repo, old)?;
        }
        let mut staging = Staging::new(&repo)?;
        let (tree, conflict) = match input.resolutions {
            Some(resolutions) => (
                merge::resolve(&mut staging, old, resolutions)?,
                Conflict::Ends,
            ),
            None => (apply(&mut staging, now.tree, input.steps)?, Conflict::Stays),
        };
        let amendment = Amendment {
            tree,
            conflict,
            author: input.author.as_ref(),
            authors: &input.authors,
            committer: &input.committer,
            message: input.message.as_deref(),
        };
        let new = commit::amend(&mut staging, old, &amendment)?;
        let amended = rebase::Step {
            change: input.id,
            old,
            new,
            tree,
        };
        let seconds = input.committer.seconds;
        let mut steps = self.rebase(&mut staging, amended, seconds)?;
        staging.publish()?;
        steps.insert(0, amended);
        refs::apply(&repo, &rebase::moves(&repo, &steps)?)?;
        for step in &steps {
            self.note(step.change, step.new);
        }
        Ok(Patched {
            commit: commit::read(&repo, new)?,
            evolved: steps
                .iter()
                .map(|step| Evolution {
                    change: step.change,
                    from: step.old,
                    to: step.new,
                })
                .collect(),
        })
    }
}

/// The step that gives a change a reference, if it has none: what is built on keeps its identity
/// even when the bookmark that showed it goes away.
pub(super) fn keeping(repo: &gix::Repository, base: &Snapshot) -> Result<Option<Move>, Error> {
    let name = format!("{CHANGES}{}", base.change);
    let Some(commit) = base.commit else {
        return Ok(None);
    };
    let is_kept = refs::find(repo, &name)?.is_some();
    Ok((!is_kept).then(|| Move {
        name,
        from: None,
        to: Some(theirs(commit)),
    }))
}

pub(super) fn tree_of(repo: &gix::Repository, commit: GitOid) -> Result<GitOid, Error> {
    let commit = repo.find_commit(theirs(commit)).doing("reading a commit")?;
    let tree = commit.tree_id().doing("reading a commit")?;
    Ok(ours(&tree))
}

fn apply(
    staging: &mut Staging<'_>,
    root: GitOid,
    steps: Vec<Step>,
) -> Result<gix::ObjectId, Error> {
    if steps.is_empty() {
        return Ok(theirs(root));
    }
    let mut editor = Editor::new(staging, &theirs(root))?;
    for step in steps {
        match step {
            Step::Write { path, source, mode } => {
                write(&mut editor, staging, &path, source, mode)?;
            }
            Step::Delete { path } => {
                editor.delete(staging, &FilePath::check(path.as_bytes(), None)?)?;
            }
            Step::MakeDirectory { path } => {
                editor.make_directory(staging, FilePath::check(path.as_bytes(), None)?)?;
            }
            Step::Graft { path, tree } => {
                let path = FilePath::check(path.as_bytes(), None)?;
                if staging.kind(&theirs(tree))? != Some(gix::objs::Kind::Tree) {
                    return Err(Error::UnknownTree(tree));
                }
                editor.graft(staging, path, theirs(tree))?;
            }
            Step::Rename { from, path } => {
                let from = FilePath::check(from.as_bytes(), None)?;
                let path = FilePath::check(path.as_bytes(), None)?;
                editor.rename(staging, &from, path)?;
            }
            Step::SetMode { path, mode } => {
                let path = FilePath::check(path.as_bytes(), None)?;
                let mode = match mode {
                    FileMode::Plain => EntryKind::Blob,
                    FileMode::Executable => EntryKind::BlobExecutable,
                    FileMode::Symlink => return Err(Error::NoFile),
                };
                editor.set_mode(staging, path, mode.into())?;
            }
        }
    }
    editor.finish(staging)
}

fn write(
    editor: &mut Editor,
    staging: &mut Staging<'_>,
    path: &str,
    source: Source,
    mode: Option<FileMode>,
) -> Result<(), Error> {
    let path = FilePath::check(path.as_bytes(), mode)?;
    let mode: EntryMode = match mode {
        Some(FileMode::Plain) => EntryKind::Blob.into(),
        Some(FileMode::Executable) => EntryKind::BlobExecutable.into(),
        Some(FileMode::Symlink) => EntryKind::Link.into(),
        None => editor
            .mode(staging, &path)?
            .unwrap_or_else(|| EntryKind::Blob.into()),
    };
    let oid = match source {
        Source::Inline(text) => {
            let bytes = edit::decode(&text)?;
            if mode.is_link() {
                check_link(&bytes)?;
            }
            staging.write(gix::objs::Kind::Blob, &bytes)?
        }
        Source::Blob(blob) => {
            if staging.kind(&theirs(blob))? != Some(gix::objs::Kind::Blob) {
                return Err(Error::UnknownBlob(blob));
            }
            if mode.is_link() {
                let target = staging
                    .repo()
                    .find_blob(theirs(blob))
                    .doing("reading a blob")?;
                check_link(&target.data)?;
            }
            theirs(blob)
        }
    };
    editor.put(staging, path, mode, oid)
}

pub(super) fn check_link(target: &[u8]) -> Result<(), Error> {
    if target.is_empty() || target.len() > LINK_TARGET_BYTES_MAX || target.contains(&0) {
        return Err(Error::LinkTarget);
    }
    Ok(())
}
