//! Importing a Git repository, or a plain directory, as a new bare repository.
//!
//! A repository's objects are immutable files, so its packs and loose objects (and those of the
//! databases that it borrows from) are linked into ours, or copied where a link is not possible,
//! and its default branch becomes our default bookmark. A plain directory becomes one commit; empty
//! directories are kept, `.git` is left out. What is loose then is packed by the `git` program, and
//! stays loose without it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use gix::objs::tree::EntryKind;

use super::bookmarks::HEADS;
use super::commit::{self, NewCommit, Person};
use super::edit::Editor;
use super::error::{At, Doing, Error};
use super::path::FilePath;
use super::refs::{self, Move};
use super::staging::{Staging, sync_files, sync_folders};
use super::{HASH, Repository, open_gix, repack, theirs};
use crate::remote::api::FileMode;
use crate::tree::ChangeId;

/// Makes a bare repository in `target`, which must not exist, of what is at `source`. `id` and
/// `author` are for the commit of a plain directory. On return it survives a power cut. Blocks, on a
/// thread of tokio's that may.
pub(in crate::server) fn import(
    source: &Path,
    target: &Path,
    id: ChangeId,
    author: &Person,
) -> Result<(), Error> {
    let is_bare = ["HEAD", "objects", "refs"]
        .iter()
        .all(|name| source.join(name).exists());
    if source.join(".git").exists() || is_bare {
        repository(source, target)?;
    } else if source.is_dir() {
        directory(source, target, id, author)?;
    } else {
        return Err(Error::SourceKind {
            path: source.to_owned(),
        });
    }
    repack::pack_new(target);
    Ok(())
}

fn repository(source: &Path, target: &Path) -> Result<(), Error> {
    let from = gix::open_opts(source, gix::open::Options::isolated())
        .doing("opening the repository to import")?;
    if from.object_hash() != HASH {
        return Err(Error::SourceHash {
            path: source.to_owned(),
        });
    }
    let head = from.head().doing("reading the default branch")?;
    let bookmark = head
        .referent_name()
        .and_then(|name| {
            name.as_bstr()
                .to_string()
                .strip_prefix(HEADS)
                .map(str::to_owned)
        })
        .unwrap_or_else(|| "main".to_owned());
    let tip = if head.is_unborn() {
        None
    } else {
        let commit = from.head_commit().doing("reading the default branch")?;
        Some(commit.id)
    };
    Repository::create(target, &bookmark)?;
    let Some(tip) = tip else { return Ok(()) };
    let mut databases = vec![from.objects.store_ref().path().to_owned()];
    databases.extend(
        from.objects
            .store_ref()
            .alternate_db_paths()
            .doing("reading borrowed databases")?,
    );
    let mut made = Vec::new();
    let mut folders = BTreeSet::from([target.to_owned(), target.join("objects")]);
    for database in databases {
        link_database(source, &database, &target.join("objects"), &mut made)?;
    }
    let shallow = from.shallow_file().doing("finding the shallow boundary")?;
    if shallow.is_file() {
        let to = target.join("shallow");
        fs::copy(&shallow, &to).at(&to)?;
        made.push(to);
    }
    sync_files(target, &made)?;
    folders.extend(
        made.iter()
            .filter_map(|path| path.parent().map(Path::to_owned)),
    );
    sync_folders(&folders)?;
    let repo = open_gix(target)?.to_thread_local();
    let commit = repo
        .find_commit(tip)
        .doing("checking the imported commit")?;
    commit.tree().doing("checking the imported tree")?;
    refs::apply(
        &repo,
        &[Move {
            name: format!("{HEADS}{bookmark}"),
            from: None,
            to: Some(tip),
        }],
    )
}

