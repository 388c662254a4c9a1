//! Which repositories an explicitly mounted organization shows: those of the configuration, without
//! those that were closed, and those that were opened.
//!
//! `<data>/repos/<org>/selection.json` keeps what `mesa repo open` and `mesa repo close` changed. It
//! is replaced in one step, and before the change has any effect, so that the next mount shows what
//! this one does. It holds wishes and no work: what is pending is in the journals, and is pushed
//! whether its repository is shown or not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use super::at_rest::repositories_folder;
use super::control::Explicit;
use super::folders::publish;
use super::private_folder;
use crate::config::{Config, MountMode, Revision};
use crate::tree::Name;

const FILE: &str = "selection.json";

/// What was opened and closed by hand, in one organization.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Repositories with what they show; `null` leaves that to the configuration.
    opened: BTreeMap<String, Option<String>>,
    /// Repositories of the configuration that are not shown.
    closed: BTreeSet<String>,
}

/// The selections of all organizations that are mounted explicitly.
pub struct Selection {
    config: Arc<Config>,
    folder: PathBuf,
    kept: RwLock<HashMap<String, Kept>>,
}

impl Selection {
    /// Reads what was kept. A selection that is damaged counts as none, and is told of: the
    /// configuration's own still shows, and `mesa repo open` makes a new one.
    pub fn read(config: &Arc<Config>) -> Selection {
        let folder = repositories_folder(&config.data_folder);
        let organizations = config.organizations.iter();
        let explicit = organizations.filter(|(_, one)| one.mount == MountMode::Explicit);
        let kept = explicit.map(|(name, _)| {
            let kept = read(&folder.join(name)).unwrap_or_else(|error| {
                tracing::error!(organization = %name, error = %error, "the selection is not read");
                Kept::default()
            });
            (name.clone(), kept)
        });
        Selection {
            kept: RwLock::new(kept.collect()),
            config: Arc::clone(config),
            folder,
        }
    }

    /// The names that an organization shows; `None` when it shows all that the server has.
    pub(super) fn names(&self, organization: &Name) -> Option<BTreeSet<Name>> {
        let organization = organization.to_string();
        let kept = self.kept.read();
        let names = self.shown(&organization, kept.get(&organization)?);
        Some(
            names
                .filter_map(|name| Name::try_from(name.as_str()).ok())
                .collect(),
        )
    }

    /// Whether an organization shows only what was selected.
    pub(super) fn is_explicit(&self, organization: &Name) -> bool {
        self.kept.read().contains_key(&organization.to_string())
    }

    /// Whether a repository may be looked at. Never blocks.
    pub(super) fn shows(&self, organization: &Name, repository: &Name) -> bool {
        let names = self.names(organization);
        names.is_none_or(|names| names.contains(repository))
    }

    /// What a repository is to show.
    pub(super) fn revision(&self, organization: &str, repository: &str) -> Revision {
        let opened = self.kept.read().get(organization).and_then(|kept| {
            let text = kept.opened.get(repository)?.as_deref()?;
            Revision::try_from(text).ok()
        });
        opened.unwrap_or_else(|| self.configured(organization, repository))
    }

    /// What a repository shows if nobody says anything else.
    pub(super) fn configured(&self, organization: &str, repository: &str) -> Revision {
        let organization = self.config.organizations.get(organization);
        let settings = organization.and_then(|one| one.repositories.get(repository));
        settings
            .map(|settings| settings.revision.clone())
            .unwrap_or_default()
    }

    /// Everything that is shown explicitly.
    pub fn explicit(&self) -> Explicit {
        let kept = self.kept.read();
        let organizations = kept.iter().map(|(organization, kept)| {
            let repositories = self.shown(organization, kept).map(|name| {
                let text = match kept.opened.get(name) {
                    Some(Some(text)) => Some(text.clone()),
                    _ => match self.configured(organization, name) {
                        Revision::DefaultBookmark => None,
                        revision => Some(revision.to_string()),
                    },
                };
                (name.clone(), text)
            });
            (organization.clone(), repositories.collect())
        });
        Explicit {
            organizations: organizations.collect(),
        }
    }

    /// Shows a repository; kept when this returns, also over a power cut.
    ///
    /// # Errors
    ///
    /// What the disk says; nothing has changed then.
    pub(super) fn open(
        &self,
        organization: &str,
        repository: &str,
        revision: Option<&Revision>,
    ) -> io::Result<()> {
        self.change(organization, |kept| {
            kept.closed.remove(repository);
            let revision = revision.map(Revision::to_string);
            kept.opened.insert(repository.to_owned(), revision);
        })
    }

    /// Shows a repository no more; kept when this returns, as by [`Selection::open`].
    ///
    /// # Errors
    ///
    /// What the disk says; nothing has changed then.
    pub(super) fn close(&self, organization: &str, repository: &str) -> io::Result<()> {
        let configured = self.config.organizations.get(organization);
        let is_configured = configured.is_some_and(|one| one.repositories.contains_key(repository));
        self.change(organization, |kept| {
            kept.opened.remove(repository);
            if is_configured {
                kept.closed.insert(repository.to_owned());
            }
        })
    }

    /// One change at a time, which the caller sees to: no lock is held while the disk is waited for.
    fn change(&self, organization: &str, change: impl FnOnce(&mut Kept)) -> io::Result<()> {
        let kept = self.kept.read().get(organization).cloned();
        let mut kept = kept.ok_or(io::ErrorKind::NotFound)?;
        change(&mut kept);
        let folder = self.folder.join(organization);
        private_folder(&folder).map_err(io::Error::other)?;
        publish(&folder.join(FILE), &serde_json::to_vec_pretty(&kept)?)?;
        self.kept.write().insert(organization.to_owned(), kept);
        Ok(())
    }

    /// The names that an organization shows, in no order.
    fn shown<'a>(
        &'a self,
        organization: &str,
        kept: &'a Kept,
    ) -> impl Iterator<Item = &'a String> + use<'a> {
        let configured = self.config.organizations.get(organization);
        let configured = configured
            .into_iter()
            .flat_map(|one| one.repositories.keys());
        configured
            .filter(|name| !kept.closed.contains(*name))
            .chain(kept.opened.keys())
    }
}

fn read(folder: &Path) -> io::Result<Kept> {
    match std::fs::read(folder.join(FILE)) {
        Ok(text) => Ok(serde_json::from_slice(&text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error),
    }
}
