//! Exports of a repository's work: of a mounted one by the daemon, of one at rest without a daemon,
//! a network or a credential.
//!
//! The work is written into a private file in the data directory, which whoever asked moves away.
//! Bodies are read in place first; when one changed meanwhile, all are copied aside, so that what is
//! exported is always one point of the history.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::at_rest::{self, organizations, repositories_folder};
use super::control::Exported;
use super::journals::is_named;
use super::repositories::OpenRepositories;
use super::{DataLock, Error, Holding, known, private_folder};
use crate::config::Config;
use crate::export::{self, Format, LeftOut, Needed, Work};
use crate::fuse::Repositories;
use crate::lower::{Domain, ListingEntry, Pin, Source, SourceError, Store, Want};
use crate::overlay::{self, Capture, KeptLocalReason, Local, Overlay};
use crate::remote::RepositorySource;
use crate::tree::{GitOid, Name, Timestamp, TreePath};

/// Listings and links' targets that one capture may have to fetch first.
const FETCHES_MAX: usize = 100_000;
/// Trees are walked by recursion, and may be 2048 deep.
const STACK_BYTES: usize = 32 << 20;
/// What is gathered before it is written.
const BUFFER_BYTES: usize = 256 << 10;

/// Where exports are written.
fn folder(data: &Path) -> PathBuf {
    data.join("exports")
}

/// Deletes what nobody came for. The caller holds the lock of the data directory.
pub(super) fn sweep(data: &Path) {
    match std::fs::remove_dir_all(folder(data)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(error = %error, "old exports stay behind");
        }
        _ => {}
    }
}

/// Exports a repository of the mount: the named one, or the one that has pending work.
///
/// # Errors
///
/// It is not clear which, or it cannot be exported.
pub(super) fn of_mounted(
    repositories: &OpenRepositories,
    repo: Option<&str>,
    format: Format,
) -> Result<Exported, Error> {
    let data = &repositories.config().data_folder;
    let Some(repo) = repo else {
        let all = repositories.all();
        let pending = all.iter().filter(|one| one.overlay().has_pending());
        let pending: Vec<_> = pending.collect();
        let names = pending.iter().map(|one| one.name().to_string()).collect();
        let [only] = pending[..] else {
            return Err(which(names));
        };
        let name = (only.name().organization(), only.name().name());
        return export(data, name, only.overlay(), format);
    };
    let (organization, name) = local_name(data, repo)?;
    let opened = Repositories::open(repositories, &organization, &name);
    let opened = opened.map_err(|source| Error::Open {
        repository: repo.to_owned(),
        source,
    })?;
    let name = (&*organization.to_string(), &*name.to_string());
    export(data, name, &opened.overlay, format)
}

/// Exports a repository while no daemon runs, from what is on this machine alone.
///
/// # Errors
///
/// It is not clear which; a daemon runs after all; something is needed that is not here.
pub fn at_rest(config: &Config, repo: Option<&str>, format: Format) -> Result<Exported, Error> {
    let data = &config.data_folder;
    let repositories = repositories_folder(data);
    if !repositories.is_dir() {
        return Err(match repo {
            Some(repo) => unknown(repo),
            None => Error::NothingPending,
        });
    }
    let _lock = DataLock::take(data, Holding::Command)?;
    sweep(data);
    let (organization, name) = match repo {
        Some(repo) => local_name(data, repo)?,
        None => pending_at_rest(config, &repositories)?,
    };
    let repository = format!("{organization}/{name}");
    let failed = |source| Error::Repository {
        name: repository.clone(),
        source,
    };
    let folder = repositories.join(organization.as_os_str());
    let options = at_rest::options(config, &folder, &name);
    let local = Local::open(&options).map_err(failed)?;
    let remote = local.remote();
    let Some((change, commit, tree, time)) = remote.pin else {
        return Err(unknown(&repository));
    };
    let bookmark = remote.bookmark.clone();
    let pin = Pin {
        change,
        commit,
        tree,
        time,
    };
    let store = Arc::new(Store::open(&config.cache.folder).map_err(Error::Store)?);
    let source = Arc::new(Unreachable(RepositorySource::domain_of(
        config.api_url.as_str(),
    )));
    let overlay = local
        .over(store, source, bookmark.as_deref(), pin, &options)
        .map_err(failed)?;
    let name = (&*organization.to_string(), &*name.to_string());
    export(data, name, &overlay, format)
}

/// Every repository that was ever opened.
fn known_names(repositories: &Path) -> Result<Vec<(Name, Name)>, Error> {
    let mut all = Vec::new();
    for organization in organizations(repositories)? {
        let folder = repositories.join(organization.as_os_str());
        let names = known::opened(&folder).map_err(|source| Error::Folder {
            path: folder.clone(),
            source,
        })?;
        all.extend(names.into_iter().map(|name| (organization.clone(), name)));
    }
    Ok(all)
}

/// The one repository with pending work.
fn pending_at_rest(config: &Config, repositories: &Path) -> Result<(Name, Name), Error> {
    let mut pending = known_names(repositories)?;
    pending.retain(|(organization, name)| {
        let folder = repositories.join(organization.as_os_str());
        // A damaged one may have work as well; it must be named to be tried.
        at_rest::look(config, &folder, organization, name)
            .pending
            .operations
            > 0
    });
    match &pending[..] {
        [only] => Ok(only.clone()),
        several => {
            let shown = |(organization, name): &(Name, Name)| format!("{organization}/{name}");
            Err(which(several.iter().map(shown).collect()))
        }
    }
}

