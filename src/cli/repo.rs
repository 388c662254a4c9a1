//! `mesa repo`: repositories of the server, and which of them an explicit mount shows.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::exit::Exit;
use super::umount::DRAIN_DEFAULT;
use super::{Context, Error, duration, output, remains};
use crate::config::Config;
use crate::daemon::control::{Answer, Drained, RepoAnswer, RepoRequest, Request, ask, ask_now};
use crate::daemon::{self, Selection, Service, control_socket};
use crate::remote::api::NewRepo;
use crate::secrets::Scope;

/// Makes and lists repositories, and opens and closes them in an explicit mount.
#[derive(Debug, Subcommand)]
pub(super) enum Repository {
    /// Make an empty repository on the server.
    Create(Create),
    /// List the repositories that the mount shows.
    List(List),
    /// Show a repository in a mount whose organization is explicit, now and after the next mount.
    Open(Open),
    /// Show a repository no more; what it has is pushed first.
    Close(Close),
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
    /// List all that the credential can see, and say which are not shown.
    #[arg(long)]
    all: bool,
    /// The organization [default: MESA_ORG, or the credential's]
    #[arg(long)]
    org: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Open {
    /// Its name.
    name: String,
    /// The organization, if several are mounted.
    #[arg(long)]
    org: Option<String>,
    /// What to show: bookmark:NAME or change-id:ID [default: the configuration's]
    #[arg(long)]
    rev: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Close {
    /// Its name.
    name: String,
    /// The organization, if several are mounted.
    #[arg(long)]
    org: Option<String>,
    /// How long to push before.
    #[arg(long, value_name = "DURATION", default_value = DRAIN_DEFAULT, value_parser = duration::parse)]
    timeout: Duration,
    /// Close it in spite of open files and of what remains, which goes on being pushed.
    #[arg(long)]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A new repository, as `--json` shows it.
#[derive(Serialize)]
struct Created {
    org: String,
    name: String,
    default_bookmark: String,
    head_change_id: String,
}

/// A repository of a list, as `--json` shows it.
#[derive(Serialize)]
struct Listed {
    org: String,
    name: String,
    /// `null` when the server was not asked, as is the next.
    default_bookmark: Option<String>,
    head_change_id: Option<String>,
    /// Whether the mount shows it.
    shown: bool,
    /// What it is to show; `null` for the default bookmark.
    rev: Option<String>,
}

/// Does what was asked.
///
/// # Errors
///
/// What the server says, or the daemon.
pub(super) fn run(verb: &Repository, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    match verb {
        Repository::Create(arguments) => create(arguments, &config),
        Repository::List(arguments) => list(arguments, config),
        Repository::Open(arguments) => open(arguments, &config),
        Repository::Close(arguments) => close(arguments, &config),
    }
}

fn create(arguments: &Create, config: &Config) -> Result<Exit, Error> {
    let service = Service::new(config)?;
    let organization = organization(&arguments.org, config, &service)?;
    let new = NewRepo {
        name: Some(arguments.name.clone()),
        ..NewRepo::default()
    };
    let created = service.remote().create_repository(&organization, &new);
    let created = created.map_err(Error::Remote)?;
    if arguments.json {
        output::json(&Created {
            org: created.org,
            name: created.name,
            default_bookmark: created.default_bookmark,
            head_change_id: created.head_change_id.to_string(),
        })?;
    } else {
        output::data(format_args!("{}/{}", created.org, created.name))?;
    }
    Ok(Exit::Done)
}

fn list(arguments: &List, config: Config) -> Result<Exit, Error> {
    let config = Arc::new(config);
    let explicit = match ask_now(&control_socket(&config), &Request::Repo(RepoRequest::List)) {
        Ok(Answer::Explicit(explicit)) => explicit,
        Ok(_) => return Err(Error::UnexpectedAnswer),
        // What the next mount shows.
        Err(daemon::Error::NotRunning { .. }) => Selection::read(&config).explicit(),
        Err(error) => return Err(error.into()),
    };
    let service = Service::new(&config)?;
    let organization = organization(&arguments.org, &config, &service)?;
    let is_mounted =
        config.organizations.is_empty() || config.organizations.contains_key(&organization);
    let shown: Vec<Listed> = match explicit.organizations.get(&organization) {
        // Nobody has to be asked, so it works without a network.
        Some(selected) if !arguments.all => selected
            .iter()
            .map(|(name, rev)| Listed {
                org: organization.clone(),
                name: name.clone(),
                default_bookmark: None,
                head_change_id: None,
                shown: true,
                rev: rev.clone(),
            })
            .collect(),
        selected => {
            let repos = service.remote().repositories(&organization);
            let repos = repos.map_err(Error::Remote)?.into_iter();
            repos
                .map(|repo| Listed {
                    shown: selected.map_or(is_mounted, |all| all.contains_key(&repo.name)),
                    rev: selected.and_then(|all| all.get(&repo.name).cloned().flatten()),
                    org: repo.org,
                    name: repo.name,
                    default_bookmark: Some(repo.default_bookmark),
                    head_change_id: Some(repo.head_change_id.to_string()),
                })
                .collect()
        }
    };
    if arguments.json {
        output::json(&shown)?;
        return Ok(Exit::Done);
    }
    for repo in shown {
        let mark = if repo.shown { "" } else { " (not shown)" };
        output::data(format_args!("{}/{}{mark}", repo.org, repo.name))?;
    }
    Ok(Exit::Done)
}

fn open(arguments: &Open, config: &Config) -> Result<Exit, Error> {
    let answer = request(
        config,
        RepoRequest::Open {
            org: arguments.org.clone(),
            name: arguments.name.clone(),
            rev: arguments.rev.clone(),
        },
    )?;
    if arguments.json {
        output::json(&answer)?;
    } else {
        let path = config.mount_point.join(&answer.org).join(&answer.name);
        output::data(path.display())?;
    }
    Ok(Exit::Done)
}

fn close(arguments: &Close, config: &Config) -> Result<Exit, Error> {
    let answer = request(
        config,
        RepoRequest::Close {
            org: arguments.org.clone(),
            name: arguments.name.clone(),
            timeout_ms: duration::milliseconds(arguments.timeout),
            force: arguments.force,
        },
    )?;
    if arguments.json {
        output::json(&answer)?;
    }
    if answer.open_files > 0 {
        let name = format!("{}/{}", answer.org, answer.name);
        let files = output::counted(answer.open_files, "file is open", "files are open");
        if answer.shown {
            return Err(Error::RepositoryInUse { name, files });
        }
        output::talk(format_args!(
            "{files} in {name}, which can be used until they are closed"
        ));
    }
    let remains = Drained {
        remains: answer.remains.into_iter().collect(),
    };
    let consequence = if answer.shown {
        "it is still open; --force closes it, and what remains goes on being pushed"
    } else {
        "it is closed, and what remains goes on being pushed"
    };
    Ok(remains::report(&remains, consequence))
}

fn request(config: &Config, request: RepoRequest) -> Result<RepoAnswer, Error> {
    match ask(&control_socket(config), &Request::Repo(request))? {
        Answer::Repo(answer) => Ok(*answer),
        _ => Err(Error::UnexpectedAnswer),
    }
}

/// The organization of the flag, of the configuration if it has exactly one, or the credential's.
pub(super) fn organization(
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
