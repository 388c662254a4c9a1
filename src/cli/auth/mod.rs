//! `mesa auth`: stores credentials, lists and removes them, and says which one is used.
//!
//! A running daemon is told of every change, so that it goes on with it at once.

mod list;
mod set_key;
mod status;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::{Context, Error, output};
use crate::config::Config;
use crate::daemon::control::{Answer, CredentialAnswer, CredentialRequest, Handed, Request, ask};
use crate::daemon::{self, control_socket};
use crate::secrets::{Place, Scope};

/// Stores credentials, and says which one is used.
#[derive(Debug, Subcommand)]
pub(super) enum Auth {
    /// Store an API key or an access token, and give it to the running daemon.
    SetKey(set_key::SetKey),
    /// List the credentials that there are, never their values.
    List(list::List),
    /// Remove a stored credential.
    Remove(Remove),
    /// Show which credential is used, what it may do, and when it expires.
    Status(status::Arguments),
}

/// What a credential is for.
#[derive(Debug, Clone, Args)]
pub(super) struct Target {
    /// Only for this organization [default: for everything]
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Only for this repository, as REPO with --org, or as ORG/REPO.
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,
}

impl Target {
    /// The place that is named.
    ///
    /// # Errors
    ///
    /// A repository without its organization, or names that cannot be.
    fn place(&self) -> Result<Place, Error> {
        let whole = self.repo.as_deref().and_then(|repo| repo.split_once('/'));
        let (org, repo) = match (&self.org, whole) {
            (None, Some((org, repo))) => (Some(org), Some(repo)),
            (org, _) => (org.as_deref(), self.repo.as_deref()),
        };
        Place::named(org, repo).map_err(|source| Error::Daemon(source.into()))
    }
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    target: Target,
}

/// Does what was asked.
///
/// # Errors
///
/// The store, the daemon, or the server.
pub(super) fn run(verb: &Auth, context: &Context) -> Result<Exit, Error> {
    match verb {
        Auth::SetKey(arguments) => set_key::run(arguments, context),
        Auth::List(arguments) => list::run(arguments, context),
        Auth::Remove(arguments) => remove(arguments, context),
        Auth::Status(arguments) => status::run(arguments, context),
    }
}

fn remove(arguments: &Remove, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let place = arguments.target.place()?;
    context.unlock(&config)?;
    let removed = config.secrets.remove(&place).map_err(Error::Secrets)?;
    let (org, repo) = names(&place);
    let told = tell(&config, CredentialRequest::Forget { org, repo });
    if !removed {
        return Err(Error::NotStored {
            place: place.to_string(),
        });
    }
    output::talk(format_args!("removed the credential for {place}"));
    told?;
    Ok(Exit::Done)
}

/// Gives a running daemon what this environment has, so that mounting again renews its credential.
///
/// # Errors
///
/// The daemon does not answer as it should; that there is none is no failure.
pub(super) fn hand_over(config: &Config) -> Result<(), Error> {
    for (place, variable, credential) in &config.secrets.sources().environment {
        let (org, repo) = names(place);
        let adopt = CredentialRequest::Adopt {
            org,
            repo,
            credential: Handed(credential.clone()),
            from: (*variable).to_owned(),
        };
        tell(config, adopt)?;
    }
    Ok(())
}

/// Tells the daemon; `None` when there is none.
fn tell(config: &Config, request: CredentialRequest) -> Result<Option<CredentialAnswer>, Error> {
    match ask(&control_socket(config), &Request::Credential(request)) {
        Ok(Answer::Credential(answer)) => Ok(Some(answer)),
        Ok(_) => Err(Error::UnexpectedAnswer),
        Err(daemon::Error::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn names(place: &Place) -> (Option<String>, Option<String>) {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    (owned(place.organization()), owned(place.repository()))
}

/// What most of what this configuration mounts is asked for with.
fn scope_of(config: &Config) -> Scope<'_> {
    daemon::credentials::scope_of(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_in_either_way() {
        let place = |org: Option<&str>, repo: Option<&str>| {
            let target = Target {
                org: org.map(str::to_owned),
                repo: repo.map(str::to_owned),
            };
            target.place()
        };
        assert_eq!(place(None, None).unwrap(), Place::Global);
        let app = Place::Repository("acme".into(), "app".into());
        assert_eq!(place(Some("acme"), Some("app")).unwrap(), app);
        assert_eq!(place(None, Some("acme/app")).unwrap(), app);
        for (org, repo) in [
            (None, Some("app")),
            (Some("acme"), Some("acme/app")),
            (Some(""), None),
        ] {
            assert!(place(org, repo).is_err(), "{org:?} {repo:?}");
        }
    }
}
