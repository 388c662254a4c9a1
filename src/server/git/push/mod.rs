//! Taking in a push: what each command may do, and what it makes of changes and bookmarks.
//!
//! The objects are in a quarantine and known to be sound and complete. Commands are judged against
//! what the references are now, in the writer's turn; then the objects become durable, and what is
//! left of the commands moves in one transaction. A bookmark only moves forward, and only from where
//! the client saw it.
//!
//! A pushed commit that names a change which exists with another commit is the change's next version:
//! the change's reference moves first, and other bookmarks on the old version follow, as they do when
//! a change is amended. A commit that the change has had before is no next version: inside of what is
//! pushed it is history, and as the tip of a bookmark it is refused, since a bookmark shows what its
//! change is now. So a client that fetched before an amendment cannot undo it.

mod quarantine;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub(in crate::server) use quarantine::Quarantine;

use super::bookmarks::{self, Bookmark, HEADS, Target};
use super::changes::{CHANGES, Evolution, Snapshot, tree_of};
use super::error::{Doing, Error};
use super::packets::{Command, Verdict};
use super::refs::{self, Move};
use super::{Repository, commit, history, ours, theirs};
use crate::tree::{ChangeId, GitOid};

/// Whether references move each by itself or all together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Together {
    Each,
    All,
}

/// What a push has done.
#[derive(Debug)]
pub(in crate::server) struct Pushed {
    pub(in crate::server) verdicts: Vec<Verdict>,
    /// Changes that have a new commit.
    pub(in crate::server) evolved: Vec<Evolution>,
}

/// Most commands in one push: more branches than any project has, at about 1 ms each.
pub(in crate::server) const COMMANDS_MAX: usize = 4_096;

/// A command that may be done.
struct Step<'a> {
    name: &'a str,
    from: Option<Target>,
    to: Option<GitOid>,
}

/// What is known while commands are judged.
struct Judge<'a> {
    repository: &'a Repository,
    repo: &'a gix::Repository,
    /// The repository with what is pushed.
    view: &'a gix::Repository,
    default: String,
    /// Every name that is a bookmark, or becomes one.
    taken: BTreeSet<String>,
    /// Names that come more than once.
    repeated: BTreeSet<&'a [u8]>,
}

/// Either what it says, or why not.
type Judged<T> = Result<Result<T, String>, Error>;

impl Repository {
    /// The branches, by full name: what a client that pushes builds on.
    pub(in crate::server) fn branches(&self) -> Result<Vec<(String, GitOid)>, Error> {
        let found = refs::below(&self.local(), HEADS)?;
        let full = |(name, oid): (String, gix::ObjectId)| (format!("{HEADS}{name}"), ours(&oid));
        Ok(found.into_iter().map(full).collect())
    }

    /// What a bookmark was that is gone: it was on a commit, or on the virtual root.
    pub(in crate::server) fn former(
        &self,
        name: &str,
        from: Option<GitOid>,
    ) -> Result<Bookmark, Error> {
        let change = match from {
            Some(commit) => commit::change_of(&self.local(), theirs(commit))?,
            None => ChangeId::ROOT,
        };
        Ok(Bookmark {
            name: name.to_owned(),
            target: Target {
                change,
                commit: from,
            },
        })
    }

