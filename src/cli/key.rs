//! `mesa key`: API keys, and keys of the organization that sign tokens for it.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use rand::RngCore;
use serde::Serialize;
use zeroize::Zeroizing;

use super::exit::Exit;
use super::{Context, Error, duration, output, repo};
use crate::config::Config;
use crate::daemon::Service;
use crate::remote::api::token::PrivateKey;
use crate::remote::api::{ApiKey, KeyStatus, NewApiKey};
use crate::remote::{Failure, RepositoryName};

/// Makes, lists and revokes keys of the organization.
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make a key, and print it alone: it is shown this once.
    Create(Create),
    /// List keys, never their values.
    List(List),
    /// Revoke a key and every token that it signed, at once and for good.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// What it is for.
    #[arg(long)]
    name: Option<String>,
    /// What it may do.
    #[arg(
        long,
        value_name = "SCOPE,...",
        value_delimiter = ',',
        default_value = "read,write",
        value_parser = ["read", "write", "admin"]
    )]
    scope: Vec<String>,
    /// A repository that it is good for, as REPO or ORG/REPO; may be given again [default: all]
    #[arg(long, value_name = "REPO", value_delimiter = ',')]
    repo: Vec<String>,
    /// How long it lives, 365 days at most [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires: Option<Duration>,
    /// A label; may be given again.
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    tag: Vec<(String, String)>,
    /// Make a private key, which signs tokens and is never sent: the server gets its public half.
    #[arg(long)]
    private_key: bool,
    /// The organization [default: MESA_ORG, or the credential's]
    #[arg(long)]
    org: Option<String>,
    /// Print JSON, the key included.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// List those that are revoked or have expired, too.
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
pub(super) struct Revoke {
    /// Its id, as `mesa key list` shows it.
    id: String,
    /// The organization [default: MESA_ORG, or the credential's]
    #[arg(long)]
    org: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A new key, as `--json` shows it.
#[derive(Serialize)]
struct Created<'a> {
    id: &'a str,
    org: &'a str,
    name: Option<&'a str>,
    /// The value: an API key, or a private key.
    key: &'a str,
    /// Of a private key.
    public_key: Option<&'a str>,
    scopes: &'a [String],
    repo_ids: Option<&'a [String]>,
    expires_at: Option<&'a str>,
}

/// Does what was asked.
///
/// # Errors
///
/// What the server says.
pub(super) fn run(verb: &Key, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let service = Service::new(&config)?;
    match verb {
        Key::Create(arguments) => create(arguments, &config, &service),
        Key::List(arguments) => list(arguments, &config, &service),
        Key::Revoke(arguments) => revoke(arguments, &config, &service),
    }
}

fn remote_error(failure: Failure) -> Error {
    match failure {
        Failure::Forbidden => Error::KeysForbidden(failure),
        failure => Error::Remote(failure),
    }
}

fn create(arguments: &Create, config: &Config, service: &Service) -> Result<Exit, Error> {
    let expires_in_seconds = match arguments.expires.map(|life| life.as_secs()) {
        Some(seconds) if seconds < 100 => return Err(Error::KeyLifetime),
        seconds => seconds,
    };
    let organization = repo::organization(&arguments.org, config, service)?;
    let private = arguments.private_key.then(|| {
        let mut seed = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(seed.as_mut());
        PrivateKey::of_seed(&organization, &seed)
    });
    let new = NewApiKey {
        name: arguments.name.clone(),
        scopes: Some(arguments.scope.clone()),
        repo_ids: repository_ids(&arguments.repo, &organization, service)?,
        expires_in_seconds,
        tags: Some(arguments.tag.iter().cloned().collect::<BTreeMap<_, _>>())
            .filter(|tags| !tags.is_empty()),
        public_key: private.as_ref().map(|key| key.public_key().to_string()),
    };
    let made = service.remote().create_key(&organization, &new);
    let made = made.map_err(remote_error)?;
    // A server that does not know the field has made an API key instead.
    let value = match (&private, &made.key) {
        (Some(private), None) if made.public_key == new.public_key => private.expose(),
        (None, Some(value)) => Zeroizing::new(value.expose().to_owned()),
        _ => {
            let revoked = service.remote().revoke_key(&organization, &made.id);
            revoked.map_err(remote_error)?;
            return Err(Error::OtherKey);
        }
    };
    if arguments.json {
        output::json(&Created {
            id: &made.id,
            org: &organization,
            name: made.name.as_deref(),
            key: &value,
            public_key: made.public_key.as_deref(),
            scopes: &made.scopes,
            repo_ids: made.repo_ids.as_deref(),
            expires_at: made.expires_at.as_deref(),
        })?;
    } else {
        output::data(value.as_str())?;
        output::talk(format_args!(
            "made the key {}; its value is shown this once",
            made.id
        ));
    }
    Ok(Exit::Done)
}

/// The ids of repositories, since a key stays with a repository that is renamed.
fn repository_ids(
    names: &[String],
    organization: &str,
    service: &Service,
) -> Result<Option<Vec<String>>, Error> {
    let mut ids = Vec::new();
    for name in names {
        let own = format!("{organization}/");
        let name = name.strip_prefix(&own).unwrap_or(name);
        let name = RepositoryName::new(organization, name).map_err(Error::Remote)?;
        let found = service.remote().repository(&name);
        ids.push(found.map_err(Error::Remote)?.id);
    }
    Ok(Some(ids).filter(|ids| !ids.is_empty()))
}

fn list(arguments: &List, config: &Config, service: &Service) -> Result<Exit, Error> {
    let organization = repo::organization(&arguments.org, config, service)?;
    let status = match arguments.all {
        true => KeyStatus::All,
        false => KeyStatus::Active,
    };
    let keys = service.remote().keys(&organization, status);
    let keys = keys.map_err(remote_error)?;
    if arguments.json {
        output::json(&keys)?;
        return Ok(Exit::Done);
    }
    for key in &keys {
        output::data(line(key))?;
    }
    Ok(Exit::Done)
}

fn line(key: &ApiKey) -> String {
    let mut text = format!(
        "{} {}: {}",
        key.id,
        key.name.as_deref().unwrap_or("(no name)"),
        key.scopes.join(",")
    );
    match &key.repo_ids {
        Some(ids) => {
            let some = output::counted(ids.len() as u64, "repository", "repositories");
            text.push_str(&format!(" on {some}"));
        }
        None => text.push_str(" on all repositories"),
    }
    if key.public_key.is_some() {
        text.push_str(", signs tokens with a private key");
    }
    match &key.last_used_at {
        Some(at) => text.push_str(&format!(", used at {at}")),
        None => text.push_str(", never used"),
    }
    match (&key.revoked_at, &key.expires_at) {
        (Some(at), _) => text.push_str(&format!(", revoked at {at}")),
        (None, Some(at)) => text.push_str(&format!(", ends at {at}")),
        (None, None) => {}
    }
    text
}

fn revoke(arguments: &Revoke, config: &Config, service: &Service) -> Result<Exit, Error> {
    let organization = repo::organization(&arguments.org, config, service)?;
    let revoked = service.remote().revoke_key(&organization, &arguments.id);
    revoked.map_err(remote_error)?;
    if arguments.json {
        output::json(&serde_json::json!({"id": arguments.id, "revoked": true}))?;
    } else {
        output::talk(format_args!(
            "revoked {}, and every token that it signed",
            arguments.id
        ));
    }
    Ok(Exit::Done)
}

/// Why an argument is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("want NAME=VALUE")]
struct LabelError;

fn label(text: &str) -> Result<(String, String), LabelError> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(LabelError),
    }
}
