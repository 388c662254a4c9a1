//! Which organizations and repositories there are: asked of the server, remembered for some seconds,
//! and kept on disk for times without it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;

use super::at_rest::{self, repositories_folder};
use super::selection::Selection;
use super::status::CredentialTrouble;
use super::{Error, Service, known, private_folder};
use crate::config::Config;
use crate::fuse::OpenError;
use crate::lower::SourceError;
use crate::remote::{Failure, Remote};
use crate::secrets::Scope;
use crate::tree::Name;

/// How old a list of repositories may be before it is asked for again: a look-up of a name that is
/// none (`.git`) costs at most one request in this time, and a repository made elsewhere shows up
/// soon after the first look that follows it.
const LIST_FRESH: Duration = Duration::from_secs(10);

/// The lists of repositories of all organizations.
///
/// What is known is told at once, however old it is; what is old is asked for in the background. So
/// nobody who looks at the mount waits for a server that has been there once.
pub(super) struct Lists {
    selection: Arc<Selection>,
    remote: Arc<Remote>,
    /// Where each organization has its directory.
    folder: PathBuf,
    read: Mutex<HashMap<Name, Read>>,
    /// Organizations that are being asked for, each with what is closed when that is over.
    asking: Mutex<HashMap<Name, Receiver<()>>>,
    /// What the last answer said of the credential, if it was not good.
    refused: Mutex<Option<CredentialTrouble>>,
}

/// A list, and when the server was last asked for it.
#[derive(Clone)]
struct Read {
    names: Arc<BTreeSet<Name>>,
    asked: Option<Instant>,
}

impl Read {
    fn is_fresh(&self) -> bool {
        self.asked.is_some_and(|asked| asked.elapsed() < LIST_FRESH)
    }
}