    /// Does what a push asks for, as far as it may; on return what was done survives a power cut.
    pub(in crate::server) fn push(
        &self,
        commands: &[Command],
        quarantine: Option<Quarantine>,
        together: Together,
    ) -> Result<Pushed, Error> {
        let repo = self.local();
        let view = match &quarantine {
            Some(quarantine) => quarantine.view()?,
            None => repo.clone(),
        };
        let judge = Judge::new(self, &repo, &view, commands)?;
        let mut steps = Vec::new();
        let mut refusals: Vec<Option<String>> = Vec::new();
        for command in commands {
            refusals.push(match judge.judge(command)? {
                Ok(step) => {
                    steps.push(step);
                    None
                }
                Err(refusal) => Some(refusal),
            });
        }
        let evolved = match judge.evolve(&steps)? {
            Ok(evolved) => evolved,
            Err(refusal) => {
                refuse_rest(&mut refusals, &refusal);
                steps.clear();
                Evolved::new()
            }
        };
        if together == Together::All && refusals.iter().any(Option::is_some) {
            refuse_rest(
                &mut refusals,
                "the push is atomic, and another reference was refused",
            );
            steps.clear();
        }
        let mut done = Vec::new();
        if !steps.is_empty() {
            let moves = judge.moves(&steps, &evolved)?;
            if let Some(quarantine) = quarantine {
                quarantine.publish(&self.folder)?;
            }
            match refs::apply(&self.local(), &moves) {
                Ok(()) => {
                    self.note_pushed(evolved.iter().map(|(change, (_, new))| (*change, *new)));
                    done.extend(evolved.into_iter().filter_map(|(change, (from, to))| {
                        let from = from?;
                        Some(Evolution { change, from, to })
                    }));
                }
                Err(Error::Raced) => refuse_rest(&mut refusals, "moved meanwhile; fetch first"),
                Err(Error::BookmarkName) => {
                    refuse_rest(&mut refusals, "the name is in the way of another")
                }
                Err(error) => return Err(error),
            }
        }
        let verdict = |(command, refusal): (&Command, Option<String>)| Verdict {
            name: command.name.clone(),
            refusal,
        };
        Ok(Pushed {
            verdicts: commands.iter().zip(refusals).map(verdict).collect(),
            evolved: done,
        })
    }
}

fn refuse_rest(refusals: &mut [Option<String>], why: &str) {
    for refusal in refusals.iter_mut().filter(|refusal| refusal.is_none()) {
        *refusal = Some(why.to_owned());
    }
}

/// Changes that get a next version: the one that they have, if any, and the new one.
type Evolved = BTreeMap<ChangeId, (Option<GitOid>, GitOid)>;

