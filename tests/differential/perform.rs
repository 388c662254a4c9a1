//! Making a call, and what came of it in words.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FallocateFlags, FcntlArg, OFlag, RenameFlags};
use nix::sys::stat::{FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::sys::uio::{pread, pwrite};
use nix::unistd;

use crate::call::Call;
use crate::support::syscall::Map;

/// The largest value of an extended attribute that is asked for.
const XATTR_BYTES_MAX: usize = 4_096;

/// A root, and what is open below it.
pub struct Place {
    root: PathBuf,
    open: BTreeMap<u64, OwnedFd>,
    /// Calls so far: what is written tells which call it was.
    calls: usize,
}

/// What came of a call, or its errno.
pub type Outcome = Result<String, Errno>;

fn told<T>(result: nix::Result<T>) -> Outcome {
    result.map(|_| String::new())
}

fn of_io<T>(result: std::io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap()))
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}

fn bytes(found: &[u8]) -> Outcome {
    let hash = blake3::hash(found).to_hex();
    Ok(format!("{} bytes {}", found.len(), &hash[..8]))
}

/// Names and kinds, in the order of the alphabet.
fn list(path: &Path) -> Outcome {
    let mut found = Vec::new();
    for entry in of_io(fs::read_dir(path))? {
        let entry = of_io(entry)?;
        let kind = of_io(entry.file_type())?;
        let letter = match (kind.is_dir(), kind.is_symlink(), kind.is_fifo()) {
            (true, ..) => 'd',
            (_, true, _) => 'l',
            (.., true) => 'p',
            _ => 'f',
        };
        found.push(format!("{letter}:{}", entry.file_name().display()));
    }
    found.sort();
    Ok(found.join(" "))
}

impl Place {
    /// Nothing is open yet.
    pub fn new(root: &Path) -> Place {
        Place {
            root: root.to_owned(),
            open: BTreeMap::new(),
            calls: 0,
        }
    }

    /// A path below the root.
    pub fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// An open file.
    pub fn slot(&self, slot: u64) -> Result<&OwnedFd, Errno> {
        self.open.get(&slot).ok_or(Errno::EBADF)
    }

    fn data(&self, size: usize) -> Vec<u8> {
        (0..size)
            .map(|index| u8::try_from((self.calls + index / 7) % 251).unwrap())
            .collect()
    }

    /// Makes a call.
    pub fn perform(&mut self, call: &Call) -> Outcome {
        self.calls += 1;
        match call {
            Call::Open(slot, path, flags, bits) => {
                // Nobody is to wait for the other end of a pipe.
                let flags = OFlag::from_bits_retain(flags | libc::O_NONBLOCK | libc::O_CLOEXEC);
                let file = nix::fcntl::open(&self.at(path), flags, mode(*bits))?;
                self.open.insert(*slot, file);
                Ok(String::new())
            }
            Call::Close(slot) => match self.open.remove(slot) {
                Some(_) => Ok(String::new()),
                None => Err(Errno::EBADF),
            },
            Call::Write(..)
            | Call::Pwrite(..)
            | Call::MapWrite(..)
            | Call::Ftruncate(..)
            | Call::Fallocate(..)
            | Call::CopyRange(..) => self.change(call),
            Call::Read(..)
            | Call::Pread(..)
            | Call::Seek(..)
            | Call::Fsync(_)
            | Call::Fdatasync(_)
            | Call::Fchmod(..) => self.use_open(call),
            Call::SetXattr(..)
            | Call::GetXattr(..)
            | Call::RemoveXattr(..)
            | Call::ListXattrs(_) => self.xattr(call),
            _ => self.names(call),
        }
    }