fn which(repositories: Vec<String>) -> Error {
    match repositories.is_empty() {
        true => Error::NothingPending,
        false => Error::WhichRepository { repositories },
    }
}

fn unknown(repo: &str) -> Error {
    Error::UnknownRepository {
        repository: repo.to_owned(),
    }
}

/// The repository that is meant by `org/repo`, or by its name.
fn local_name(data: &Path, repo: &str) -> Result<(Name, Name), Error> {
    let repositories = repositories_folder(data);
    let mut meant = known_names(&repositories)?;
    meant.retain(|(organization, name)| {
        is_named(repo, &organization.to_string(), &name.to_string())
    });
    match &meant[..] {
        [only] => Ok(only.clone()),
        [] => Err(unknown(repo)),
        _ => Err(Error::ManyRepositories),
    }
}

fn export(
    data: &Path,
    name: (&str, &str),
    overlay: &Overlay,
    format: Format,
) -> Result<Exported, Error> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("export".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || export_here(data, name, overlay, format))
            .map_err(Error::Setup)?;
        match thread.join() {
            Ok(exported) => exported,
            // Whoever called reports it as the bug that it is.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn export_here(
    data: &Path,
    (organization, name): (&str, &str),
    overlay: &Overlay,
    format: Format,
) -> Result<Exported, Error> {
    let repository = format!("{organization}/{name}");
    let failed = |source| Error::Export {
        repository: repository.clone(),
        source,
    };
    let folder = folder(data);
    private_folder(&folder)?;
    let remote = overlay.remote();
    let write =
        |capture: Capture| -> Result<(tempfile::NamedTempFile, export::Exported), export::Error> {
            let work = Work {
                organization,
                repository: name,
                bookmark: remote.bookmark.as_deref(),
                edits: &capture.edits,
                lower: overlay.lower(),
                left_out: capture.kept_local.iter().map(left_out).collect(),
                time: Timestamp::from(std::time::SystemTime::now()),
            };
            let file = tempfile::NamedTempFile::new_in(&folder).map_err(export::Error::Output)?;
            let mut out: BufWriter<&File> = BufWriter::with_capacity(BUFFER_BYTES, file.as_file());
            let exported = export::write(&work, format, &mut out)?;
            out.flush().map_err(export::Error::Output)?;
            drop(out);
            Ok((file, exported))
        };
    let operations = overlay.pending().operations;
    let in_place = survey(overlay, &repository, Overlay::survey)?;
    let (file, exported) = match write(in_place) {
        Err(export::Error::Torn) => {
            write(survey(overlay, &repository, Overlay::survey_copies)?).map_err(failed)?
        }
        other => other.map_err(failed)?,
    };
    let output = |source| failed(export::Error::Output(source));
    let bytes = file.as_file().metadata().map_err(output)?.len();
    let base = at_rest::base(&remote).ok_or_else(|| unknown(&repository))?;
    let (_file, path) = file.keep().map_err(|error| output(error.error))?;
    Ok(Exported {
        path: path.display().to_string(),
        org: organization.to_owned(),
        name: name.to_owned(),
        format,
        base,
        commit_oid: exported.commit.as_ref().map(|(oid, _)| oid.to_string()),
        reference: exported.commit.map(|(_, reference)| reference),
        count: exported.count,
        bytes,
        operations,
        left_out: exported.left_out,
    })
}

fn left_out(kept: &overlay::KeptLocal) -> LeftOut {
    LeftOut::new(
        &kept.path,
        match kept.reason {
            KeptLocalReason::SpecialFile => "a pipe, a socket or a device",
            KeptLocalReason::GitFolder => "a .git of its own",
            KeptLocalReason::NotText => "the path is not UTF-8",
            KeptLocalReason::Ignored => "an ignore rule matches it",
        },
    )
}

/// Captures, fetching what that misses.
fn survey(
    overlay: &Overlay,
    repository: &str,
    capture: impl Fn(&Overlay) -> Result<Capture, overlay::Error>,
) -> Result<Capture, Error> {
    let failed = |source| Error::Repository {
        name: repository.to_owned(),
        source,
    };
    for _ in 0..FETCHES_MAX {
        let want = match capture(overlay) {
            Err(overlay::Error::Missing(want)) => want,
            captured => return captured.map_err(failed),
        };
        match overlay.fetch(&want) {
            Err(overlay::Error::Lower(source)) => {
                return Err(Error::Export {
                    repository: repository.to_owned(),
                    source: missing(want, source),
                });
            }
            fetched => fetched.map_err(failed)?,
        }
    }
    Err(Error::Export {
        repository: repository.to_owned(),
        source: export::Error::Torn,
    })
}

fn missing(want: Want, source: crate::lower::Error) -> export::Error {
    let (needed, from) = match want {
        Want::Listing { path, .. } => (Needed::Listing, path),
        Want::Object { path, .. } | Want::Part { path, .. } => (Needed::Content, path),
    };
    export::Error::Missing {
        needed,
        from,
        source,
    }
}

/// A source that nobody can reach: there is no daemon that could, and maybe no server.
struct Unreachable(Domain);

impl Source for Unreachable {
    fn listing(
        &self,
        _pin: &Pin,
        _path: &TreePath,
        _tree: GitOid,
    ) -> Result<Vec<ListingEntry>, SourceError> {
        Err(SourceError::Offline)
    }

    fn object(
        &self,
        _pin: &Pin,
        _path: &TreePath,
        _oid: GitOid,
        _size: u64,
        _sink: &mut dyn Write,
    ) -> Result<(), SourceError> {
        Err(SourceError::Offline)
    }

    fn domain(&self) -> Domain {
        self.0
    }
}
