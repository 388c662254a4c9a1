//! The directories above the repositories: the root, and one for each organization.
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
use super::{Opened, Repositories, Slot, attributes};
use crate::tree::{Attributes, Ino, Kind, Name, Permissions};

/// What an inode of slot 0 is.
pub(super) enum VirtualNode {
    Root,
    Organization(Name),
}

/// What an entry of a virtual directory leads to.
#[derive(Clone)]
pub(super) enum Leads {
    /// A virtual directory that is there.
    Virtual(NodeId),
    /// A repository that is open.
    Opened(Opened),
    /// A repository that is not open yet. Its number is one of the virtual root's, made from its
    /// name: to open all repositories for the sake of a listing would cost requests to the server.
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
    owner: (u32, u32),
    /// Organizations that the kernel has seen. They are few, so they are never forgotten.
    organizations: RwLock<HashMap<Ino, Name>>,
    /// The organization directory above each repository that the kernel has seen.
    parents: RwLock<HashMap<Slot, Ino>>,
}

impl VirtualRoot {
    pub(super) fn new(repositories: Arc<dyn Repositories>, owner: (u32, u32)) -> VirtualRoot {
        VirtualRoot {
            repositories,
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
        let organizations = self.organizations.read();
        match organizations.get(&ino) {
            Some(name) => Ok(VirtualNode::Organization(name.clone())),
            None => Err(Errno::ESTALE),
        }
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

    /// What `stat` shows of any virtual directory, `node`: read-only for all but its owner, who
    /// learns from EROFS that it is so for everyone.
    pub(super) fn attributes(&self, node: NodeId) -> Result<FileAttr, Errno> {
        let number = node.to_kernel().ok_or(Errno::EIO)?;
        let now = SystemTime::now().into();
        let directory = Attributes {
            ino: Ino::ROOT,
            kind: Kind::Directory,
            permissions: Permissions::DIRECTORY,
            links: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            size: 0,
            blocks: 0,
            atime: now,
            mtime: now,
            ctime: now,
        };
        Ok(attributes::file_attr(number, &directory))
    }

    /// The entries of the root with a cookie above `after`.
    pub(super) fn list_root(&self, after: u64) -> Vec<VirtualEntry> {
        let names = self.repositories.organizations();
        let entries = names.iter().map(|name| {
            let node = NodeId::Virtual(self.organization(name));
            (name, Leads::Virtual(node))
        });
        listing(NodeId::ROOT, NodeId::ROOT, entries, after)
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