    /// What changes the bytes of an open file.
    fn change(&self, call: &Call) -> Outcome {
        let count = |result: nix::Result<usize>| result.map(|count| format!("{count} bytes"));
        match *call {
            Call::Write(slot, size) => count(unistd::write(self.slot(slot)?, &self.data(size))),
            Call::Pwrite(slot, offset, size) => count(pwrite(
                self.slot(slot)?,
                &self.data(size),
                as_offset(offset),
            )),
            Call::MapWrite(slot, offset, size) => self.map_write(slot, offset, size),
            Call::Ftruncate(slot, size) => {
                told(unistd::ftruncate(self.slot(slot)?, as_offset(size)))
            }
            Call::Fallocate(slot, flags, offset, size) => {
                let flags = FallocateFlags::from_bits_retain(flags);
                let (offset, size) = (as_offset(offset), as_offset(size));
                told(nix::fcntl::fallocate(self.slot(slot)?, flags, offset, size))
            }
            Call::CopyRange(from, to, from_offset, to_offset, size) => {
                let (from, to) = (self.slot(from)?, self.slot(to)?);
                let (mut first, mut second) = (as_offset(from_offset), as_offset(to_offset));
                let (first, second) = (Some(&mut first), Some(&mut second));
                count(nix::fcntl::copy_file_range(from, first, to, second, size))
            }
            _ => unreachable!("{call:?}"),
        }
    }

    /// Through a shared map, and synced, of what is there.
    fn map_write(&self, slot: u64, offset: u64, size: usize) -> Outcome {
        let file = self.slot(slot)?;
        let flags = OFlag::from_bits_retain(nix::fcntl::fcntl(file, FcntlArg::F_GETFL)?);
        if flags.contains(OFlag::O_PATH) || flags & OFlag::O_ACCMODE != OFlag::O_RDWR {
            return Ok("no map".to_owned());
        }
        let file = File::from(file.try_clone().unwrap());
        let metadata = of_io(file.metadata())?;
        let (length, offset) = (metadata.len(), usize::try_from(offset).unwrap());
        let length = usize::try_from(length).unwrap();
        if !metadata.is_file() || offset >= length {
            return Ok("no map".to_owned());
        }
        let end = length.min(offset + size);
        let mut map = Map::of(&file, length);
        map.bytes()[offset..end].copy_from_slice(&self.data(end - offset));
        map.sync();
        bytes(map.bytes())
    }

    /// What only looks at an open file, or syncs it.
    fn use_open(&self, call: &Call) -> Outcome {
        match *call {
            Call::Read(slot, size) => {
                let mut buffer = vec![0; size];
                let count = unistd::read(self.slot(slot)?, &mut buffer)?;
                bytes(&buffer[..count])
            }
            Call::Pread(slot, offset, size) => {
                let mut buffer = vec![0; size];
                let count = pread(self.slot(slot)?, &mut buffer, as_offset(offset))?;
                bytes(&buffer[..count])
            }
            Call::Seek(slot, by, whence) => {
                let file = self.slot(slot)?;
                // Positions of directories are the file system's own.
                if nix::sys::stat::fstat(file)?.st_mode & libc::S_IFMT == libc::S_IFDIR {
                    return Ok("a directory".to_owned());
                }
                let whence = match whence {
                    libc::SEEK_SET => unistd::Whence::SeekSet,
                    libc::SEEK_CUR => unistd::Whence::SeekCur,
                    _ => unistd::Whence::SeekEnd,
                };
                unistd::lseek(file, by, whence).map(|position| position.to_string())
            }
            Call::Fsync(slot) => told(unistd::fsync(self.slot(slot)?.as_fd())),
            Call::Fdatasync(slot) => told(unistd::fdatasync(self.slot(slot)?.as_fd())),
            Call::Fchmod(slot, bits) => told(fchmod(self.slot(slot)?, mode(bits))),
            _ => unreachable!("{call:?}"),
        }
    }

