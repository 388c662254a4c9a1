//! `mesa repo create` and `mesa repo list`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::{Context, Error, output};
use crate::config::Config;
use crate::daemon::Service;
use crate::remote::api::{NewRepo, Repo};
use crate::secrets::Scope;

/// Makes and lists repositories on the server.
#[derive(Debug, Subcommand)]
pub(super) enum Repository {
    /// Make an empty repository.
    Create(Create),
    /// List the repositories that the credential can see.
    List(List),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Its name.
    name: String,
    /// The organization [default: MESA_ORG, or the credential's]
    #[arg(long)]
    org: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// The organization [default: MESA_ORG, or the credential's]
    #[arg(long)]
    org: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A repository, as `--json` shows it.
#[derive(Serialize)]
struct Shown {
    org: String,
    name: String,
    default_bookmark: String,
    head_change_id: String,
}

impl From<Repo> for Shown {
    fn from(repo: Repo) -> Shown {
        Shown {
            org: repo.org,
            name: repo.name,
            default_bookmark: repo.default_bookmark,
            head_change_id: repo.head_change_id.to_string(),
        }
    }
}

/// Does what was asked.
///
/// # Errors
///
/// What the server says.
pub(super) fn run(verb: &Repository, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let service = Service::new(&config)?;
    match verb {
        Repository::Create(arguments) => {
            let organization = organization(&arguments.org, &config, &service)?;
            let new = NewRepo {
                name: Some(arguments.name.clone()),
                ..NewRepo::default()
            };
            let created = service.remote().create_repository(&organization, &new);
            let shown = Shown::from(created.map_err(Error::Remote)?);
            if arguments.json {
                output::json(&shown)?;
            } else {
                output::data(format_args!("{}/{}", shown.org, shown.name))?;
            }
        }
        Repository::List(arguments) => {
            let organization = organization(&arguments.org, &config, &service)?;
            let repos = service.remote().repositories(&organization);
            let shown = repos.map_err(Error::Remote)?.into_iter().map(Shown::from);
            if arguments.json {
                output::json(&shown.collect::<Vec<_>>())?;
            } else {
                for repo in shown {
                    output::data(format_args!("{}/{}", repo.org, repo.name))?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

/// The organization of the flag, of the configuration if it has exactly one, or the credential's.
fn organization(
    given: &Option<String>,
    config: &Config,
    service: &Service,
) -> Result<String, Error> {
    if let Some(given) = given {
        return Ok(given.clone());
    }
    let mut configured = config.organizations.keys();
    if let (Some(only), None) = (configured.next(), configured.next()) {
        return Ok(only.clone());
    }
    let whoami = service.remote().whoami(Scope::Global);
    Ok(whoami.map_err(Error::Remote)?.org.slug)
}
