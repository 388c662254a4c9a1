//! The directories above the repositories: the root, one for each organization, and the one of the
//! reports about the mount.
//!
//! They are made of names alone, hold no state worth keeping, and cannot be changed. What the kernel
//! is told of them is valid for a second, and their mtime is always the present: with that it asks
//! for a listing again when it is older than that second, although it keeps the listings of
//! repositories for good (the kernel drops a cached listing when the directory's mtime changes).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{Errno, FileAttr};
use parking_lot::RwLock;

use super::inode::{self, NodeId};
use super::reports::{self, Report, Reports};
use super::snapshots::ReportDesk;
use super::{Opened, Repositories, Slot, attributes};
use crate::tree::{Attributes, Ino, Kind, Name, Permissions};

/// What an inode of slot 0 is.
pub(super) enum VirtualNode {
    Root,
    Organization(Name),
    /// The directory of the reports.
    Reports,
    /// One of them.
    Report,
}

/// What an entry of a virtual directory leads to.
#[derive(Clone)]
pub(super) enum Leads {
    /// A virtual directory that is there.
    Virtual(NodeId),
    /// A repository that is open.
    Opened(Opened),
    /// A repository that is not open yet, or a report. Its number is one of the virtual root's, made
    /// from its name: to open all repositories for the sake of a listing would cost requests to the
    /// server.
    Unopened(NodeId),
}

/// One entry of a virtual directory's listing.
pub(super) struct VirtualEntry {
    pub(super) cookie: u64,
    pub(super) leads: Leads,
    pub(super) name: Vec<u8>,
}

/// The virtual directories of one mount.
pub(super) struct VirtualRoot {
    pub(super) repositories: Arc<dyn Repositories>,
    pub(super) reports: ReportDesk,
    owner: (u32, u32),
    /// Organizations that the kernel has seen. They are few, so they are never forgotten.
    organizations: RwLock<HashMap<Ino, Name>>,
    /// The organization directory above each repository that the kernel has seen.
    parents: RwLock<HashMap<Slot, Ino>>,
}

impl VirtualRoot {
    pub(super) fn new(
        repositories: Arc<dyn Repositories>,
        reports: Arc<dyn Reports>,
        owner: (u32, u32),
    ) -> VirtualRoot {
        VirtualRoot {
            repositories,
            reports: ReportDesk::new(reports),
            owner,
            organizations: RwLock::default(),
            parents: RwLock::default(),
        }
    }

    /// What an inode of slot 0 is; ESTALE for one that was never shown.
    pub(super) fn node(&self, ino: Ino) -> Result<VirtualNode, Errno> {
        if ino == Ino::ROOT {
            return Ok(VirtualNode::Root);
        }
        if ino == reports_ino() {
            return Ok(VirtualNode::Reports);
        }
        if self.is_report(ino) {
            return Ok(VirtualNode::Report);
        }
        let organizations = self.organizations.read();
        match organizations.get(&ino) {
            Some(name) => Ok(VirtualNode::Organization(name.clone())),
            None => Err(Errno::ESTALE),
        }
    }

    fn is_report(&self, ino: Ino) -> bool {
        let is_shown = Report::ALL.iter().any(|report| report.ino() == ino);
        is_shown || self.reports.report(ino).is_some()
    }

    /// The inode of an organization's directory, from now on known.
    pub(super) fn organization(&self, name: &Name) -> Ino {
        let ino = inode::of_words(&[name.as_bytes()]);
        if !self.organizations.read().contains_key(&ino) {
            self.organizations.write().insert(ino, name.clone());
        }
        ino
    }

    /// The organization directory above a repository's root.
    pub(super) fn parent_of(&self, slot: Slot) -> NodeId {
        let parents = self.parents.read();
        NodeId::Virtual(parents.get(&slot).copied().unwrap_or(Ino::ROOT))
    }

    /// Notes where a repository's root was found.
    pub(super) fn set_parent(&self, slot: Slot, organization: &Name) {
        let parent = self.organization(organization);
        if self.parents.read().get(&slot) != Some(&parent) {
            self.parents.write().insert(slot, parent);
        }
    }

