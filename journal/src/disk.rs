//! What the journal needs of a disk: one folder of files. Nothing else of the crate touches one.
//!
//! [`FolderDisk`] is a real folder. With the feature `sim`, `sim::SimDisk` is one in memory that
//! loses power, fails and fills up on demand. What either may do to bytes that are not synced is said
//! in `FORMAT.md`, "What the disk is taken to do".

use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

mod folder;
#[cfg(feature = "sim")]
pub mod sim;

pub use folder::FolderDisk;

/// One folder, which its holder alone changes for as long as it has it.
///
/// Names are those of entries of this folder: no separators. What is created, renamed, moved or
/// removed survives the death of the process at once, and a power cut only after [`Disk::sync`].
pub trait Disk: Send + Sync {
    /// Where the folder is; for messages.
    fn path(&self) -> &FilePath;

    /// The names of all entries, files and folders alike. Names that are no UTF-8 may be left out.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; or a failed call.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates a file, empty; a file of that name is emptied.
    ///
    /// # Errors
    ///
    /// A failed call.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in whose place it is atomically.
    ///
    /// # Errors
    ///
    /// A failed call, after which the file has its old name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Moves a file into a folder of this one, which is made if need be, and replaces nothing there.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if a file of that name is there; or a failed call, after which the file is
    /// where it was.
    fn set_aside(&self, name: &str, folder: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is none; or a failed call.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes everything that was done to names durable, in the folders of [`Disk::set_aside`] too.
    ///
    /// # Errors
    ///
    /// A failed call, after which any part of it may be durable.
    fn sync(&self) -> io::Result<()>;

    /// Random bytes: the identity of a journal that is made here.
    ///
    /// # Errors
    ///
    /// There is no source of them.
    fn random(&self) -> io::Result<[u8; 16]>;
}

/// An open file. What is written survives the death of the process at once, and a power cut only
/// after one of the syncs.
pub trait DiskFile: Send + Sync {
    /// Bytes of the file.
    ///
    /// # Errors
    ///
    /// A failed call.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` at the file's end; or a failed call.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`; the file grows if need be.
    ///
    /// # Errors
    ///
    /// A failed call, after which any part of them may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file off, or lets it grow by zeroes.
    ///
    /// # Errors
    ///
    /// A failed call.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes the bytes durable, and as much of the file's size as reading them takes.
    ///
    /// # Errors
    ///
    /// A failed call, after which nothing is known of any byte that was not durable before, now or
    /// after another sync.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes the file durable with all that is known of it.
    ///
    /// # Errors
    ///
    /// As [`DiskFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;
}
