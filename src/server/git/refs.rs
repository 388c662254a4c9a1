//! References: reading, and moving several at once by compare-and-swap.
//!
//! gix prepares a transaction by writing every new value into the reference's lock file and
//! commits it by renaming these. It syncs nothing, so we sync the lock files in between and the
//! folders afterwards: a power cut finds either the old value or the new one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use gix::refs::Target;
use gix::refs::transaction::{PreviousValue, RefEdit};

use super::error::{At, Doing, Error};
use super::staging::sync_folders;

/// One step of a transaction: `None` is "not there".
pub(super) struct Move {
    pub(super) name: String,
    pub(super) from: Option<gix::ObjectId>,
    pub(super) to: Option<gix::ObjectId>,
}

/// The object that a reference names, if the reference exists.
pub(super) fn find(repo: &gix::Repository, name: &str) -> Result<Option<gix::ObjectId>, Error> {
    let reference = match repo.try_find_reference(name) {
        // A folder of references, or what is left of one.
        Err(_) if repo.git_dir().join(name).is_dir() => return Ok(None),
        reference => reference.doing("reading a reference")?,
    };
    Ok(reference.and_then(|reference| reference.try_id().map(gix::Id::detach)))
}

/// Every reference below a prefix that ends in a slash, by the rest of its name, in order.
pub(super) fn below(
    repo: &gix::Repository,
    prefix: &str,
) -> Result<Vec<(String, gix::ObjectId)>, Error> {
    let platform = repo.references().doing("listing references")?;
    let mut found = Vec::new();
    for reference in platform.prefixed(prefix).doing("listing references")? {
        let reference = reference.doing("listing references")?;
        let name = reference.name().as_bstr().to_string();
        if let (Some(rest), Some(id)) = (name.strip_prefix(prefix), reference.try_id()) {
            found.push((rest.to_owned(), id.detach()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Moves references, in order, if every one of them is where it is expected; on return the new
/// values survive a power cut. After a crash, those before some point have moved.
pub(super) fn apply(repo: &gix::Repository, moves: &[Move]) -> Result<(), Error> {
    let mut edits = Vec::new();
    for step in moves {
        let name: gix::refs::FullName = step
            .name
            .as_str()
            .try_into()
            .map_err(|_| Error::BookmarkName)?;
        let expected = match step.from {
            Some(oid) => PreviousValue::MustExistAndMatch(Target::Object(oid)),
            None => PreviousValue::MustNotExist,
        };
        match (step.from, step.to) {
            (_, Some(oid)) => edits.push(RefEdit::update(name, oid, expected, "")),
            (Some(_), None) => edits.push(RefEdit::delete(name, expected)),
            (None, None) => {}
        }
    }
    let wait = gix::lock::acquire::Fail::AfterDurationWithBackoff(LOCK_WAIT);
    let prepared = repo
        .refs
        .transaction()
        .prepare(edits, wait, wait)
        .map_err(|error| refusal(error, repo, moves))?;
    let mut folders = BTreeSet::new();
    for step in moves {
        let path = repo.git_dir().join(&step.name);
        let lock = lock_path(&path);
        match File::open(&lock).and_then(|file| file.sync_all()) {
            // A reference that stays where it is has no lock file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.at(&lock)?,
        }
        folders.extend(
            path.ancestors()
                .skip(1)
                .take_while(|folder| *folder != repo.git_dir())
                .map(Path::to_owned),
        );
    }
    prepared.commit(None).doing("moving references")?;
    folders.retain(|folder| folder.exists());
    folders.insert(repo.git_dir().to_owned());
    sync_folders(&folders)
}

/// How long another process (a `git gc` by hand) may hold a lock.
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Tells a lost race, and a name that is a folder of another, from damage.
fn refusal(error: gix::Error, repo: &gix::Repository, moves: &[Move]) -> Error {
    for step in moves {
        let path = repo.git_dir().join(&step.name);
        let below_another = path
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != repo.git_dir())
            .any(Path::is_file);
        if step.from.is_none() && (path.is_dir() || below_another) {
            return Error::BookmarkName;
        }
        match find(repo, &step.name) {
            Ok(value) if value != step.from => return Error::Raced,
            // Another program holds it, and has for longer than we wait.
            _ if lock_path(&path).exists() => return Error::Raced,
            _ => {}
        }
    }
    Error::Git {
        doing: "preparing to move references",
        source: error.into(),
    }
}

/// Points HEAD at a bookmark, by temporary file and rename; survives a power cut on return.
pub(super) fn write_head(folder: &Path, bookmark: &str) -> Result<(), Error> {
    let path = folder.join("HEAD");
    let mut file = tempfile::Builder::new()
        .prefix("HEAD-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .at(folder)?;
    writeln!(file, "ref: refs/heads/{bookmark}").at(&path)?;
    file.as_file().sync_all().at(&path)?;
    file.persist(&path).map_err(|error| error.error).at(&path)?;
    sync_folders([&folder.to_owned()])
}

/// Removes lock files whose owner died: this process owns the folder, so nobody holds them.
pub(super) fn remove_stale_locks(folder: &Path) -> Result<(), Error> {
    let mut folders = vec![folder.join("refs")];
    for name in ["HEAD.lock", "packed-refs.lock", "config.lock"] {
        remove(&folder.join(name))?;
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).at(&folder)? {
            let entry = entry.at(&folder)?;
            let path = entry.path();
            if entry.file_type().at(&path)?.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "lock")
            {
                remove(&path)?;
            }
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at(path),
        _ => Ok(()),
    }
}
