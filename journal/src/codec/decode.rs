//! Bytes to a record. Fields are taken in the order in which they are listed, which is the order of
//! the bytes and not that of the type's declaration.

use super::fields::Reader;
use super::parts::Take;
use super::{Field, Malformed, kind};
use crate::record::Record;

/// Decodes the payload of a record of this kind number.
///
/// # Errors
///
/// [`Malformed`] for anything that [`super::encode()`] could not have written.
pub fn decode(kind: u16, payload: &[u8]) -> Result<Record, Malformed> {
    let mut reader = Reader::new(payload);
    let record = match kind {
        kind::ADOPT..=kind::RENAME => name(kind, &mut reader)?,
        kind::WRITE..=kind::INODES_TAKEN => inode(kind, &mut reader)?,
        kind::PIN..=kind::PENDING_LATER => replay(kind, &mut reader)?,
        kind::HELD..=kind::PUBLISHED => person(kind, &mut reader)?,
        _ => body(kind, &mut reader)?,
    };
    reader.finish()?;
    Ok(record)
}

/// Records that make, move or remove names.
fn name(kind: u16, reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    Ok(match kind {
        kind::ADOPT => Record::Adopt {
            inode: take(reader)?,
            node: take(reader)?,
            origin: take(reader)?,
            path: take(reader)?,
        },
        kind::CREATE => Record::Create {
            inode: take(reader)?,
            node: take(reader)?,
            path: take(reader)?,
        },
        kind::LINK => Record::Link {
            inode: take(reader)?,
            time: take(reader)?,
            from: take(reader)?,
            to: take(reader)?,
        },
        kind::REMOVE => Record::Remove {
            kind: take(reader)?,
            time: take(reader)?,
            path: take(reader)?,
        },
        kind::RENAME => Record::Rename {
            kind: take(reader)?,
            mode: take(reader)?,
            time: take(reader)?,
            from: take(reader)?,
            to: take(reader)?,
        },
        unknown => return Err(Malformed::Kind(unknown)),
    })
}

/// Records that change a node in place.
fn inode(kind: u16, reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    Ok(match kind {
        kind::WRITE => Record::Write {
            inode: take(reader)?,
            time: take(reader)?,
            path: take(reader)?,
        },
        kind::SET_ATTRIBUTES => Record::SetAttributes {
            inode: take(reader)?,
            change: take(reader)?,
            path: take(reader)?,
        },
        kind::SET_XATTR => Record::SetXattr {
            name: reader.bytes(Field::XattrName)?,
            value: reader.bytes(Field::XattrValue)?,
            path: take(reader)?,
        },
        kind::REMOVE_XATTR => Record::RemoveXattr {
            name: reader.bytes(Field::XattrName)?,
            path: take(reader)?,
        },
        kind::INODES_TAKEN => Record::InodesTaken {
            next: take(reader)?,
        },
        unknown => return Err(Malformed::Kind(unknown)),
    })
}

/// Records of the way to the remote.
fn replay(kind: u16, reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    Ok(match kind {
        kind::PIN => Record::Pin {
            change: take(reader)?,
            commit: take(reader)?,
            tree: take(reader)?,
            time: take(reader)?,
            bookmark: take(reader)?,
        },
        kind::FORK_INTENDED => Record::ForkIntended {
            transaction: take(reader)?,
            continues: take(reader)?,
        },
        kind::FORKED => Record::Forked {
            change: take(reader)?,
            commit: take(reader)?,
        },
        kind::PUSH_INTENDED => Record::PushIntended {
            through: take(reader)?,
            batch: take(reader)?,
        },
        kind::PUSHED => Record::Pushed {
            through: take(reader)?,
            commit: take(reader)?,
        },
        kind::PENDING => Record::Pending {
            since: take(reader)?,
            effect: take(reader)?,
        },
        kind::PENDING_LATER => Record::PendingLater {
            since: take(reader)?,
            effect: take(reader)?,
        },
        unknown => return Err(Malformed::Kind(unknown)),
    })
}

/// Records of decisions: what people said, what was published, what contradicts.
fn person(kind: u16, reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    Ok(match kind {
        kind::HELD => Record::Held {
            time: take(reader)?,
        },
        kind::RELEASED => Record::Released {
            time: take(reader)?,
        },
        kind::DROPPED => Record::Dropped {
            time: take(reader)?,
            path: take(reader)?,
        },
        kind::CONFLICT_FOUND => Record::ConflictFound {
            conflict: take(reader)?,
            kind: take(reader)?,
            time: take(reader)?,
            change: take(reader)?,
            base: take(reader)?,
            theirs: take(reader)?,
            sibling: take(reader)?,
            bookmark: take(reader)?,
        },
        kind::CONFLICT_PATH => Record::ConflictPath {
            conflict: take(reader)?,
            path: take(reader)?,
        },
        kind::CONFLICT_RESOLVED => Record::ConflictResolved {
            conflict: take(reader)?,
            time: take(reader)?,
        },
        kind::PUBLISH_INTENDED => Record::PublishIntended {
            publish: take(reader)?,
            change: take(reader)?,
            commit: take(reader)?,
            bookmark: take(reader)?,
        },
        kind::PUBLISHED => Record::Published {
            change: take(reader)?,
            bookmark: take(reader)?,
        },
        unknown => return Err(Malformed::Kind(unknown)),
    })
}

/// Records of bodies: what of them a power cut may take, and what it may not.
fn body(kind: u16, reader: &mut Reader<'_>) -> Result<Record, Malformed> {
    Ok(match kind {
        kind::COPY_UP => Record::CopyUp {
            inode: take(reader)?,
        },
        kind::BODIES_DURABLE => Record::BodiesDurable {
            through: take(reader)?,
        },
        kind::COPY_UP_UNDONE => Record::CopyUpUndone {
            inode: take(reader)?,
        },
        kind::BYTES => Record::Bytes {
            inode: take(reader)?,
            kept: take(reader)?,
            size: take(reader)?,
            offset: take(reader)?,
            time: take(reader)?,
            data: reader.bytes(Field::Data)?,
        },
        unknown => return Err(Malformed::Kind(unknown)),
    })
}

fn take<T: Take>(reader: &mut Reader<'_>) -> Result<T, Malformed> {
    T::take(reader)
}
