//! The parts that several records share: times, nodes, origins, attribute changes, effects.

use super::fields::{Reader, Writer};
use super::{Field, Malformed, Unrepresentable};
use crate::record::{
    AttributeChange, ConflictKind, Effect, Node, NodeKind, Origin, Path, RenameMode, Sequence, Time,
};

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;
const PERMISSIONS_MAX: u16 = 0o7777;

/// What can be written.
pub(super) trait Put {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable>;
}

/// What can be read; reads exactly what `put` of an equal value wrote.
pub(super) trait Take: Sized {
    fn take(reader: &mut Reader<'_>) -> Result<Self, Malformed>;
}

/// Bytes with the bound of their field.
pub(super) struct Bounded<'a>(pub(super) Field, pub(super) &'a [u8]);

impl Put for Bounded<'_> {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.bytes(self.0, self.1)
    }
}

impl Put for u64 {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.u64(*self);
        Ok(())
    }
}

impl Take for u64 {
    fn take(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
        reader.u64()
    }
}

impl<const N: usize> Put for [u8; N] {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.array(self);
        Ok(())
    }
}

impl<const N: usize> Take for [u8; N] {
    fn take(reader: &mut Reader<'_>) -> Result<[u8; N], Malformed> {
        reader.array()
    }
}

/// A bookmark's name.
impl Put for String {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.bytes(Field::Bookmark, self.as_bytes())
    }
}

impl Take for String {
    fn take(reader: &mut Reader<'_>) -> Result<String, Malformed> {
        String::from_utf8(reader.bytes(Field::Bookmark)?).map_err(|_| Malformed::Bookmark)
    }
}

/// A flag, then the value if there is one.
impl<T: Put> Put for Option<T> {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        match self {
            None => writer.u8(0),
            Some(value) => {
                writer.u8(1);
                value.put(writer)?;
            }
        }
        Ok(())
    }
}

impl<T: Take> Take for Option<T> {
    fn take(reader: &mut Reader<'_>) -> Result<Option<T>, Malformed> {
        match reader.u8()? {
            0 => Ok(None),
            1 => T::take(reader).map(Some),
            flag => Err(Malformed::Flag(flag)),
        }
    }
}

impl Put for ConflictKind {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.u8(match self {
            ConflictKind::Foreign => 1,
            ConflictKind::Publish => 2,
        });
        Ok(())
    }
}

impl Take for ConflictKind {
    fn take(reader: &mut Reader<'_>) -> Result<ConflictKind, Malformed> {
        match reader.u8()? {
            1 => Ok(ConflictKind::Foreign),
            2 => Ok(ConflictKind::Publish),
            unknown => Err(Malformed::ConflictKind(unknown)),
        }
    }
}

impl Put for Path {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.bytes(Field::Path, &self.0)
    }
}

impl Take for Path {
    fn take(reader: &mut Reader<'_>) -> Result<Path, Malformed> {
        reader.bytes(Field::Path).map(Path)
    }
}

impl Put for Sequence {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.u64(self.0);
        Ok(())
    }
}

impl Take for Sequence {
    fn take(reader: &mut Reader<'_>) -> Result<Sequence, Malformed> {
        reader.u64().map(Sequence)
    }
}

impl Put for Time {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        if self.nanoseconds >= NANOSECONDS_PER_SECOND {
            return Err(Unrepresentable::Nanoseconds(self.nanoseconds));
        }
        writer.i64(self.seconds);
        writer.u32(self.nanoseconds);
        Ok(())
    }
}

impl Take for Time {
    fn take(reader: &mut Reader<'_>) -> Result<Time, Malformed> {
        let seconds = reader.i64()?;
        let nanoseconds = reader.u32()?;
        if nanoseconds >= NANOSECONDS_PER_SECOND {
            return Err(Malformed::Nanoseconds(nanoseconds));
        }
        Ok(Time {
            seconds,
            nanoseconds,
        })
    }
}

impl Put for NodeKind {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.u8(match self {
            NodeKind::File => 1,
            NodeKind::Directory => 2,
            NodeKind::Symlink => 3,
            NodeKind::Fifo => 4,
            NodeKind::Socket => 5,
            NodeKind::CharDevice => 6,
            NodeKind::BlockDevice => 7,
        });
        Ok(())
    }
}

impl Take for NodeKind {
    fn take(reader: &mut Reader<'_>) -> Result<NodeKind, Malformed> {
        match reader.u8()? {
            1 => Ok(NodeKind::File),
            2 => Ok(NodeKind::Directory),
            3 => Ok(NodeKind::Symlink),
            4 => Ok(NodeKind::Fifo),
            5 => Ok(NodeKind::Socket),
            6 => Ok(NodeKind::CharDevice),
            7 => Ok(NodeKind::BlockDevice),
            unknown => Err(Malformed::NodeKind(unknown)),
        }
    }
}

fn put_permissions(permissions: u16, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
    if permissions > PERMISSIONS_MAX {
        return Err(Unrepresentable::Permissions(permissions));
    }
    writer.u16(permissions);
    Ok(())
}

fn take_permissions(reader: &mut Reader<'_>) -> Result<u16, Malformed> {
    match reader.u16()? {
        permissions if permissions > PERMISSIONS_MAX => Err(Malformed::Permissions(permissions)),
        permissions => Ok(permissions),
    }
}