impl Lists {
    /// Nothing is read yet.
    pub(super) fn new(config: &Config, remote: &Arc<Remote>, selection: &Arc<Selection>) -> Lists {
        Lists {
            selection: Arc::clone(selection),
            remote: Arc::clone(remote),
            folder: repositories_folder(&config.data_folder),
            read: Mutex::default(),
            asking: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// What is wrong with the credential, as far as the last list tells.
    pub(super) fn credential(&self) -> Option<CredentialTrouble> {
        *self.refused.lock()
    }

    /// There is another credential, of which nothing is known yet.
    pub(super) fn credential_changed(&self) {
        *self.refused.lock() = None;
    }

    /// The names of an organization's repositories as far as they are known here. Never waits for the
    /// server, and asks it in the background for what is old.
    pub(super) fn known(self: &Arc<Lists>, organization: &Name) -> Option<Arc<BTreeSet<Name>>> {
        if let Some(names) = self.selection.names(organization) {
            return Some(Arc::new(names));
        }
        let read = self.last(organization)?;
        if !read.is_fresh() {
            let _not_waited_for = self.refresh(organization, None);
        }
        Some(read.names)
    }

    /// The list as it was last, here or before this mount.
    fn last(&self, organization: &Name) -> Option<Read> {
        let read = self.read.lock().get(organization).cloned();
        if read.is_some() {
            return read;
        }
        let folder = self.folder.join(organization.as_os_str());
        let names = known::read(&folder).unwrap_or_default();
        if names.is_empty() {
            return None;
        }
        let names = Arc::new(names);
        let read = Read { names, asked: None };
        let mut all = self.read.lock();
        Some(all.entry(organization.clone()).or_insert(read).clone())
    }

    /// The same, asked of the server if nothing is known. Blocks.
    ///
    /// # Errors
    ///
    /// The server cannot be asked, and nothing is known from before.
    pub(super) fn names(
        self: &Arc<Lists>,
        organization: &Name,
    ) -> Result<Arc<BTreeSet<Name>>, OpenError> {
        if let Some(names) = self.known(organization) {
            return Ok(names);
        }
        let asked = self.asking.lock().get(organization).cloned();
        if let Some(over) = asked {
            let _closed = over.recv();
            if let Some(names) = self.known(organization) {
                return Ok(names);
            }
        }
        self.names_now(organization, None)
    }

    /// Asks for every list, and waits so long for the answers where one is known that may be old: what
    /// is new is then there from the first look on. Who needs one that was never read waits for it then.
    ///
    /// A server that refuses the connection is given up early, which only the start of a mount may do: nobody
    /// reads yet who would go on trying for longer.
    pub(super) fn warm(self: &Arc<Lists>, organizations: &[Name], patience: Duration) {
        let deadline = Instant::now() + patience;
        let asked: Vec<Receiver<()>> = organizations
            .iter()
            .filter(|organization| !self.selection.is_explicit(organization))
            .filter_map(|organization| match self.last(organization) {
                Some(_) => self.refresh(organization, Some(patience)),
                None => {
                    let _not_waited_for = self.refresh(organization, None);
                    None
                }
            })
            .collect();
        for answer in asked {
            let _answered_or_late = answer.recv_deadline(deadline);
        }
    }

    /// Asks for a list in the background, once at a time; what comes back is closed when that is
    /// over. A server that is away is not asked, nor any longer that says nothing for `unheard`.
    fn refresh(
        self: &Arc<Lists>,
        organization: &Name,
        unheard: Option<Duration>,
    ) -> Option<Receiver<()>> {
        let (done, over) = bounded(0);
        {
            let mut asking = self.asking.lock();
            if self.remote.is_offline() || asking.contains_key(organization) {
                return None;
            }
            asking.insert(organization.clone(), over.clone());
        }
        let lists = Arc::clone(self);
        let name = organization.clone();
        let started = thread::Builder::new().name("list".into()).spawn(move || {
            if let Err(error) = lists.names_now(&name, unheard) {
                tracing::debug!(error = %error, "the list of repositories stays as it was");
            }
            lists.asking.lock().remove(&name);
            drop(done);
        });
        if started.is_err() {
            self.asking.lock().remove(organization);
        }
        Some(over)
    }

    fn names_now(
        &self,
        organization: &Name,
        unheard: Option<Duration>,
    ) -> Result<Arc<BTreeSet<Name>>, OpenError> {
        let folder = self.folder.join(organization.as_os_str());
        let slug = organization.to_string();
        let asked = match unheard {
            Some(unheard) => self.remote.repositories_unless_unheard(&slug, unheard),
            None => self.remote.repositories(&slug),
        };
        match &asked {
            Ok(_) => *self.refused.lock() = None,
            Err(Failure::CredentialMissing(_)) => {
                *self.refused.lock() = Some(CredentialTrouble::Missing);
            }
            Err(Failure::CredentialExpired) => {
                *self.refused.lock() = Some(CredentialTrouble::Expired);
            }
            Err(Failure::CredentialRevoked) => {
                *self.refused.lock() = Some(CredentialTrouble::Revoked);
            }
            Err(failure) if failure.needs_credential() => {
                *self.refused.lock() = Some(CredentialTrouble::Unknown);
            }
            Err(_) => {}
        }
        let names = match asked {
            Ok(repos) => {
                let listed: BTreeSet<Name> = repos
                    .iter()
                    .filter_map(|repo| Name::try_from(repo.name.as_str()).ok())
                    .collect();
                if let Err(error) = keep(&folder, &listed) {
                    tracing::warn!(error = %error, "the list of repositories is not kept");
                }
                let opened = known::opened(&folder).map_err(OpenError::State)?;
                listed.union(&opened).cloned().collect()
            }
            Err(failure) => {
                let names = known::read(&folder).map_err(OpenError::State)?;
                if names.is_empty() {
                    return Err(SourceError::from(failure).into());
                }
                names
            }
        };
        let names = Arc::new(names);
        let read = Read {
            names: Arc::clone(&names),
            // Once the server is back, it is asked at the next look.
            asked: (!self.remote.is_offline()).then(Instant::now),
        };
        self.read.lock().insert(organization.clone(), read);
        Ok(names)
    }
}

fn keep(folder: &Path, names: &BTreeSet<Name>) -> io::Result<()> {
    private_folder(folder).map_err(io::Error::other)?;
    known::write(folder, names)
}

/// The organizations to mount: the configuration's, else the credential's, else those that the data
/// directory knows. A server that cannot be asked is no hindrance once something is known.
///
/// # Errors
///
/// Nothing is known nor named and the server cannot be asked, or it refuses the credential.
pub(super) fn organizations(config: &Config, service: &Service) -> Result<Vec<Name>, Error> {
    let folder = repositories_folder(&config.data_folder);
    let known = at_rest::organizations(&folder)?;
    let named = config.organizations.keys();
    let named: Vec<Name> = named
        .filter_map(|name| Name::try_from(name.as_str()).ok())
        .collect();
    let local = named.iter().any(|name| known.contains(name));
    if local || (named.is_empty() && !known.is_empty()) {
        return Ok(if named.is_empty() { known } else { named });
    }
    // Nothing is known: a mount that can show nothing would only hide why. With a name there is at
    // least its directory, which fills once the server can be reached.
    let scope = match config.organizations.keys().next() {
        Some(organization) => Scope::Organization { organization },
        None => Scope::Global,
    };
    let whoami = match service.remote().whoami(scope) {
        Err(failure) if failure.is_unreachable() && !named.is_empty() => {
            tracing::warn!(error = %failure, "mounted without having heard of the server");
            return Ok(named);
        }
        asked => asked.map_err(Error::Remote)?,
    };
    if named.is_empty() {
        let slug = Name::try_from(whoami.org.slug.as_str());
        return slug.map(|slug| vec![slug]).map_err(Error::Organization);
    }
    Ok(named)
}
