//! Which organizations and repositories there are: asked of the server, remembered for some seconds,
//! and kept on disk for times without it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::at_rest::{self, repositories_folder};
use super::{Error, Service, known, private_folder};
use crate::config::{Config, MountMode};
use crate::fuse::OpenError;
use crate::lower::SourceError;
use crate::remote::Remote;
use crate::secrets::Scope;
use crate::tree::Name;

/// How old a list of repositories may be: a look-up of a name that is none (`.git`) costs at most
/// one request in this time, and a repository made elsewhere shows up within it.
const LIST_FRESH: Duration = Duration::from_secs(10);
/// The lists of repositories of all organizations.
pub(super) struct Lists {
    config: Arc<Config>,
    remote: Arc<Remote>,
    /// Where each organization has its directory.
    folder: PathBuf,
    read: Mutex<HashMap<Name, (Instant, BTreeSet<Name>)>>,
}

impl Lists {
    /// Nothing is read yet.
    pub(super) fn new(config: &Arc<Config>, remote: &Arc<Remote>) -> Lists {
        Lists {
            config: Arc::clone(config),
            remote: Arc::clone(remote),
            folder: repositories_folder(&config.data_folder),
            read: Mutex::default(),
        }
    }

    /// The names of an organization's repositories, of the last seconds or of now. Blocks.
    ///
    /// # Errors
    ///
    /// The server cannot be asked, and nothing is known from before.
    pub(super) fn names(&self, organization: &Name) -> Result<BTreeSet<Name>, OpenError> {
        if let Some((at, names)) = self.read.lock().get(organization)
            && at.elapsed() < LIST_FRESH
        {
            return Ok(names.clone());
        }
        let names = self.names_now(organization)?;
        let entry = (Instant::now(), names.clone());
        self.read.lock().insert(organization.clone(), entry);
        Ok(names)
    }

    fn names_now(&self, organization: &Name) -> Result<BTreeSet<Name>, OpenError> {
        let text = organization.to_string();
        let folder = self.folder.join(organization.as_os_str());
        let configured = self.config.organizations.get(&text);
        if let Some(configured) = configured
            && configured.mount == MountMode::Explicit
        {
            let names = configured.repositories.keys();
            return Ok(names
                .filter_map(|name| Name::try_from(name.as_str()).ok())
                .collect());
        }
        match self.remote.repositories(&text) {
            Ok(repos) => {
                let listed: BTreeSet<Name> = repos
                    .iter()
                    .filter_map(|repo| Name::try_from(repo.name.as_str()).ok())
                    .collect();
                if let Err(error) = keep(&folder, &listed) {
                    tracing::warn!(error = %error, "the list of repositories is not kept");
                }
                let opened = known::opened(&folder).map_err(OpenError::State)?;
                Ok(listed.union(&opened).cloned().collect())
            }
            Err(failure) => {
                let names = known::read(&folder).map_err(OpenError::State)?;
                if names.is_empty() {
                    return Err(SourceError::from(failure).into());
                }
                Ok(names)
            }
        }
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
/// Nothing is known, and the server cannot be asked.
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
    // Nothing is known: a mount that can show nothing would only hide why.
    let whoami = service
        .remote()
        .whoami(Scope::Global)
        .map_err(Error::Remote)?;
    if named.is_empty() {
        let slug = Name::try_from(whoami.org.slug.as_str());
        return slug.map(|slug| vec![slug]).map_err(Error::Organization);
    }
    Ok(named)
}