impl Put for Node {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        self.kind.put(writer)?;
        put_permissions(self.permissions, writer)?;
        writer.u32(self.uid);
        writer.u32(self.gid);
        writer.u32(self.rdev);
        self.atime.put(writer)?;
        self.mtime.put(writer)?;
        self.ctime.put(writer)?;
        writer.bytes(Field::Target, &self.target)
    }
}

impl Take for Node {
    fn take(reader: &mut Reader<'_>) -> Result<Node, Malformed> {
        Ok(Node {
            kind: NodeKind::take(reader)?,
            permissions: take_permissions(reader)?,
            uid: reader.u32()?,
            gid: reader.u32()?,
            rdev: reader.u32()?,
            atime: Time::take(reader)?,
            mtime: Time::take(reader)?,
            ctime: Time::take(reader)?,
            target: reader.bytes(Field::Target)?,
        })
    }
}

impl Put for Origin {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        writer.array(&self.oid);
        writer.u64(self.size);
        self.path.put(writer)
    }
}

impl Take for Origin {
    fn take(reader: &mut Reader<'_>) -> Result<Origin, Malformed> {
        Ok(Origin {
            oid: reader.array()?,
            size: reader.u64()?,
            path: Path::take(reader)?,
        })
    }
}

/// Bits of the first byte of an attribute change, one for each attribute that is set.
mod attribute {
    pub(super) const PERMISSIONS: u8 = 1;
    pub(super) const UID: u8 = 2;
    pub(super) const GID: u8 = 4;
    pub(super) const ATIME: u8 = 8;
    pub(super) const MTIME: u8 = 16;
    pub(super) const CTIME: u8 = 32;
    pub(super) const ALL: u8 = 63;
}

impl Put for AttributeChange {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        writer.u8(bit(self.permissions.is_some(), attribute::PERMISSIONS)
            | bit(self.uid.is_some(), attribute::UID)
            | bit(self.gid.is_some(), attribute::GID)
            | bit(self.atime.is_some(), attribute::ATIME)
            | bit(self.mtime.is_some(), attribute::MTIME)
            | bit(self.ctime.is_some(), attribute::CTIME));
        if let Some(permissions) = self.permissions {
            put_permissions(permissions, writer)?;
        }
        for id in [self.uid, self.gid].into_iter().flatten() {
            writer.u32(id);
        }
        for time in [self.atime, self.mtime, self.ctime].into_iter().flatten() {
            time.put(writer)?;
        }
        Ok(())
    }
}

impl Take for AttributeChange {
    fn take(reader: &mut Reader<'_>) -> Result<AttributeChange, Malformed> {
        let bits = reader.u8()?;
        if bits & !attribute::ALL != 0 {
            return Err(Malformed::Attributes(bits));
        }
        let has = |bit: u8| bits & bit != 0;
        let mut change = AttributeChange::default();
        if has(attribute::PERMISSIONS) {
            change.permissions = Some(take_permissions(reader)?);
        }
        if has(attribute::UID) {
            change.uid = Some(reader.u32()?);
        }
        if has(attribute::GID) {
            change.gid = Some(reader.u32()?);
        }
        if has(attribute::ATIME) {
            change.atime = Some(Time::take(reader)?);
        }
        if has(attribute::MTIME) {
            change.mtime = Some(Time::take(reader)?);
        }
        if has(attribute::CTIME) {
            change.ctime = Some(Time::take(reader)?);
        }
        Ok(change)
    }
}

impl Put for RenameMode {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        match self {
            RenameMode::Replace { replaced: None } => writer.u8(1),
            RenameMode::Replace {
                replaced: Some(kind),
            } => {
                writer.u8(2);
                kind.put(writer)?;
            }
            RenameMode::Exchange { other } => {
                writer.u8(3);
                other.put(writer)?;
            }
        }
        Ok(())
    }
}

impl Take for RenameMode {
    fn take(reader: &mut Reader<'_>) -> Result<RenameMode, Malformed> {
        match reader.u8()? {
            1 => Ok(RenameMode::Replace { replaced: None }),
            2 => Ok(RenameMode::Replace {
                replaced: Some(NodeKind::take(reader)?),
            }),
            3 => Ok(RenameMode::Exchange {
                other: NodeKind::take(reader)?,
            }),
            unknown => Err(Malformed::RenameMode(unknown)),
        }
    }
}

impl Put for Effect {
    fn put(&self, writer: &mut Writer<'_>) -> Result<(), Unrepresentable> {
        match self {
            Effect::Remove { path } => {
                writer.u8(1);
                path.put(writer)
            }
            Effect::Copy { from, to } => {
                writer.u8(2);
                from.put(writer)?;
                to.put(writer)
            }
            Effect::Put { path, inode } => {
                writer.u8(3);
                writer.u64(*inode);
                path.put(writer)
            }
        }
    }
}

impl Take for Effect {
    fn take(reader: &mut Reader<'_>) -> Result<Effect, Malformed> {
        match reader.u8()? {
            1 => Ok(Effect::Remove {
                path: Path::take(reader)?,
            }),
            2 => Ok(Effect::Copy {
                from: Path::take(reader)?,
                to: Path::take(reader)?,
            }),
            3 => Ok(Effect::Put {
                inode: reader.u64()?,
                path: Path::take(reader)?,
            }),
            unknown => Err(Malformed::Effect(unknown)),
        }
    }
}