    /// What is done to names.
    fn names(&self, call: &Call) -> Outcome {
        let done = |result: std::io::Result<()>| of_io(result).map(|()| String::new());
        match call {
            Call::Truncate(path, size) => told(unistd::truncate(&self.at(path), as_offset(*size))),
            Call::MakeDirectory(path, bits) => told(unistd::mkdir(&self.at(path), mode(*bits))),
            Call::MakeFifo(path, bits) => told(unistd::mkfifo(&self.at(path), mode(*bits))),
            Call::RemoveDirectory(path) => done(fs::remove_dir(self.at(path))),
            Call::Unlink(path) => told(unistd::unlink(&self.at(path))),
            Call::Rename(from, to, flags) => {
                let (from, to) = (self.at(from), self.at(to));
                let flags = RenameFlags::from_bits_retain(*flags);
                told(nix::fcntl::renameat2(AT_FDCWD, &from, AT_FDCWD, &to, flags))
            }
            Call::Link(from, to, follow) => {
                let flags = match follow {
                    true => AtFlags::AT_SYMLINK_FOLLOW,
                    false => AtFlags::empty(),
                };
                let (from, to) = (self.at(from), self.at(to));
                told(unistd::linkat(AT_FDCWD, &from, AT_FDCWD, &to, flags))
            }
            Call::Symlink(target, path) => {
                told(unistd::symlinkat(*target, AT_FDCWD, &self.at(path)))
            }
            Call::ReadLink(path) => {
                of_io(fs::read_link(self.at(path))).map(|target| target.display().to_string())
            }
            Call::List(path) => list(&self.at(path)),
            Call::Chmod(path, bits) => {
                let follow = FchmodatFlags::FollowSymlink;
                told(fchmodat(AT_FDCWD, &self.at(path), mode(*bits), follow))
            }
            Call::Chown(path, user, group) => done(lchown(self.at(path), *user, *group)),
            Call::Times(path, accessed, modified) => {
                let time = |seconds: &Option<i64>| match seconds {
                    Some(seconds) => TimeSpec::new(*seconds, *seconds % 1_000_000_000),
                    None => TimeSpec::UTIME_OMIT,
                };
                let (path, follow) = (self.at(path), UtimensatFlags::NoFollowSymlink);
                utimensat(AT_FDCWD, &path, &time(accessed), &time(modified), follow)?;
                let metadata = of_io(fs::symlink_metadata(path))?;
                let shown = accessed.map(|_| (metadata.atime(), metadata.atime_nsec()));
                Ok(format!("accessed {shown:?}"))
            }
            _ => unreachable!("{call:?}"),
        }
    }

    fn xattr(&self, call: &Call) -> Outcome {
        let c = |path: &Path| CString::new(self.at(path).as_os_str().as_bytes()).unwrap();
        let name = |name: &str| CString::new(name).unwrap();
        match call {
            Call::SetXattr(path, attribute, size, flags) => {
                let (path, attribute, value) = (c(path), name(attribute), self.data(*size));
                // SAFETY: two C strings and as many bytes as are told, alive during the call.
                told(Errno::result(unsafe {
                    let value = value.as_ptr().cast();
                    libc::lsetxattr(path.as_ptr(), attribute.as_ptr(), value, *size, *flags)
                }))
            }
            Call::GetXattr(path, attribute, size) => {
                let (path, attribute, mut value) = (c(path), name(attribute), vec![0; *size]);
                // SAFETY: two C strings and as much room as is told, alive during the call.
                let count = Errno::result(unsafe {
                    let room = value.as_mut_ptr().cast();
                    libc::lgetxattr(path.as_ptr(), attribute.as_ptr(), room, *size)
                })?;
                value.truncate(usize::try_from(count).unwrap());
                bytes(&value)
            }
            Call::RemoveXattr(path, attribute) => {
                let (path, attribute) = (c(path), name(attribute));
                // SAFETY: two C strings, alive during the call.
                told(Errno::result(unsafe {
                    libc::lremovexattr(path.as_ptr(), attribute.as_ptr())
                }))
            }
            Call::ListXattrs(path) => xattrs(&self.at(path)),
            _ => unreachable!("{call:?}"),
        }
    }
}

/// The extended attributes of a path with their values, in the order of the alphabet.
pub fn xattrs(path: &Path) -> Outcome {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut names = vec![0; XATTR_BYTES_MAX];
    // SAFETY: a C string and as much room as is told, alive during the call.
    let count = Errno::result(unsafe {
        libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len())
    })?;
    names.truncate(usize::try_from(count).unwrap());
    let mut found = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let attribute = CString::new(name).unwrap();
        let mut value = vec![0; XATTR_BYTES_MAX];
        // SAFETY: two C strings and as much room as is told, alive during the call.
        let count = Errno::result(unsafe {
            let room = value.as_mut_ptr().cast();
            libc::lgetxattr(path.as_ptr(), attribute.as_ptr(), room, value.len())
        })?;
        let hash = blake3::hash(&value[..usize::try_from(count).unwrap()]).to_hex();
        found.push(format!(
            "{}={count}:{}",
            attribute.to_string_lossy(),
            &hash[..8]
        ));
    }
    found.sort();
    Ok(found.join(" "))
}

fn as_offset(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}
