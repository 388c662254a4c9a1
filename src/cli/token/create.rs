//! `mesa token create`: an access token, signed here with the key of the environment.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::cli::exit::Exit;
use crate::cli::{Context, Error, duration, output};
use crate::config::Config;
use crate::daemon::Service;
use crate::remote::api::token::{Lifetime, PrivateKey, Request, SigningSecret, TokenError};
use crate::remote::api::{Author, format_date};
use crate::secrets::Scope;

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// What the token may do; the server clamps it to what the key may do.
    #[arg(
        long,
        value_name = "SCOPE,...",
        value_delimiter = ',',
        default_value = "read,write",
        value_parser = ["read", "write", "admin"]
    )]
    scope: Vec<String>,
    /// A repository that the token is good for, as ORG/REPO; may be given again [default: all of the key's]
    #[arg(long, value_name = "ORG/REPO", value_delimiter = ',', value_parser = repository)]
    repo: Vec<String>,
    /// How long the token lives: 24h at most, 4h when a private key signs.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = lifetime)]
    ttl: Lifetime,
    /// Whose work the changes are that are made with it; may be given again.
    #[arg(long, value_name = "NAME <EMAIL>", value_parser = author)]
    author: Vec<Author>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A new token, as `--json` shows it.
#[derive(Serialize)]
struct Created<'a> {
    token: &'a str,
    scopes: &'a [String],
    repos: Option<&'a [String]>,
    expires_at: String,
}

/// Signs a token.
///
/// # Errors
///
/// There is no key, or the server does not know it.
pub(super) fn run(arguments: &Create, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let scopes: Vec<&str> = arguments.scope.iter().map(String::as_str).collect();
    let request = Request {
        scopes: &scopes,
        repos: (!arguments.repo.is_empty()).then_some(arguments.repo.as_slice()),
        authors: &arguments.author,
        issued_at: since.unwrap_or(Duration::ZERO).as_secs(),
        lifetime: arguments.ttl,
        token_id: Uuid::new_v4(),
    };
    let token = sign(&request, &config)?;
    if arguments.json {
        let end = request.issued_at + request.lifetime.seconds();
        output::json(&Created {
            token: &token,
            scopes: &arguments.scope,
            repos: request.repos,
            expires_at: format_date(end.cast_signed()),
        })?;
    } else {
        output::data(token)?;
    }
    Ok(Exit::Done)
}

fn sign(request: &Request<'_>, config: &Config) -> Result<String, Error> {
    let found = config.secrets.find(Scope::Global);
    let key = found.map_err(|_missing| Error::NoApiKey)?.credential;
    if PrivateKey::is_meant(key.expose()) {
        let key = PrivateKey::parse(key.expose()).map_err(Error::PrivateKey)?;
        return key.sign(request).map_err(Error::Unsignable);
    }
    if key.expires_at().is_some() {
        return Err(Error::TokenCannotSign);
    }
    // The id of the key is part of the token, and only the server knows it.
    let service = Service::new(config)?;
    let whoami = service.remote().whoami(Scope::Global);
    let whoami = whoami.map_err(Error::Remote)?;
    let key_id = whoami.key_id.ok_or(Error::TokenCannotSign)?;
    Ok(SigningSecret::of_api_key(key.expose()).sign(&key_id, request))
}

/// Why an argument is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum ArgumentError {
    #[error("want ORG/REPO")]
    Repository,
    #[error("want NAME or NAME <EMAIL>")]
    Author,
    #[error(transparent)]
    Duration(#[from] duration::DurationError),
    #[error(transparent)]
    Lifetime(#[from] TokenError),
}

fn repository(text: &str) -> Result<String, ArgumentError> {
    match text.split_once('/') {
        Some((org, repo)) if !org.is_empty() && !repo.is_empty() && !repo.contains('/') => {
            Ok(text.to_owned())
        }
        _ => Err(ArgumentError::Repository),
    }
}

fn lifetime(text: &str) -> Result<Lifetime, ArgumentError> {
    Ok(Lifetime::try_from(duration::parse(text)?.as_secs())?)
}

/// A name with an address behind it, as Git writes both, or a name alone.
fn author(text: &str) -> Result<Author, ArgumentError> {
    let text = text.trim();
    let (name, email) = match text.strip_suffix('>') {
        Some(rest) => {
            let (name, email) = rest.rsplit_once('<').ok_or(ArgumentError::Author)?;
            (name.trim(), Some(email.trim()))
        }
        None => (text, None),
    };
    let is_plain = |text: &str| !text.contains(['<', '>']) && !text.contains(char::is_control);
    match !name.is_empty() && is_plain(name) && email.is_none_or(is_plain) {
        true => Ok(Author {
            name: name.to_owned(),
            email: email.map(str::to_owned),
        }),
        false => Err(ArgumentError::Author),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_checked_before_anything_is_signed() {
        assert_eq!(repository("local/app").unwrap(), "local/app");
        for text in ["app", "/app", "local/", "a/b/c"] {
            assert_eq!(repository(text), Err(ArgumentError::Repository), "{text}");
        }
        assert_eq!(lifetime("15m").unwrap().seconds(), 900);
        for text in ["0s", "25h", "15"] {
            assert!(lifetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn authors_are_written_as_git_writes_them() {
        for (text, name, email) in [
            ("Ann", "Ann", None),
            ("Ann B <a@b>", "Ann B", Some("a@b")),
            (" Ann <> ", "Ann", Some("")),
        ] {
            let author = author(text).unwrap();
            assert_eq!(
                (author.name.as_str(), author.email.as_deref()),
                (name, email)
            );
        }
        for text in ["", "<a@b>", "Ann <a", "Ann a>", "A <b> <c>", "A\nB <c>"] {
            assert_eq!(author(text), Err(ArgumentError::Author), "{text}");
        }
    }
}
