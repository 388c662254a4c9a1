//! The profile of a repository on disk: `<data>/repos/<org>/<repo>/profile`, replaced in one step.
//!
//! What an open repository's readers have read is noted in memory (`lower::Reads`), and written now and then
//! and at the end, never while a reader waits; so a death costs what was read since. What is on disk is what
//! the sessions before read, with the running one on top: writing it again changes nothing but that one.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::{Profile, TEXT_BYTES_MAX};
use crate::config::Config;
use crate::daemon::at_rest::{organizations, repositories_folder};
use crate::daemon::folders::publish;
use crate::daemon::{DataLock, Error, Holding, private_folder};
use crate::lower::{Lower, Reads};
use crate::remote::RepositoryName;

const FILE: &str = "profile";

/// The profile of a repository that is open.
pub(in crate::daemon) struct Kept {
    place: PathBuf,
    /// Held while it is written; nothing that the kernel asks takes it.
    state: Mutex<State>,
}

struct State {
    /// Without the session that runs.
    before: Profile,
    /// Paths of this session that are on disk.
    written: usize,
}

impl Kept {
    /// Reads the profile in the folder of a repository's local state. One that cannot be read is none: it
    /// only says what to fetch first.
    pub(in crate::daemon) fn open(folder: &Path) -> Kept {
        let place = folder.join(FILE);
        let before = read(&place).unwrap_or_else(|error| {
            tracing::warn!(path = %place.display(), %error, "a profile is begun anew");
            Profile::default()
        });
        Kept {
            place,
            state: Mutex::new(State { before, written: 0 }),
        }
    }

    /// Has a snapshot that was just opened note what is read, and fetch what was read before.
    pub(in crate::daemon) fn begin(&self, lower: &Lower) {
        lower.expect(self.state.lock().before.paths().cloned().collect());
        lower.reads().begin();
    }

    /// Makes what was read so far outlive this process, if there is more of it than last time.
    pub(in crate::daemon) fn keep(&self, reads: &Reads) {
        let mut state = self.state.lock();
        if reads.count() == state.written {
            return;
        }
        let read = reads.paths();
        let count = read.len();
        match publish(&self.place, &state.before.after(read).text()) {
            Ok(()) => state.written = count,
            Err(error) => {
                let path = self.place.display();
                tracing::warn!(%path, %error, "what was read is not kept");
            }
        }
    }

    /// Adds what another profile has, as if it had been read last, and fetches it.
    ///
    /// # Errors
    ///
    /// What the disk says. Nothing has changed then.
    pub(in crate::daemon) fn import(&self, profile: &Profile, lower: &Lower) -> io::Result<()> {
        let mut state = self.state.lock();
        let before = state.before.after(profile.paths().cloned().collect());
        publish(&self.place, &before.after(lower.reads().paths()).text())?;
        state.before = before;
        drop(state);
        lower.expect(profile.paths().cloned().collect());
        lower.looked_into();
        Ok(())
    }

    /// Forgets everything, what this session read as well.
    ///
    /// # Errors
    ///
    /// What the disk says.
    pub(in crate::daemon) fn forget(&self, reads: &Reads) -> io::Result<()> {
        let mut state = self.state.lock();
        remove(&self.place)?;
        reads.forget();
        *state = State {
            before: Profile::default(),
            written: 0,
        };
        Ok(())
    }
}

/// A profile from a file; none is an empty one.
pub(super) fn read(place: &Path) -> io::Result<Profile> {
    let file = match fs::File::open(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Profile::default()),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut text)?;
    Profile::parse(&text).map_err(io::Error::other)
}

