//! Extended attributes: `user.*`, `trusted.*` and `security.capability`.
//!
//! Who may read or set which is the kernel's to decide, and it has by the time that a request comes
//! here: `user.*` of files and directories alone, `trusted.*` and capabilities by who may. What it
//! leaves to us is to list no `trusted.*` to others than root, and to drop a capability when the file
//! changes, which the overlay does. EOPNOTSUPP for all other names is what programs expect of a file
//! system without them; `system.posix_acl_access`, for one, would have to be enforced.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Errno, INodeNo};

use super::adapter::{Adapter, Refuse, Target};
use super::reply::{ReplyEmpty, ReplyXattr};
use super::request::Request;
use crate::overlay::XattrMode;

/// Prefixes of what is stored as it comes.
const FREE: [&[u8]; 2] = [b"user.", TRUSTED];
const TRUSTED: &[u8] = b"trusted.";
const CAPABILITY: &[u8] = b"security.capability";

fn supported(name: &OsStr) -> Result<Vec<u8>, Errno> {
    let name = name.as_bytes();
    match FREE.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
        Some(b"") => Err(Errno::EINVAL),
        Some(_) => Ok(name.to_vec()),
        None if name == CAPABILITY => Ok(name.to_vec()),
        None => Err(Errno::EOPNOTSUPP),
    }
}

/// Answers with the value's size if that is the question, else with the value if there is room.
fn reply_value(reply: ReplyXattr, room: u32, value: &[u8]) {
    match u32::try_from(value.len()) {
        Ok(length) if room == 0 => reply.size(length),
        Ok(length) if length <= room => reply.data(value),
        Ok(_) => reply.error(Errno::ERANGE),
        // The VFS takes no value, and no list, over 64 KiB.
        Err(_) => reply.error(Errno::E2BIG),
    }
}

impl Adapter {
    pub(super) fn on_getxattr(&self, node: INodeNo, name: &OsStr, room: u32, reply: ReplyXattr) {
        let Some((name, reply)) = reply.given(supported(name)) else {
            return;
        };
        let Some((target, reply)) = reply.given(self.target(node)) else {
            return;
        };
        match target {
            Target::Repository(place, ino) => self.run(
                place,
                reply,
                move |overlay, _| overlay.xattr(ino, &name),
                move |_, value, reply| reply_value(reply, room, &value),
            ),
            Target::Virtual(_) => reply.error(Errno::ENODATA),
        }
    }

    pub(super) fn on_listxattr(
        &self,
        request: Request,
        node: INodeNo,
        room: u32,
        reply: ReplyXattr,
    ) {
        let Some((target, reply)) = reply.given(self.target(node)) else {
            return;
        };
        // It takes CAP_SYS_ADMIN, which the request does not tell of.
        let shows_trusted = request.uid == 0;
        match target {
            Target::Repository(place, ino) => self.run(
                place,
                reply,
                move |overlay, _| {
                    let names = overlay.xattr_names(ino)?;
                    Ok(names
                        .iter()
                        .filter(|name| shows_trusted || !name.starts_with(TRUSTED))
                        .flat_map(|name| [name, &b"\0"[..]].concat())
                        .collect())
                },
                move |_, list: Vec<u8>, reply| reply_value(reply, room, &list),
            ),
            Target::Virtual(_) => reply_value(reply, room, b""),
        }
    }

    pub(super) fn on_setxattr(
        &self,
        node: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        reply: ReplyEmpty,
    ) {
        let words = || {
            let name = supported(name)?;
            let mode = match flags {
                0 => XattrMode::Any,
                libc::XATTR_CREATE => XattrMode::Create,
                libc::XATTR_REPLACE => XattrMode::Replace,
                _ => return Err(Errno::EINVAL),
            };
            Ok((name, mode, self.writable(node)?))
        };
        let Some(((name, mode, (place, ino)), reply)) = reply.given(words()) else {
            return;
        };
        let value = value.to_vec();
        self.run(
            place,
            reply,
            move |overlay, _| overlay.set_xattr(ino, &name, &value, mode),
            |_, (), reply| reply.ok(),
        );
    }

    pub(super) fn on_removexattr(&self, node: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let words = || Ok((supported(name)?, self.writable(node)?));
        if let Some(((name, (place, ino)), reply)) = reply.given(words()) {
            self.run(
                place,
                reply,
                move |overlay, _| overlay.remove_xattr(ino, &name),
                |_, (), reply| reply.ok(),
            );
        }
    }
}
