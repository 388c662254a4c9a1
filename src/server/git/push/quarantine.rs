//! Where a pack is until everything about it is known to be right.
//!
//! It is a small repository beside the objects, which borrows them and has no references. So both
//! the `git` program and gix see what is pushed on top of what is there, nobody else sees any of
//! it, and a push that is refused, or dies, leaves nothing behind but this folder.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::server::git::error::{At, Error};
use crate::server::git::{Repository, open_gix, staging};

/// Objects of a push, until they are moved into the database or dropped.
#[derive(Debug)]
pub(in crate::server) struct Quarantine {
    folder: tempfile::TempDir,
}

impl Quarantine {
    pub(in crate::server::git) fn new(repository: &Path) -> Result<Quarantine, Error> {
        let incoming = repository.join(staging::FOLDER);
        fs::create_dir_all(&incoming).at(&incoming)?;
        let folder = tempfile::Builder::new()
            .prefix("push-")
            .tempdir_in(&incoming)
            .at(&incoming)?;
        let path = folder.path();
        for name in ["refs", "objects/info", "objects/pack"] {
            let name = path.join(name);
            fs::create_dir_all(&name).at(&name)?;
        }
        let mut borrowed = repository.join("objects").as_os_str().as_bytes().to_vec();
        borrowed.push(b'\n');
        let config: &[u8] = b"[core]\n\trepositoryformatversion = 0\n\tbare = true\n";
        for (name, bytes) in [
            ("objects/info/alternates", &borrowed[..]),
            ("config", config),
            ("HEAD", b"ref: refs/heads/main\n"),
        ] {
            let name = path.join(name);
            let mut file = fs::File::create(&name).at(&name)?;
            file.write_all(bytes).at(&name)?;
        }
        let shallow = repository.join("shallow");
        match fs::copy(&shallow, path.join("shallow")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at(&shallow)?,
            _ => {}
        }
        Ok(Quarantine { folder })
    }

    /// The database that the pack goes to.
    pub(in crate::server::git) fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    /// What is pushed, on top of what is there.
    pub(super) fn view(&self) -> Result<gix::Repository, Error> {
        Ok(open_gix(self.folder.path())?.to_thread_local())
    }

    /// Moves everything into the repository; on return it survives a power cut.
    pub(in crate::server::git) fn publish(self, repository: &Path) -> Result<(), Error> {
        let objects = self.objects();
        let mut names = Vec::new();
        for folder in fs::read_dir(&objects).at(&objects)? {
            let folder = folder.at(&objects)?;
            let name = folder.file_name();
            let is_loose = name.len() == 2 && name.as_bytes().iter().all(u8::is_ascii_hexdigit);
            if !is_loose && name != "pack" {
                continue;
            }
            let path = folder.path();
            for file in fs::read_dir(&path).at(&path)? {
                let file = Path::new(&name).join(file.at(&path)?.file_name());
                if let Some(rank) = rank(&file, is_loose) {
                    names.push((rank, file));
                }
            }
        }
        names.sort_unstable();
        let names: Vec<PathBuf> = names.into_iter().map(|(_, name)| name).collect();
        staging::move_objects(&objects, &repository.join("objects"), &names)?;
        let path = self.folder.path().to_owned();
        self.folder.close().at(&path)
    }
}

/// The order in which files are moved: a pack is looked for when its index is there. `None` is a file
/// that is not.
fn rank(name: &Path, is_loose: bool) -> Option<u8> {
    let is_object =
        |name: &OsStr| name.len() == 38 && name.as_bytes().iter().all(u8::is_ascii_hexdigit);
    match name.extension() {
        None if is_loose => name.file_name().is_some_and(is_object).then_some(0),
        Some(extension) if extension == "pack" => Some(1),
        Some(extension) if extension == "rev" => Some(2),
        Some(extension) if extension == "idx" => Some(3),
        _ => None,
    }
}

impl Repository {
    /// A place for a pack.
    pub(in crate::server) fn quarantine(&self) -> Result<Quarantine, Error> {
        Quarantine::new(&self.folder)
    }
}
