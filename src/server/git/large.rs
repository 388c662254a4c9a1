//! Large blobs, unpacked into files without names so that any range of them can be read at once.
//!
//! A blob is unpacked once for all that read it, by a thread of its own, and can be read while it
//! is unpacked: a loose object, and one that a pack holds as it is, stream through the decompressor. One
//! that a pack holds as a difference to another is decoded in memory first, since that needs its base whole,
//! and that takes turns. The files last used stay, up to a size on disk; they have no names, so nothing is
//! left when the process ends.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::ZlibDecoder;
use gix::odb::{loose, pack};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::error::{At, Doing, Error};
use super::{HASH, Repository, theirs};
use crate::tree::GitOid;

/// Most bytes of files that are kept; one that is read stays until its readers are done.
const KEPT_BYTES_MAX: u64 = 4 << 30;
/// Longest head of a loose object: its kind, its size in decimal, and a NUL.
const HEAD_BYTES_MAX: usize = 32;
/// Longest head of an object in a pack: its kind and size, and the id of what it differs from.
const PACKED_HEAD_BYTES_MAX: usize = 32;

/// The files of all repositories, last used first.
#[derive(Debug, Default)]
pub(in crate::server) struct LargeBlobs {
    kept: Mutex<VecDeque<(GitOid, Unpacked)>>,
    /// Whoever decodes from a pack takes this turn.
    decoding: Arc<Mutex<()>>,
}

/// A blob that is, or is being, unpacked.
#[derive(Debug, Clone)]
pub(in crate::server) struct Unpacked {
    file: Arc<File>,
    size: u64,
    /// Bytes that are there; a sender that is gone before the last one has failed.
    ready: watch::Receiver<u64>,
}

impl Unpacked {
    /// Waits until some bytes at `offset` are there, and says how many.
    ///
    /// # Errors
    ///
    /// The blob could not be unpacked; the log says why.
    pub(in crate::server) async fn ready(&self, offset: u64) -> io::Result<u64> {
        let mut ready = self.ready.clone();
        let seen = ready.wait_for(|ready| *ready > offset || *ready == self.size);
        match seen.await {
            Ok(bytes) => Ok(bytes.saturating_sub(offset)),
            Err(_) => Err(io::Error::other("a blob could not be unpacked")),
        }
    }

    /// Whether its bytes are there, or still come.
    fn is_good(&self) -> bool {
        *self.ready.borrow() == self.size || self.ready.has_changed().is_ok()
    }

    /// Reads bytes that are ready; blocks.
    pub(in crate::server) fn read_at(&self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer)
    }
}

impl LargeBlobs {
    /// A blob of `size` bytes, unpacked into a file in `folder`; blocks only to begin it.
    pub(in crate::server) fn open(
        &self,
        repository: &Arc<impl AsRef<Repository> + Send + Sync + 'static>,
        oid: GitOid,
        size: u64,
        folder: &Path,
    ) -> Result<Unpacked, Error> {
        let mut kept = self.kept.lock();
        if let Some(at) = kept.iter().position(|(of, _)| *of == oid)
            && let Some(found) = kept.remove(at)
            && found.1.is_good()
        {
            kept.push_front(found.clone());
            return Ok(found.1);
        }
        let file = Arc::new(tempfile::tempfile_in(folder).at(folder)?);
        let (sender, ready) = watch::channel(0);
        let unpacked = Unpacked { file, size, ready };
        kept.push_front((oid, unpacked.clone()));
        let mut sum = 0_u64;
        kept.retain(|(_, one)| {
            sum = sum.saturating_add(one.size);
            sum <= KEPT_BYTES_MAX || sum == one.size
        });
        drop(kept);
        let (repository, decoding) = (repository.clone(), self.decoding.clone());
        let file = unpacked.file.clone();
        std::thread::Builder::new()
            .name("mesa-unpack".to_owned())
            .spawn(move || {
                let repository = (*repository).as_ref();
                let result = unpack(repository, oid, size, &file, &decoding, |bytes| {
                    sender.send_replace(bytes);
                });
                if let Err(error) = result {
                    tracing::error!(%oid, %error, "a large blob could not be unpacked");
                }
            })
            .at(folder)?;
        Ok(unpacked)
    }
}

