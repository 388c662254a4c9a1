//! Listings: readdir and readdirplus.
//!
//! There are no directory handles either: a position is the cookie of an entry, which is a function
//! of its name, so a listing goes on at the right place whatever has changed since. OPENDIR is
//! answered ENOSYS once, after which the kernel opens directories by itself and keeps their listings
//! until something in them changes; that saves two requests for each directory that is read. (The
//! kernels 6.9 to 6.12 do not drop such a cache at an opendir that asks for it. We never ask.)

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use fuser::{Errno, FileAttr, INodeNo};

use super::adapter::{Adapter, Place, Refuse, Target};
use super::attributes::{TTL, TTL_VIRTUAL};
use super::inode::NodeId;
use super::preload::Unknown;
use super::reply::{ReplyDirectory, ReplyDirectoryPlus};
use super::root::{Leads, VirtualEntry, VirtualNode, VirtualRoot};
use super::{Opened, attributes, errno, incident, workers};
use crate::overlay::{Overlay, Visit};
use crate::tree::{Attributes, Ino, Name};

const DOT_DOT: &[u8] = b"..";

/// A reply that lists a virtual directory.
trait List: Refuse {
    /// Adds an entry with all that is known of it; tells whether there was room.
    fn list(&mut self, entry: &VirtualEntry, attr: &FileAttr, valid: Duration) -> Visit;
    fn finish(self);
}

fn visit(is_full: bool) -> Visit {
    if is_full { Visit::Full } else { Visit::Taken }
}

impl List for ReplyDirectory {
    fn list(&mut self, entry: &VirtualEntry, attr: &FileAttr, _: Duration) -> Visit {
        let name = OsStr::from_bytes(&entry.name);
        visit(self.add(attr.ino, entry.cookie, attr.kind, name))
    }

    fn finish(self) {
        self.ok();
    }
}

impl List for ReplyDirectoryPlus {
    fn list(&mut self, entry: &VirtualEntry, attr: &FileAttr, valid: Duration) -> Visit {
        let name = OsStr::from_bytes(&entry.name);
        visit(self.add(attr.ino, entry.cookie, name, &valid, attr))
    }

    fn finish(self) {
        self.ok();
    }
}

/// The number to show for an entry: the root of a repository has a parent outside of it.
fn shown(root: &VirtualRoot, place: &Place, directory: Ino, ino: Ino, name: &[u8]) -> NodeId {
    if directory == Ino::ROOT && name == DOT_DOT {
        root.parent_of(place.slot)
    } else {
        NodeId::Repository(place.slot, ino)
    }
}

impl Adapter {
    pub(super) fn on_readdir(&self, node: INodeNo, after: u64, reply: ReplyDirectory) {
        let Some((target, reply)) = reply.given(self.target(node)) else {
            return;
        };
        let (place, ino) = match target {
            Target::Repository(place, ino) => (place, ino),
            Target::Virtual(ino) => return self.list_virtual(ino, after, reply),
        };
        if after > 0 {
            self.preload.goes_on(node);
        }
        let root = self.root.clone();
        let here = place.clone();
        self.run(
            place,
            reply,
            move |overlay: &Overlay, reply: &mut ReplyDirectory| {
                overlay.read_directory(ino, after, &mut |cookie, child, kind, name| match shown(
                    &root, &here, ino, child, name,
                )
                .to_kernel()
                {
                    Some(number) => visit(reply.add(
                        number,
                        cookie,
                        attributes::file_type(kind),
                        OsStr::from_bytes(name),
                    )),
                    None => Visit::Full,
                })
            },
            |_, (), reply| reply.ok(),
        );
    }

