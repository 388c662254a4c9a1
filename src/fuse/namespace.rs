//! Names: lookup, and every request that makes, moves or removes one.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use fuser::{Errno, FopenFlags, INodeNo, OpenFlags, RenameFlags};

use super::adapter::{self, Adapter, Place, Refuse, Target};
use super::inode::NodeId;
use super::reply::{ReplyCreate, ReplyEmpty, ReplyEntry};
use super::reports::{self, Report};
use super::request::Request;
use super::root::{self, VirtualNode};
use super::{OpenError, Opens, attributes, content, errno, incident, passthrough, workers};
use crate::overlay::{Error, NewNode, Overlay, Owner, Pages, Rename, Way};
use crate::tree::{Ino, Name, NameError, Permissions};

/// A name that the kernel sent. It may be over 255 bytes long, which is ours to refuse.
fn checked(name: &OsStr) -> Result<Name, Errno> {
    Name::try_from(name).map_err(|error| match error {
        NameError::TooLong => Errno::ENAMETOOLONG,
        NameError::Empty | NameError::Dots | NameError::Forbidden => Errno::EINVAL,
    })
}

/// "There is no such name", to be remembered for so long.
fn reply_nothing(reply: ReplyEntry, valid: Duration) {
    let nothing = attributes::nothing();
    reply.entry(&valid, &valid, &nothing);
}

impl Adapter {
    pub(super) fn on_lookup(&self, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some((name, reply)) = reply.given(checked(name)) else {
            return;
        };
        let Some((target, reply)) = reply.given(self.target(parent)) else {
            return;
        };
        match target {
            Target::Repository(place, parent) => self.run(
                place,
                reply,
                move |overlay, _| match overlay.lookup(parent, &name) {
                    Err(Error::NotFound) => Ok(None),
                    found => found.map(Some),
                },
                |place, found, reply| match found {
                    Some(attributes) => adapter::reply_entry(place, attributes, reply),
                    None => reply_nothing(reply, attributes::TTL),
                },
            ),
            Target::Virtual(parent) => match self.root.node(parent) {
                Ok(VirtualNode::Root) => self.lookup_organization(&name, reply),
                Ok(VirtualNode::Reports) => match Report::named(name.as_bytes()) {
                    Some(report) => self.lookup_report(report, reply),
                    None => reply_nothing(reply, attributes::TTL_VIRTUAL),
                },
                Ok(VirtualNode::Report) => reply.error(Errno::ENOTDIR),
                Ok(VirtualNode::Organization(organization)) => {
                    self.lookup_repository(organization, name, reply);
                }
                Err(errno) => reply.error(errno),
            },
        }
    }

    fn lookup_organization(&self, name: &Name, reply: ReplyEntry) {
        let ino = match name.as_bytes() == reports::FOLDER {
            true => root::reports_ino(),
            false if self.root.repositories.organizations().contains(name) => {
                self.root.organization(name)
            }
            false => return reply_nothing(reply, attributes::TTL_VIRTUAL),
        };
        let node = NodeId::Virtual(ino);
        if let Some((attr, reply)) = reply.given(self.root.attributes(node)) {
            let valid = &attributes::TTL_VIRTUAL;
            reply.entry(valid, valid, &attr);
        }
    }

    fn lookup_repository(&self, organization: Name, name: Name, reply: ReplyEntry) {
        let root = self.root.clone();
        if let Some(opened) = root.repositories.opened_by_name(&organization, &name) {
            root.set_parent(opened.slot, &organization);
            return self.run(
                opened.into(),
                reply,
                |overlay, _| overlay.attributes(Ino::ROOT),
                adapter::reply_entry,
            );
        }
        let is_here = root.repositories.is_here(&organization, &name);
        if !is_here
            && let Some(names) = root.repositories.known(&organization)
            && !names.contains(&name)
        {
            return reply_nothing(reply, attributes::TTL_VIRTUAL);
        }
        let open = move |reply: ReplyEntry| match root.repositories.open(&organization, &name) {
            Ok(opened) => {
                root.set_parent(opened.slot, &organization);
                let place = Place::from(opened);
                let attributes =
                    workers::settled(&place.overlay, |overlay| overlay.attributes(Ino::ROOT));
                adapter::answer(&place, attributes, reply, adapter::reply_entry);
            }
            Err(OpenError::NotFound) => reply_nothing(reply, attributes::TTL_VIRTUAL),
            Err(error) => {
                incident::note_open(&organization, Some(&name), &error);
                reply.error(errno::of_open(&error));
            }
        };
        match is_here {
            true => self.open_here(reply, open),
            false => self.fetch(reply, open),
        }
    }

    /// Makes anything but an open file.
    fn make(
        &self,
        request: Request,
        parent: INodeNo,
        name: &OsStr,
        node: NewNode,
        permissions: Permissions,
        reply: ReplyEntry,
    ) {
        let Some((name, reply)) = reply.given(checked(name)) else {
            return;
        };
        let Some(((place, parent), reply)) = reply.given(self.writable(parent)) else {
            return;
        };
        let owner = owner(request);
        self.run(
            place,
            reply,
            move |overlay, _| overlay.make(parent, &name, node.clone(), permissions, owner),
            adapter::reply_entry,
        );
    }

    pub(super) fn on_mknod(
        &self,
        request: Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let node = match mode & libc::S_IFMT {
            // `mknod(2)` takes 0 for a regular file, but the VFS has made it S_IFREG by here.
            libc::S_IFREG => Ok(NewNode::File),
            libc::S_IFIFO => Ok(NewNode::Fifo),
            libc::S_IFSOCK => Ok(NewNode::Socket),
            libc::S_IFCHR => Ok(NewNode::CharDevice { rdev }),
            libc::S_IFBLK => Ok(NewNode::BlockDevice { rdev }),
            _ => Err(Errno::EINVAL),
        };
        if let Some((node, reply)) = reply.given(node) {
            let permissions = Permissions::of_mode(mode);
            self.make(request, parent, name, node, permissions, reply);
        }
    }