impl<'a> Judge<'a> {
    fn new(
        repository: &'a Repository,
        repo: &'a gix::Repository,
        view: &'a gix::Repository,
        commands: &'a [Command],
    ) -> Result<Judge<'a>, Error> {
        let mut taken = bookmarks::names(repo)?;
        let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
        for command in commands {
            let name = std::str::from_utf8(&command.name).unwrap_or_default();
            if command.to.is_some() {
                taken.extend(name.strip_prefix(HEADS).map(str::to_owned));
            }
            if !seen.insert(command.name.as_slice()) {
                repeated.insert(command.name.as_slice());
            }
        }
        Ok(Judge {
            repository,
            repo,
            view,
            default: bookmarks::default_name(repo)?,
            taken,
            repeated,
        })
    }

    fn judge<'c>(&self, command: &'c Command) -> Judged<Step<'c>> {
        let refused = |why: &str| Ok(Err(why.to_owned()));
        if self.repeated.contains(command.name.as_slice()) {
            return refused("the same name twice");
        }
        let Some(name) = command.name.strip_prefix(HEADS.as_bytes()) else {
            return refused("only branches can be pushed; tags and other references are not kept");
        };
        let Ok(name) = std::str::from_utf8(name) else {
            return refused("the name is not UTF-8");
        };
        if bookmarks::check_name(name).is_err() {
            return refused("not a valid bookmark name");
        }
        let from = bookmarks::find(self.repo, name)?;
        if from.and_then(|from| from.commit) != command.from {
            return refused("moved meanwhile; fetch first");
        }
        let Some(to) = command.to else {
            return Ok(match from {
                None => Err("no such bookmark".to_owned()),
                Some(_) if name == self.default => {
                    Err("the default bookmark cannot be deleted".to_owned())
                }
                from => Ok(Step {
                    name,
                    from,
                    to: None,
                }),
            });
        };
        if from.is_none()
            && self
                .taken
                .iter()
                .any(|other| bookmarks::is_entangled(name, other))
        {
            return refused("the name is in the way of another bookmark's");
        }
        let header = self
            .view
            .try_find_header(theirs(to))
            .doing("reading a pushed object")?;
        if header.map(|header| header.kind()) != Some(gix::objs::Kind::Commit) {
            return refused("not a commit");
        }
        if let Some(old) = command.from
            && !history::descends(self.view, to, old)?
        {
            return refused("non-fast-forward");
        }
        if self.is_earlier_version(to)? {
            return refused("an earlier version of a change that was amended since; fetch first");
        }
        Ok(Ok(Step {
            name,
            from,
            to: Some(to),
        }))
    }

    /// Whether a commit is what its change was, and not what it is or may become.
    fn is_earlier_version(&self, oid: GitOid) -> Result<bool, Error> {
        if !self.repo.has_object(theirs(oid)) {
            return Ok(false);
        }
        let change = commit::change_of(self.repo, theirs(oid))?;
        let Some(now) = self.current(change)?.filter(|now| *now != oid) else {
            return Ok(false);
        };
        if commit::succeeds(self.repo, now, oid)? {
            return Ok(true);
        }
        for (_, tip) in refs::below(self.repo, HEADS)? {
            if history::descends(self.repo, ours(&tip), oid)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a change is now, if it is known.
    fn current(&self, change: ChangeId) -> Result<Option<GitOid>, Error> {
        match self.repository.snapshot_in(self.repo, change) {
            Ok(snapshot) => Ok(snapshot.commit),
            Err(Error::UnknownChange) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which changes the pushed commits are next versions of, seen from the tips.
    fn evolve(&self, steps: &[Step<'_>]) -> Judged<Evolved> {
        let mut evolved = Evolved::new();
        let mut tips = HashMap::new();
        for tip in steps.iter().filter_map(|step| step.to) {
            let change = commit::change_of(self.view, theirs(tip))?;
            if tips.insert(change, tip).is_some_and(|other| other != tip) {
                return Ok(Err("two versions of one change in one push".to_owned()));
            }
            self.evolve_one(&mut evolved, change, tip)?;
        }
        let news = tips.values().map(|tip| theirs(*tip));
        let known = self.repo.clone();
        let walk = self
            .view
            .rev_walk(news)
            .selected(move |oid| !known.objects.exists_without_refresh(oid))
            .doing("walking what is pushed")?;
        for info in walk {
            let oid = info.doing("walking what is pushed")?.id;
            let found = self
                .view
                .find_commit(oid)
                .doing("reading a pushed commit")?;
            let decoded = found.decode().doing("reading a pushed commit")?;
            let change = commit::change_id(&oid, &decoded);
            if change != commit::derived(&oid) {
                self.evolve_one(&mut evolved, change, ours(&oid))?;
            }
        }
        Ok(Ok(evolved))
    }

    fn evolve_one(
        &self,
        evolved: &mut Evolved,
        change: ChangeId,
        new: GitOid,
    ) -> Result<(), Error> {
        if evolved.contains_key(&change) {
            return Ok(());
        }
        let now = self.current(change)?;
        if now != Some(new) {
            evolved.insert(change, (now, new));
        }
        Ok(())
    }

    /// Everything that moves, in order: changes, the bookmarks that follow them, and what was pushed.
    fn moves(&self, steps: &[Step<'_>], evolved: &Evolved) -> Result<Vec<Move>, Error> {
        let mut moves = Vec::new();
        let mut followers = HashMap::new();
        for (change, (old, new)) in evolved {
            let Some(old) = old else { continue };
            followers.insert(theirs(*old), theirs(*new));
            let name = format!("{CHANGES}{change}");
            moves.push(Move {
                from: refs::find(self.repo, &name)?,
                name,
                to: Some(theirs(*new)),
            });
        }
        for (bookmark, oid) in refs::below(self.repo, HEADS)? {
            let is_pushed = steps.iter().any(|step| step.name == bookmark);
            if let Some(new) = followers.get(&oid).filter(|_| !is_pushed) {
                moves.push(Move {
                    name: format!("{HEADS}{bookmark}"),
                    from: Some(oid),
                    to: Some(*new),
                });
            }
        }
        for step in steps {
            match (step.to, step.from) {
                (Some(to), from) => {
                    let snapshot = Snapshot {
                        change: commit::change_of(self.view, theirs(to))?,
                        commit: Some(to),
                        tree: tree_of(self.view, to)?,
                    };
                    let from = from.and_then(|from| from.commit);
                    moves.extend(bookmarks::placing(self.repo, step.name, from, &snapshot)?);
                }
                (None, Some(from)) => moves.push(bookmarks::removal(step.name, &from)),
                (None, None) => {}
            }
        }
        Ok(moves)
    }
}
