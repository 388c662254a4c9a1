//! `mesa token create`: an access token, signed here with the API key of the environment.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::exit::Exit;
use super::{Context, Error, duration, output};
use crate::daemon::Service;
use crate::remote::api::token::{Lifetime, Request, SigningSecret};
use crate::secrets::Scope;

/// Makes access tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Sign a token with the API key in MESA_API_KEY, and print it alone.
    Create(Create),
}

#[derive(Debug, Args)]
pub(super) struct Create {
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
    /// How long the token lives, 24h at most.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = lifetime)]
    ttl: Lifetime,
}

/// Does what was asked.
///
/// # Errors
///
/// There is no API key, or the server does not know it.
pub(super) fn run(verb: &Token, context: &Context) -> Result<Exit, Error> {
    let Token::Create(arguments) = verb;
    let config = context.settings()?;
    let service = Service::new(&config)?;
    let key = config
        .secrets
        .find(Scope::Global)
        .map_err(|_missing| Error::NoApiKey)?
        .credential;
    if key.expires_at().is_some() {
        return Err(Error::TokenCannotSign);
    }
    // The id of the key is part of the token, and only the server knows it.
    let whoami = service
        .remote()
        .whoami(Scope::Global)
        .map_err(Error::Remote)?;
    let key_id = whoami.key_id.ok_or(Error::TokenCannotSign)?;
    let scopes: Vec<&str> = arguments.scope.iter().map(String::as_str).collect();
    let repos = (!arguments.repo.is_empty()).then_some(arguments.repo.as_slice());
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let request = Request {
        scopes: &scopes,
        repos,
        authors: &[],
        issued_at: since.unwrap_or(Duration::ZERO).as_secs(),
        lifetime: arguments.ttl,
        token_id: Uuid::new_v4(),
    };
    let token = SigningSecret::of_api_key(key.expose()).sign(&key_id, &request);
    output::data(token)?;
    Ok(Exit::Done)
}

/// Why an argument is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum ArgumentError {
    #[error("want ORG/REPO")]
    Repository,
    #[error(transparent)]
    Duration(#[from] duration::DurationError),
    #[error(transparent)]
    Lifetime(#[from] crate::remote::api::token::TokenError),
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
}