/// Links packs with their indices, and loose objects; what is derived from them is left out.
fn link_database(
    source: &Path,
    from: &Path,
    to: &Path,
    made: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    for folder in fs::read_dir(from).at(from)? {
        let folder = folder.at(from)?;
        let name = folder.file_name();
        let is_loose = name.len() == 2 && name.as_bytes().iter().all(u8::is_ascii_hexdigit);
        if !is_loose && name != "pack" {
            continue;
        }
        let target = to.join(&name);
        fs::create_dir_all(&target).at(&target)?;
        let folder = folder.path();
        for file in fs::read_dir(&folder).at(&folder)? {
            let path = file.at(&folder)?.path();
            let extension = path.extension().unwrap_or_default();
            if extension == "promisor" {
                return Err(Error::SourcePartial {
                    path: source.to_owned(),
                });
            }
            let Some(name) = path.file_name() else {
                continue;
            };
            let is_object = name.len() == 38 && name.as_bytes().iter().all(u8::is_ascii_hexdigit);
            let is_wanted = match is_loose {
                true => is_object,
                false => extension == "pack" || extension == "idx",
            };
            if is_wanted {
                let to = target.join(name);
                link(&path, &to)?;
                made.push(to);
            }
        }
    }
    Ok(())
}

fn link(from: &Path, to: &Path) -> Result<(), Error> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Another file system, or files of another owner: a copy.
        Err(_) => fs::copy(from, to).map(drop).at(from),
    }
}

fn directory(source: &Path, target: &Path, id: ChangeId, author: &Person) -> Result<(), Error> {
    const BOOKMARK: &str = "main";
    Repository::create(target, BOOKMARK)?;
    let repo = open_gix(target)?.to_thread_local();
    let mut staging = Staging::new(&repo)?;
    let mut editor = Editor::new(&staging, &gix::ObjectId::empty_tree(HASH))?;
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let at = source.join(&folder);
        for entry in fs::read_dir(&at).at(&at)? {
            let entry = entry.at(&at)?;
            let below = folder.join(entry.file_name());
            let path = entry.path();
            let kind = entry.file_type().at(&path)?;
            if entry.file_name() == ".git" {
                continue;
            }
            if kind.is_dir() {
                editor.make_directory(&staging, checked(&below, None)?)?;
                folders.push(below);
            } else if kind.is_symlink() {
                let link = fs::read_link(&path).at(&path)?;
                let oid = staging.write(gix::objs::Kind::Blob, link.as_os_str().as_bytes())?;
                let to = checked(&below, Some(FileMode::Symlink))?;
                editor.put(&staging, to, EntryKind::Link.into(), oid)?;
            } else if kind.is_file() {
                let to = checked(&below, None)?;
                let (kind, oid) = file(&mut staging, &path)?;
                editor.put(&staging, to, kind.into(), oid)?;
            } else {
                tracing::warn!(path = %path.display(), "neither file, link nor directory: left out");
            }
        }
    }
    let tree = editor.finish(&mut staging)?;
    let message = "Import a directory\n";
    let new = NewCommit {
        change: id,
        tree,
        parents: Vec::new(),
        author,
        authors: &[],
        committer: author,
        message,
        conflict: None,
    };
    let oid = commit::write(&mut staging, &new)?;
    staging.publish()?;
    let name = format!("{HEADS}{BOOKMARK}");
    refs::apply(
        &repo,
        &[Move {
            name,
            from: None,
            to: Some(theirs(oid)),
        }],
    )
}

fn checked(path: &Path, mode: Option<FileMode>) -> Result<FilePath, Error> {
    FilePath::check(path.as_os_str().as_bytes(), mode)
}

fn file(staging: &mut Staging<'_>, path: &Path) -> Result<(EntryKind, gix::ObjectId), Error> {
    let mut file = File::open(path).at(path)?;
    let metadata = file.metadata().at(path)?;
    let kind = match metadata.permissions().mode() & 0o100 {
        0 => EntryKind::Blob,
        _ => EntryKind::BlobExecutable,
    };
    let oid = staging
        .write_stream(metadata.len(), &mut file)
        .map_err(
            |error| match File::open(path).and_then(|file| file.metadata()) {
                Ok(now) if now.len() != metadata.len() => Error::SourceChanged {
                    path: path.to_owned(),
                },
                _ => error,
            },
        )?;
    Ok((kind, oid))
}
