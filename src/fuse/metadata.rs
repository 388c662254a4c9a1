//! Attributes: getattr, setattr, readlink, statfs.

use std::time::SystemTime;

use fuser::{INodeNo, TimeOrNow};

use super::adapter::{self, Adapter, Refuse, Target};
use super::attributes;
use super::inode::NodeId;
use super::reply::{ReplyAttr, ReplyData, ReplyStatfs};
use super::request::Request;
use crate::overlay::{AttributeChange, Error, Overlay};
use crate::tree::{Attributes, Ino, Permissions, Timestamp};

/// A time that is to be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SetTime {
    Now,
    To(Timestamp),
}

impl SetTime {
    fn at(self, now: SystemTime) -> Timestamp {
        match self {
            SetTime::Now => now.into(),
            SetTime::To(time) => time,
        }
    }
}

impl From<TimeOrNow> for SetTime {
    fn from(time: TimeOrNow) -> SetTime {
        let TimeOrNow::SpecificTime(time) = time else {
            return SetTime::Now;
        };
        SetTime::To(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(_) => time.into(),
            // fuser 0.18 makes "-2 s, 0.8 s past it" a time 2.8 s before 1970 instead of 1.2 s. It
            // does so for every time before 1970, so the two parts can be read off again.
            Err(before) => Timestamp {
                seconds: before.duration().as_secs().cast_signed().wrapping_neg(),
                nanoseconds: before.duration().subsec_nanos(),
            },
        })
    }
}

/// What a setattr asks for, as it came.
pub(super) struct Wish {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) atime: Option<SetTime>,
    pub(super) mtime: Option<SetTime>,
}

/// Whether a file keeps its set-user-id and set-group-id bits when a caller changes its content.
///
/// The caller needs `CAP_FSETID` for that, and the kernel does say so in the request, but fuser 0.18
/// drops the flag of open and setattr (not that of write), so that root stands for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Caller {
    Privileged,
    /// Of this group; of what other groups, the request does not say.
    Ordinary(u32),
}

impl Caller {
    pub(super) fn of(request: Request) -> Caller {
        match request.uid {
            0 => Caller::Privileged,
            _ => Caller::Ordinary(request.gid),
        }
    }

    /// Takes a file's privileges before its content changes.
    pub(super) fn strip(self, overlay: &Overlay, ino: Ino) -> Result<(), Error> {
        match self {
            Caller::Privileged => Ok(()),
            Caller::Ordinary(group) => overlay.clear_privileges(ino, Some(group)),
        }
    }

    fn group(self) -> Option<u32> {
        match self {
            Caller::Privileged => None,
            Caller::Ordinary(group) => Some(group),
        }
    }
}

/// Sets attributes. A change of size by an unprivileged caller takes a file's privileges, which
/// `FUSE_HANDLE_KILLPRIV_V2` leaves to us. (A change of owner does so in the overlay.)
fn change(
    overlay: &Overlay,
    ino: Ino,
    change: &AttributeChange,
    caller: Caller,
) -> Result<Attributes, Error> {
    if change.size.is_some() {
        caller.strip(overlay, ino)?;
    } else if *change == AttributeChange::default() {
        // What the kernel asks for when all that it wants is the privileges taken, as it does before
        // some writes, and for a change of owner that leaves both as they are.
        overlay.clear_privileges(ino, caller.group())?;
    }
    overlay.set_attributes(ino, change)
}

impl Adapter {
    /// Takes back lookup references. The root of a repository has none: it stays.
    pub(super) fn on_forget(&self, node: INodeNo, lookups: u64) {
        match self.target(node) {
            Ok(Target::Repository(place, ino)) if ino != Ino::ROOT => {
                place.overlay.forget(ino, lookups);
            }
            // The others of these are few, and stay.
            Ok(Target::Virtual(ino)) => self.root.reports.forget(ino, lookups),
            Ok(Target::Repository(..)) => {}
            Err(_) => tracing::debug!(node = node.0, "forgot an inode of a closed repository"),
        }
    }

    pub(super) fn on_getattr(&self, node: INodeNo, reply: ReplyAttr) {
        let Some((target, reply)) = reply.given(self.target(node)) else {
            return;
        };
        match target {
            Target::Repository(place, ino) => self.run(
                place,
                reply,
                move |overlay, _| overlay.attributes(ino),
                adapter::reply_attr,
            ),
            Target::Virtual(ino) => {
                if let Some((report, ino)) = self.report(node) {
                    return self.getattr_report(report, ino, reply);
                }
                let attr = self.root.node(ino);
                let attr = attr.and_then(|_| self.root.attributes(NodeId::Virtual(ino)));
                if let Some((attr, reply)) = reply.given(attr) {
                    reply.attr(&attributes::TTL_VIRTUAL, &attr);
                }
            }
        }
    }

    pub(super) fn on_setattr(
        &self,
        request: Request,
        node: INodeNo,
        wish: &Wish,
        reply: ReplyAttr,
    ) {
        let Some(((place, ino), reply)) = reply.given(self.writable(node)) else {
            return;
        };
        // One present for both times of a `touch`.
        let now = SystemTime::now();
        let time = |time: Option<SetTime>| time.map(|time| time.at(now));
        let wanted = AttributeChange {
            permissions: wish.mode.map(Permissions::of_mode),
            uid: wish.uid,
            gid: wish.gid,
            size: wish.size,
            atime: time(wish.atime),
            mtime: time(wish.mtime),
        };
        let caller = Caller::of(request);
        let change =
            move |overlay: &Overlay, _: &mut ReplyAttr| change(overlay, ino, &wanted, caller);
        match wish.size {
            Some(_) => self.run_resizing(node, place, reply, change, adapter::reply_attr),
            None => self.run(place, reply, change, adapter::reply_attr),
        }
    }

    pub(super) fn on_readlink(&self, node: INodeNo, reply: ReplyData) {
        let Some((target, reply)) = reply.given(self.target(node)) else {
            return;
        };
        match target {
            Target::Repository(place, ino) => self.run(
                place,
                reply,
                move |overlay, _| overlay.read_link(ino),
                |_, target, reply| reply.data(target),
            ),
            Target::Virtual(_) => reply.error(fuser::Errno::EINVAL),
        }
    }

    pub(super) fn on_statfs(&self, node: INodeNo, reply: ReplyStatfs) {
        let Some((target, reply)) = reply.given(self.target(node)) else {
            return;
        };
        match target {
            Target::Repository(place, _) => self.run(
                place,
                reply,
                |overlay, _| overlay.space(),
                |_, space, reply| reply.space(&space),
            ),
            Target::Virtual(_) => match self.root.repositories.space() {
                Ok(space) => reply.space(&space),
                Err(_) => reply.error(fuser::Errno::EIO),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_before_1970_keeps_its_fraction() {
        let as_fuser_has_it = SystemTime::UNIX_EPOCH - Duration::new(2, 800_000_000);
        let meant = Timestamp {
            seconds: -2,
            nanoseconds: 800_000_000,
        };
        let time = SetTime::from(TimeOrNow::SpecificTime(as_fuser_has_it));
        assert_eq!(time, SetTime::To(meant));
    }
}