    /// What `stat` shows of anything virtual, `node`: read-only for all but its owner, who learns
    /// from EROFS that it is so for everyone. A report as a listing shows it is empty: whoever wants to
    /// know more looks it up, and gets a snapshot, which has no links (see `snapshots`).
    pub(super) fn attributes(&self, node: NodeId) -> Result<FileAttr, Errno> {
        let number = node.to_kernel().ok_or(Errno::EIO)?;
        let (is_report, snapshot) = match node {
            NodeId::Virtual(ino) => (self.is_report(ino), self.reports.shown(ino)),
            NodeId::Repository(..) => (false, None),
        };
        let (size, time) = snapshot.unwrap_or_else(|| (0, SystemTime::now()));
        let time = time.into();
        let (kind, permissions) = match is_report {
            true => (Kind::File, Permissions::FILE),
            false => (Kind::Directory, Permissions::DIRECTORY),
        };
        let attributes = Attributes {
            ino: Ino::ROOT,
            kind,
            permissions,
            links: u32::from(snapshot.is_none()),
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            size,
            blocks: size.div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            volatile: false,
        };
        Ok(attributes::file_attr(number, &attributes))
    }

    /// The entries of the root with a cookie above `after`.
    pub(super) fn list_root(&self, after: u64) -> Vec<VirtualEntry> {
        let names = self.repositories.organizations();
        let folder = Name::try_from(reports::FOLDER).ok();
        let entries = names.iter().map(|name| {
            let node = NodeId::Virtual(self.organization(name));
            (name, Leads::Virtual(node))
        });
        let folder = folder.iter();
        let folder = folder.map(|name| (name, Leads::Virtual(NodeId::Virtual(reports_ino()))));
        listing(NodeId::ROOT, NodeId::ROOT, entries.chain(folder), after)
    }

    /// The entries of the directory of reports.
    pub(super) fn list_reports(&self, after: u64) -> Vec<VirtualEntry> {
        let names = Report::ALL.map(|report| (Name::try_from(report.name()).ok(), report));
        // Not valid for any time: what is shown of their size may be old.
        let entries = names.iter().filter_map(|(name, report)| {
            let leads = Leads::Unopened(NodeId::Virtual(report.ino()));
            Some((name.as_ref()?, leads))
        });
        listing(NodeId::Virtual(reports_ino()), NodeId::ROOT, entries, after)
    }

    /// The entries of an organization, given the names of its repositories.
    pub(super) fn list_organization(
        &self,
        organization: &Name,
        names: &[Name],
        after: u64,
    ) -> Vec<VirtualEntry> {
        let entries = names.iter().map(|name| {
            let leads = match self.repositories.opened_by_name(organization, name) {
                Some(opened) => Leads::Opened(opened),
                None => {
                    let words = [organization.as_bytes(), name.as_bytes()];
                    Leads::Unopened(NodeId::Virtual(inode::of_words(&words)))
                }
            };
            (name, leads)
        });
        let own = NodeId::Virtual(self.organization(organization));
        listing(own, NodeId::ROOT, entries, after)
    }
}

/// The inode of the directory of reports.
pub(super) fn reports_ino() -> Ino {
    inode::of_words(&[reports::FOLDER])
}

/// `.`, `..` and the entries, in the order of their cookies.
fn listing<'a>(
    own: NodeId,
    parent: NodeId,
    entries: impl Iterator<Item = (&'a Name, Leads)>,
    after: u64,
) -> Vec<VirtualEntry> {
    let dots = [
        (1, Leads::Virtual(own), &b"."[..]),
        (2, Leads::Virtual(parent), &b".."[..]),
    ];
    let mut all: Vec<VirtualEntry> = dots
        .into_iter()
        .chain(entries.map(|(name, leads)| (name.cookie(), leads, name.as_bytes())))
        .filter(|(cookie, ..)| *cookie > after)
        .map(|(cookie, leads, name)| VirtualEntry {
            cookie,
            leads,
            name: name.to_vec(),
        })
        .collect();
    all.sort_unstable_by(|left, right| (left.cookie, &left.name).cmp(&(right.cookie, &right.name)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_resumes_after_any_cookie() {
        let names: Vec<Name> = (0..50)
            .map(|number| Name::try_from(format!("repository-{number}").as_str()).unwrap())
            .collect();
        let entries = || {
            names
                .iter()
                .map(|name| (name, Leads::Virtual(NodeId::ROOT)))
        };
        let all = listing(NodeId::ROOT, NodeId::ROOT, entries(), 0);
        assert_eq!(all.len(), 52);
        assert_eq!(
            (&all[0].name[..], &all[1].name[..]),
            (&b"."[..], &b".."[..])
        );
        for (position, entry) in all.iter().enumerate() {
            let rest = listing(NodeId::ROOT, NodeId::ROOT, entries(), entry.cookie);
            assert_eq!(rest.len(), all.len() - position - 1);
        }
    }
}
