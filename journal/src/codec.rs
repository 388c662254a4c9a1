//! A record as bytes, and back.
//!
//! Fixed widths, little endian, every length bounded; `FORMAT.md` has the layouts. Decoding is
//! total: any bytes give a record or a [`Malformed`], and bytes that give a record are exactly the
//! ones that encoding it gives, so nothing is believed that was not written.

mod decode;
mod encode;
mod fields;
mod parts;

pub use decode::decode;
pub use encode::encode;

/// Most bytes of a payload: a rename with its two paths is the largest, and it fits twice.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// A field of variable length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// A path in the tree.
    Path,
    /// The target of a symbolic link.
    Target,
    /// The name of an extended attribute.
    XattrName,
    /// The value of an extended attribute.
    XattrValue,
    /// A bookmark's name.
    Bookmark,
    /// Bytes of a file.
    Data,
}

impl Field {
    /// The longest that the format takes, in bytes.
    pub const fn bytes_max(self) -> usize {
        match self {
            // Sixteen times PATH_MAX: relative calls can go below what one absolute path can name.
            Field::Path => 65_535,
            // PATH_MAX bounds it in the kernel, with its final zero byte.
            Field::Target => 4_096,
            // XATTR_NAME_MAX and XATTR_SIZE_MAX of the kernel.
            Field::XattrName => 255,
            Field::XattrValue => 65_536,
            // A Git reference name is a file name or a few.
            Field::Bookmark => 4_096,
            // Half of a payload: an fsync of more syncs the body.
            Field::Data => 131_072,
        }
    }
}

/// Why a record cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unrepresentable {
    /// A field is longer than the format takes.
    #[error("{field:?} of {length} bytes is longer than {}", field.bytes_max())]
    TooLong {
        /// Which.
        field: Field,
        /// Its bytes.
        length: usize,
    },
    /// A time's nanoseconds are a second or more.
    #[error("a time with {0} nanoseconds")]
    Nanoseconds(u32),
    /// Permissions with more than twelve bits.
    #[error("permissions {0:o}")]
    Permissions(u16),
}

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// A kind that this version does not know: a newer program wrote it.
    #[error("unknown record kind {0}")]
    Kind(u16),
    /// They end inside a field.
    #[error("the payload is cut off")]
    Short,
    /// Bytes are left after the last field.
    #[error("{0} bytes after the last field")]
    Trailing(usize),
    /// A length is out of bounds.
    #[error("{field:?} of {length} bytes")]
    TooLong {
        /// Of which field.
        field: Field,
        /// What it claims.
        length: usize,
    },
    /// An unknown kind of node.
    #[error("unknown node kind {0}")]
    NodeKind(u8),
    /// An unknown rename mode.
    #[error("unknown rename mode {0}")]
    RenameMode(u8),
    /// An unknown kind of conflict.
    #[error("unknown conflict kind {0}")]
    ConflictKind(u8),
    /// An unknown effect.
    #[error("unknown effect {0}")]
    Effect(u8),
    /// Unknown attribute bits.
    #[error("unknown attribute bits {0:#x}")]
    Attributes(u8),
    /// A flag that is neither 0 nor 1.
    #[error("flag {0}")]
    Flag(u8),
    /// A time's nanoseconds are a second or more.
    #[error("a time with {0} nanoseconds")]
    Nanoseconds(u32),
    /// Permissions with more than twelve bits.
    #[error("permissions {0:o}")]
    Permissions(u16),
    /// A bookmark's name is no UTF-8.
    #[error("a bookmark that is no UTF-8")]
    Bookmark,
}

/// The kind numbers, as in `FORMAT.md`; a number is never given a second meaning.
mod kind {
    pub(super) const ADOPT: u16 = 1;
    pub(super) const CREATE: u16 = 2;
    pub(super) const LINK: u16 = 3;
    pub(super) const REMOVE: u16 = 4;
    pub(super) const RENAME: u16 = 5;
    pub(super) const WRITE: u16 = 6;
    pub(super) const SET_ATTRIBUTES: u16 = 7;
    pub(super) const SET_XATTR: u16 = 8;
    pub(super) const REMOVE_XATTR: u16 = 9;
    pub(super) const INODES_TAKEN: u16 = 10;
    pub(super) const PIN: u16 = 11;
    pub(super) const FORK_INTENDED: u16 = 12;
    pub(super) const FORKED: u16 = 13;
    pub(super) const PUSH_INTENDED: u16 = 14;
    pub(super) const PUSHED: u16 = 15;
    pub(super) const PENDING: u16 = 16;
    pub(super) const PENDING_LATER: u16 = 17;
    pub(super) const HELD: u16 = 18;
    pub(super) const RELEASED: u16 = 19;
    pub(super) const DROPPED: u16 = 20;
    pub(super) const CONFLICT_FOUND: u16 = 21;
    pub(super) const CONFLICT_PATH: u16 = 22;
    pub(super) const CONFLICT_RESOLVED: u16 = 23;
    pub(super) const PUBLISH_INTENDED: u16 = 24;
    pub(super) const PUBLISHED: u16 = 25;
    pub(super) const COPY_UP: u16 = 26;
    pub(super) const BODIES_DURABLE: u16 = 27;
    pub(super) const COPY_UP_UNDONE: u16 = 28;
    pub(super) const BYTES: u16 = 29;
}