fn remove(place: &Path) -> io::Result<()> {
    match fs::remove_file(place) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The folder of a repository's local state.
fn folder(config: &Config, name: &RepositoryName) -> PathBuf {
    let all = repositories_folder(&config.data_folder);
    all.join(name.organization()).join(name.name())
}

/// The profiles that are on disk, mounted or not, by the names of their repositories.
///
/// # Errors
///
/// The data directory, or one of them, cannot be read.
pub fn stored(config: &Config) -> Result<Vec<(RepositoryName, Profile)>, Error> {
    let all = repositories_folder(&config.data_folder);
    let mut found = Vec::new();
    if !all.is_dir() {
        return Ok(found);
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Folder { path, source }
    };
    for organization in organizations(&all)? {
        let folder = all.join(organization.as_os_str());
        for entry in fs::read_dir(&folder).map_err(failed(&folder))? {
            let entry = entry.map_err(failed(&folder))?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .and_then(|name| RepositoryName::new(&organization.to_string(), name).ok());
            let place = entry.path().join(FILE);
            if let Some(name) = name.filter(|_| place.is_file()) {
                let profile = read(&place).map_err(failed(&place))?;
                if !profile.is_empty() {
                    found.push((name, profile));
                }
            }
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// Adds what another profile has to that of a repository that is not open, and may never have been: its
/// first opening finds it.
///
/// # Errors
///
/// A daemon holds the data directory; the disk.
pub fn import_at_rest(
    config: &Config,
    name: &RepositoryName,
    profile: &Profile,
) -> Result<(), Error> {
    private_folder(&config.data_folder)?;
    let _lock = DataLock::take(&config.data_folder, Holding::Command)?;
    import_closed(config, name, profile)
}

/// As [`import_at_rest`], by whoever keeps the repository from being opened meanwhile.
pub(super) fn import_closed(
    config: &Config,
    name: &RepositoryName,
    profile: &Profile,
) -> Result<(), Error> {
    let folder = folder(config, name);
    private_folder(&folder)?;
    let before = Kept::open(&folder).state.into_inner().before;
    let after = before.after(profile.paths().cloned().collect());
    let place = folder.join(FILE);
    publish(&place, &after.text()).map_err(|source| Error::Folder {
        path: place,
        source,
    })
}

/// Forgets the profile of a repository that is not open.
///
/// # Errors
///
/// As [`import_at_rest`].
pub fn forget_at_rest(config: &Config, name: &RepositoryName) -> Result<(), Error> {
    let _lock = DataLock::take(&config.data_folder, Holding::Command)?;
    forget_closed(config, name)
}

/// As [`forget_at_rest`], by whoever keeps the repository from being opened meanwhile.
pub(super) fn forget_closed(config: &Config, name: &RepositoryName) -> Result<(), Error> {
    let place = folder(config, name).join(FILE);
    remove(&place).map_err(|source| Error::Folder {
        path: place,
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::tree::TreePath;

    fn read_of(texts: &[&str]) -> Reads {
        let reads = Reads::default();
        reads.begin();
        for text in texts {
            reads.note(&TreePath::try_from(*text).unwrap());
        }
        reads
    }

    fn paths(folder: &Path) -> Vec<String> {
        let profile = read(&folder.join(FILE)).unwrap();
        profile.paths().map(ToString::to_string).collect()
    }

    #[test]
    fn a_session_that_is_written_often_is_one_session() {
        let folder = tempfile::tempdir().unwrap();
        Kept::open(folder.path()).keep(&read_of(&["old"]));
        let kept = Kept::open(folder.path());
        kept.keep(&read_of(&[]));
        for read in [&["a"][..], &["a", "b"], &["a", "b", "old"]] {
            kept.keep(&read_of(read));
            kept.keep(&read_of(read));
        }
        assert_eq!(paths(folder.path()), ["a", "b", "old"]);
        let place = folder.path().join(FILE);
        assert_eq!(place.metadata().unwrap().mode() & 0o777, 0o600);
        let written = place.metadata().unwrap().ino();
        kept.keep(&read_of(&["a", "b", "old"]));
        assert_eq!(place.metadata().unwrap().ino(), written, "nothing new");
    }

    #[test]
    fn a_damaged_profile_is_begun_anew_and_a_later_version_is_too() {
        for text in ["\"", "# mesa profile, version 2\nx\n"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), text).unwrap();
            Kept::open(folder.path()).keep(&read_of(&["a"]));
            assert_eq!(paths(folder.path()), ["a"]);
        }
    }

    #[test]
    fn what_is_forgotten_does_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path());
        let reads = read_of(&["a"]);
        kept.keep(&reads);
        kept.forget(&reads).unwrap();
        kept.keep(&reads);
        assert!(!folder.path().join(FILE).exists());
        reads.note(&TreePath::try_from("b").unwrap());
        kept.keep(&reads);
        assert_eq!(paths(folder.path()), ["b"]);
    }
}