    pub(super) fn on_readdirplus(&self, node: INodeNo, after: u64, reply: ReplyDirectoryPlus) {
        let Some((target, reply)) = reply.given(self.target(node)) else {
            return;
        };
        let (place, ino) = match target {
            Target::Repository(place, ino) => (place, ino),
            Target::Virtual(ino) => return self.list_virtual(ino, after, reply),
        };
        if after > 0 {
            self.preload.goes_on(node);
        }
        let root = self.root.clone();
        let here = place.clone();
        let preload = Arc::clone(&self.preload);
        let plus =
            move |reply: &mut ReplyDirectoryPlus, cookie, child: &Attributes, name: &[u8]| {
                let number = shown(&root, &here, ino, child.ino, name).to_kernel()?;
                let attr = attributes::file_attr(number, child);
                let valid = attributes::valid(child);
                let is_full = reply.add(number, cookie, OsStr::from_bytes(name), &valid, &attr);
                (!is_full).then_some(number)
            };
        self.run(
            place,
            reply,
            move |overlay: &Overlay, reply: &mut ReplyDirectoryPlus| {
                let mut unknown = Unknown::default();
                overlay.read_directory_plus(ino, after, &mut |cookie, child, name| {
                    let Some(number) = plus(reply, cookie, child, name) else {
                        return Visit::Full;
                    };
                    unknown.add(number, child);
                    Visit::Taken
                })?;
                Ok(unknown)
            },
            move |place, unknown, reply| {
                // First: what is read of them comes after the reply.
                preload.listed(node, unknown, &place.overlay);
                reply.ok();
            },
        );
    }

    /// Lists a virtual directory; what an organization has may have to be asked for.
    fn list_virtual<R: List>(&self, ino: Ino, after: u64, reply: R) {
        let Some((node, reply)) = reply.given(self.root.node(ino)) else {
            return;
        };
        let root = self.root.clone();
        match node {
            VirtualNode::Root => fill(&root, root.list_root(after), reply),
            VirtualNode::Reports => fill(&root, root.list_reports(after), reply),
            VirtualNode::Report => reply.refuse(Errno::ENOTDIR),
            VirtualNode::Organization(name) => {
                if let Some(names) = root.repositories.known(&name) {
                    let names: Vec<Name> = names.iter().cloned().collect();
                    return fill(&root, root.list_organization(&name, &names, after), reply);
                }
                self.fetch(reply, move |reply: R| {
                    match root.repositories.repositories(&name) {
                        Ok(names) => {
                            fill(&root, root.list_organization(&name, &names, after), reply)
                        }
                        Err(error) => {
                            incident::note_open(&name, None, &error);
                            reply.refuse(errno::of_open(&error));
                        }
                    }
                });
            }
        }
    }
}

/// Puts as many entries into the reply as it holds, and sends it.
///
/// A plus-entry makes the kernel hold its node; neither the virtual directories nor the roots of
/// repositories need that counted. The entry of a repository that is not open is valid for no time
/// at all, so its first use is a lookup, which opens it.
fn fill<R: List>(root: &VirtualRoot, entries: Vec<VirtualEntry>, mut reply: R) {
    for entry in entries {
        let attr = match &entry.leads {
            Leads::Virtual(node) => root.attributes(*node).map(|attr| (attr, TTL_VIRTUAL)),
            Leads::Unopened(node) => root.attributes(*node).map(|attr| (attr, Duration::ZERO)),
            Leads::Opened(opened) => attributes_of(opened).map(|attr| (attr, TTL)),
        };
        match attr {
            Ok((attr, valid)) => {
                if reply.list(&entry, &attr, valid) == Visit::Full {
                    break;
                }
            }
            Err(errno) => return reply.refuse(errno),
        }
    }
    reply.finish();
}

/// The attributes of an open repository's root. They must be the true ones: the kernel may hold the
/// inode already, and would believe others.
fn attributes_of(opened: &Opened) -> Result<FileAttr, Errno> {
    let place = Place::from(opened.clone());
    let attributes = workers::settled(&place.overlay, |overlay| overlay.attributes(Ino::ROOT));
    let attributes = attributes.map_err(|error| {
        incident::note(&place, &error);
        errno::of(&error)
    })?;
    place.file_attr(&attributes)
}
