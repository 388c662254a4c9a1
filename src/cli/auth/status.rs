//! `mesa auth status`: which credential is used, what the server says of it, and what a running daemon
//! uses.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::scope_of;
use crate::cli::exit::Exit;
use crate::cli::{Context, Error, duration, output};
use crate::daemon::control::{Answer, Request, ask};
use crate::daemon::status::{Credential, CredentialTrouble};
use crate::daemon::{self, Service, control_socket, credentials};
use crate::remote::api::Whoami;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Print JSON, in a shape that stays.
    #[arg(long)]
    json: bool,
}

/// Everything, as `--json` shows it.
#[derive(Serialize)]
struct Shown {
    /// The credential of this environment and its stores.
    credential: Credential,
    server: String,
    /// Who the server says it is; `null` when it does not say.
    whoami: Option<Identity>,
    /// Why it does not.
    error: Option<String>,
    /// What the running daemon uses; `null` without one.
    daemon: Option<Credential>,
}

#[derive(Serialize)]
struct Identity {
    org: String,
    key_id: Option<String>,
    key_name: Option<String>,
    scopes: Vec<String>,
}

impl From<Whoami> for Identity {
    fn from(whoami: Whoami) -> Identity {
        Identity {
            org: whoami.org.slug,
            key_id: whoami.key_id,
            key_name: whoami.key_name,
            scopes: whoami.scopes,
        }
    }
}

/// Asks the server who the credential is.
///
/// # Errors
///
/// The server cannot be asked, or does not take it; what is known is printed first.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    context.unlock(&config)?;
    let scope = scope_of(&config);
    let service = Service::new(&config)?;
    let whoami = service.remote().whoami(scope);
    let daemon = match ask(&control_socket(&config), &Request::Status) {
        Ok(Answer::Status(status)) => Some(status.credential),
        Ok(_) => return Err(Error::UnexpectedAnswer),
        Err(daemon::Error::NotRunning { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let (identity, failure) = match whoami {
        Ok(whoami) => (Some(Identity::from(whoami)), None),
        Err(failure) => (None, Some(failure)),
    };
    let shown = Shown {
        credential: credentials::described(&config, scope),
        server: config.api_url.to_string(),
        whoami: identity,
        error: failure.as_ref().map(ToString::to_string),
        daemon,
    };
    if arguments.json {
        output::json(&shown)?;
    } else {
        output::data(render(&shown))?;
    }
    failure.map_or(Ok(Exit::Done), |failure| Err(Error::Remote(failure)))
}

fn render(shown: &Shown) -> String {
    let mut lines = vec![format!("credential: {}", line(&shown.credential))];
    lines.push(format!("server: {}", shown.server));
    if let Some(identity) = &shown.whoami {
        lines.push(format!("organization: {}", identity.org));
        if let Some(key) = identity.key_name.as_ref().or(identity.key_id.as_ref()) {
            lines.push(format!("key: {key}"));
        }
        lines.push(format!("scopes: {}", identity.scopes.join(", ")));
    }
    for trouble in &shown.credential.store_troubles {
        lines.push(format!("warning: {trouble}"));
    }
    if let Some(daemon) = &shown.daemon {
        lines.push(format!("the running mesa uses: {}", line(daemon)));
    }
    lines.join("\n")
}

/// A credential in one line.
pub(in crate::cli) fn line(credential: &Credential) -> String {
    let mut text = match (&credential.kind, &credential.origin) {
        (Some(kind), Some(origin)) => {
            let scope = credential.scope.as_deref().unwrap_or("everything");
            format!("{kind} for {scope} from {origin}")
        }
        _ => "none".to_owned(),
    };
    if let Some(trouble) = credential.trouble.and_then(words) {
        text.push_str(", ");
        text.push_str(trouble);
    }
    if let (Some(at), Some(left)) = (&credential.expires_at, credential.seconds_left) {
        let left = match left {
            0 => "over".to_owned(),
            left => format!("{} left", duration::describe(Duration::from_secs(left))),
        };
        text.push_str(&format!(", expires at {at} ({left})"));
    }
    text
}

/// What is wrong, in words.
fn words(trouble: CredentialTrouble) -> Option<&'static str> {
    match trouble {
        CredentialTrouble::Missing => None,
        CredentialTrouble::Expired => Some("expired"),
        CredentialTrouble::Revoked => Some("revoked"),
        CredentialTrouble::Unknown => Some("not known to the server"),
        CredentialTrouble::Forbidden => Some("not allowed to do what has to be done"),
    }
}