    pub(super) fn on_mkdir(
        &self,
        request: Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        reply: ReplyEntry,
    ) {
        let permissions = Permissions::of_mode(mode);
        self.make(
            request,
            parent,
            name,
            NewNode::Directory,
            permissions,
            reply,
        );
    }

    pub(super) fn on_symlink(
        &self,
        request: Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = target.as_os_str().as_bytes().to_vec();
        let node = NewNode::Symlink { target };
        self.make(request, parent, name, node, Permissions::SYMLINK, reply);
    }

    pub(super) fn on_create(
        &self,
        request: Request,
        (parent, name): (INodeNo, &OsStr),
        mode: u32,
        flags: OpenFlags,
        reply: ReplyCreate,
    ) {
        let Some((name, reply)) = reply.given(checked(name)) else {
            return;
        };
        let Some(((place, parent), reply)) = reply.given(self.writable(parent)) else {
            return;
        };
        let (owner, permissions) = (owner(request), Permissions::of_mode(mode));
        let opens = self.opens;
        let (passthrough, aim) = (self.passthrough.clone(), content::aim(flags));
        self.run(
            place,
            reply,
            move |overlay, _| match passthrough.is_on() {
                false if opens == Opens::Kernel => {
                    let made = overlay.make(parent, &name, NewNode::File, permissions, owner)?;
                    Ok((made, Way::Asking(Pages::Kept)))
                }
                false => {
                    let made = overlay.create(parent, &name, permissions, owner)?;
                    Ok((made, Way::Asking(Pages::Kept)))
                }
                true => {
                    let mut pass = |body: &_| passthrough.pass(body);
                    let place = (parent, &name);
                    let (made, way) =
                        overlay.create_through(place, permissions, owner, aim, &mut pass)?;
                    content::settle_open(overlay, made.ino, flags, &way)?;
                    Ok((made, way))
                }
            },
            move |place, (attributes, way), reply| {
                let Some((attr, reply)) = reply.given(place.file_attr(&attributes)) else {
                    return;
                };
                let (handle, ttl) = (content::handle(aim, &way), attributes::TTL);
                let backing = passthrough::backing(&way);
                let flags = match backing {
                    Some(_) => FopenFlags::empty(),
                    None => FopenFlags::FOPEN_KEEP_CACHE,
                };
                reply.created(&ttl, &attr, (handle, flags), backing);
            },
        );
    }

    pub(super) fn on_link(
        &self,
        node: INodeNo,
        new_parent: INodeNo,
        new_name: &OsStr,
        reply: ReplyEntry,
    ) {
        let Some((name, reply)) = reply.given(checked(new_name)) else {
            return;
        };
        let both = self.in_one_repository(node, new_parent);
        if let Some(((place, ino, parent), reply)) = reply.given(both) {
            self.run(
                place,
                reply,
                move |overlay, _| overlay.link(ino, parent, &name),
                adapter::reply_entry,
            );
        }
    }

    /// Two nodes of one repository; EXDEV for two repositories, so that `mv` copies.
    fn in_one_repository(
        &self,
        first: INodeNo,
        second: INodeNo,
    ) -> Result<(Place, Ino, Ino), Errno> {
        match (self.target(first)?, self.target(second)?) {
            (Target::Repository(place, first), Target::Repository(other, second)) => {
                if place.slot == other.slot {
                    Ok((place, first, second))
                } else {
                    Err(Errno::EXDEV)
                }
            }
            (Target::Virtual(_), Target::Virtual(_)) => Err(Errno::EROFS),
            (Target::Virtual(_), Target::Repository(..))
            | (Target::Repository(..), Target::Virtual(_)) => Err(Errno::EXDEV),
        }
    }

    /// Removes a name of either kind.
    pub(super) fn on_remove(
        &self,
        parent: INodeNo,
        name: &OsStr,
        remove: fn(&Overlay, Ino, &Name) -> Result<(), Error>,
        reply: ReplyEmpty,
    ) {
        let Some((name, reply)) = reply.given(checked(name)) else {
            return;
        };
        if let Some(((place, parent), reply)) = reply.given(self.writable(parent)) {
            self.run(
                place,
                reply,
                move |overlay, _| remove(overlay, parent, &name),
                |_, (), reply| reply.ok(),
            );
        }
    }

    pub(super) fn on_rename(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let words = || -> Result<_, Errno> {
            let mode = rename_mode(flags)?;
            let places = self.in_one_repository(from.0, to.0)?;
            Ok((mode, places, checked(from.1)?, checked(to.1)?))
        };
        let Some((words, reply)) = reply.given(words()) else {
            return;
        };
        let (mode, (place, parent, new_parent), name, new_name) = words;
        self.run(
            place,
            reply,
            move |overlay, _| overlay.rename(parent, &name, new_parent, &new_name, mode),
            |_, (), reply| reply.ok(),
        );
    }
}

/// The kind of rename. Whiteouts are for overlayfs above us, which this file system does not serve.
fn rename_mode(flags: RenameFlags) -> Result<Rename, Errno> {
    if flags.is_empty() {
        Ok(Rename::Replace)
    } else if flags == RenameFlags::RENAME_NOREPLACE {
        Ok(Rename::NoReplace)
    } else if flags == RenameFlags::RENAME_EXCHANGE {
        Ok(Rename::Exchange)
    } else {
        Err(Errno::EINVAL)
    }
}

fn owner(request: Request) -> Owner {
    Owner {
        uid: request.uid,
        gid: request.gid,
    }
}