fn unpack(
    repository: &Repository,
    oid: GitOid,
    size: u64,
    file: &File,
    decoding: &Mutex<()>,
    report: impl Fn(u64),
) -> Result<(), Error> {
    let repo = repository.local();
    let objects = repo.objects.store_ref().path().to_owned();
    let path: PathBuf = loose::Store::at(objects.clone(), HASH).object_path(&theirs(oid));
    let (path, mut plain) = match File::open(&path) {
        Ok(found) => {
            let mut plain = inflated(found);
            skip_head(&mut plain).at(&path)?;
            (path, plain)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match packed(&objects, oid) {
            Some(found) => found,
            None => {
                let _turn = decoding.lock();
                let blob = repo.find_blob(theirs(oid)).doing("reading a blob")?;
                file.write_all_at(&blob.data, 0).at(&path)?;
                report(size);
                return Ok(());
            }
        },
        Err(error) => return Err(error).at(&path),
    };
    let mut buffer = vec![0; 1 << 18];
    let mut offset = 0;
    loop {
        let count = plain.read(&mut buffer).at(&path)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        file.write_all_at(bytes, offset).at(&path)?;
        offset += count as u64;
        report(offset);
    }
    if offset != size {
        let short = io::Error::new(io::ErrorKind::UnexpectedEof, "an object is too short");
        return Err(short).at(&path);
    }
    // An empty blob has no bytes to report.
    report(size);
    Ok(())
}

fn inflated(file: File) -> ZlibDecoder<BufReader<File>> {
    ZlibDecoder::new(BufReader::with_capacity(1 << 16, file))
}

/// The bytes of a blob that a pack holds as it is; `None` where none does, or where that cannot be told.
fn packed(objects: &Path, oid: GitOid) -> Option<(PathBuf, ZlibDecoder<BufReader<File>>)> {
    let entries = fs::read_dir(objects.join("pack")).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut indexes = paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "idx"));
    let (path, offset) = indexes.find_map(|path| {
        let index = pack::index::File::at(&path, HASH).ok()?;
        let at = index.lookup(theirs(oid))?;
        Some((path.with_extension("pack"), index.pack_offset_at_index(at)))
    })?;
    let mut file = File::open(&path).ok()?;
    let mut head = [0; PACKED_HEAD_BYTES_MAX];
    let count = file.read_at(&mut head, offset).ok()?;
    let entry = pack::data::Entry::from_bytes(head.get(..count)?, offset, HASH).ok()?;
    if entry.header != pack::data::entry::Header::Blob {
        return None;
    }
    file.seek(SeekFrom::Start(entry.data_offset)).ok()?;
    Some((path, inflated(file)))
}

/// Reads past `blob <size>` and its NUL.
fn skip_head(plain: &mut impl Read) -> io::Result<()> {
    for _ in 0..HEAD_BYTES_MAX {
        let mut byte = [0];
        plain.read_exact(&mut byte)?;
        if byte == [0] {
            return Ok(());
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "a loose object without a head",
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(folder).args(arguments);
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
            command.env(name, "/dev/null");
        }
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn what_a_pack_holds_as_it_is_streams_and_a_difference_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        git(folder, &["init", "--quiet"]);
        let mut bytes = vec![0; 1 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        let mut blobs = Vec::new();
        for length in [bytes.len(), bytes.len() - 1_000] {
            fs::write(folder.join("file"), &bytes[..length]).unwrap();
            git(folder, &["add", "file"]);
            let author = ["-c", "user.name=a", "-c", "user.email=a@b"];
            git(folder, &[&author[..], &["commit", "-qm", "one"]].concat());
            let oid: GitOid = git(folder, &["rev-parse", "HEAD:file"]).parse().unwrap();
            blobs.push((oid, length));
        }
        let objects = folder.join(".git/objects");
        assert!(packed(&objects, blobs[0].0).is_none(), "it is loose");
        git(folder, &["repack", "-adq"]);
        let mut as_it_is = 0;
        for (oid, length) in blobs {
            if let Some((_, mut plain)) = packed(&objects, oid) {
                let mut found = Vec::new();
                plain.read_to_end(&mut found).unwrap();
                assert!(found == bytes[..length], "{oid}");
                as_it_is += 1;
            }
        }
        assert_eq!(as_it_is, 1);
        assert!(packed(&objects, GitOid([1; 20])).is_none());
    }
}
