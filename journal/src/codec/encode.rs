//! A record to bytes.

use super::fields::Writer;
use super::parts::{Bounded, Put};
use super::{Field, Unrepresentable, kind};
use crate::record::Record;

/// Appends the payload of `record` to `bytes` and returns its kind number.
///
/// # Errors
///
/// [`Unrepresentable`] if a field exceeds its bound; `bytes` may then have a partial payload.
pub fn encode(record: &Record, bytes: &mut Vec<u8>) -> Result<u16, Unrepresentable> {
    let writer = &mut Writer::new(bytes);
    match record {
        Record::Adopt {
            path,
            inode,
            node,
            origin,
        } => write(writer, kind::ADOPT, &[inode, node, origin, path]),
        Record::Create { path, inode, node } => write(writer, kind::CREATE, &[inode, node, path]),
        Record::Link {
            from,
            to,
            inode,
            time,
        } => write(writer, kind::LINK, &[inode, time, from, to]),
        Record::Remove {
            path,
            kind: node,
            time,
        } => write(writer, kind::REMOVE, &[node, time, path]),
        Record::Rename {
            from,
            to,
            kind: node,
            mode,
            time,
        } => write(writer, kind::RENAME, &[node, mode, time, from, to]),
        Record::Write { path, inode, time } => write(writer, kind::WRITE, &[inode, time, path]),
        Record::SetAttributes {
            path,
            inode,
            change,
        } => write(writer, kind::SET_ATTRIBUTES, &[inode, change, path]),
        Record::SetXattr { path, name, value } => {
            let (name, value) = (
                Bounded(Field::XattrName, name),
                Bounded(Field::XattrValue, value),
            );
            write(writer, kind::SET_XATTR, &[&name, &value, path])
        }
        Record::RemoveXattr { path, name } => write(
            writer,
            kind::REMOVE_XATTR,
            &[&Bounded(Field::XattrName, name), path],
        ),
        Record::InodesTaken { next } => write(writer, kind::INODES_TAKEN, &[next]),
        Record::Pin {
            bookmark,
            change,
            commit,
            tree,
            time,
        } => write(writer, kind::PIN, &[change, commit, tree, time, bookmark]),
        Record::ForkIntended {
            transaction,
            continues,
        } => write(writer, kind::FORK_INTENDED, &[transaction, continues]),
        Record::Forked { change, commit } => write(writer, kind::FORKED, &[change, commit]),
        Record::PushIntended { through, batch } => {
            write(writer, kind::PUSH_INTENDED, &[through, batch])
        }
        Record::Pushed { through, commit } => write(writer, kind::PUSHED, &[through, commit]),
        Record::Pending { since, effect } => write(writer, kind::PENDING, &[since, effect]),
        Record::PendingLater { since, effect } => {
            write(writer, kind::PENDING_LATER, &[since, effect])
        }
        Record::Held { time } => write(writer, kind::HELD, &[time]),
        Record::Released { time } => write(writer, kind::RELEASED, &[time]),
        Record::Dropped { path, time } => write(writer, kind::DROPPED, &[time, path]),
        Record::ConflictFound {
            conflict,
            kind: cause,
            change,
            base,
            theirs,
            bookmark,
            sibling,
            time,
        } => write(
            writer,
            kind::CONFLICT_FOUND,
            &[
                conflict, cause, time, change, base, theirs, sibling, bookmark,
            ],
        ),
        Record::ConflictPath { conflict, path } => {
            write(writer, kind::CONFLICT_PATH, &[conflict, path])
        }
        Record::ConflictResolved { conflict, time } => {
            write(writer, kind::CONFLICT_RESOLVED, &[conflict, time])
        }
        Record::PublishIntended {
            publish,
            change,
            commit,
            bookmark,
        } => write(
            writer,
            kind::PUBLISH_INTENDED,
            &[publish, change, commit, bookmark],
        ),
        Record::Published { change, bookmark } => {
            write(writer, kind::PUBLISHED, &[change, bookmark])
        }
        Record::CopyUp { inode } => write(writer, kind::COPY_UP, &[inode]),
        Record::BodiesDurable { through } => write(writer, kind::BODIES_DURABLE, &[through]),
        Record::CopyUpUndone { inode } => write(writer, kind::COPY_UP_UNDONE, &[inode]),
        Record::Bytes {
            inode,
            kept,
            size,
            offset,
            time,
            data,
        } => {
            let data = Bounded(Field::Data, data);
            write(
                writer,
                kind::BYTES,
                &[inode, kept, size, offset, time, &data],
            )
        }
    }
}

fn write(writer: &mut Writer<'_>, kind: u16, parts: &[&dyn Put]) -> Result<u16, Unrepresentable> {
    for part in parts {
        part.put(writer)?;
    }
    Ok(kind)
}
