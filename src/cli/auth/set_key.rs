//! `mesa auth set-key`: takes a credential where others do not see it, stores it, and gives it to the
//! running daemon.

use std::io::{self, IsTerminal, Read};

use clap::Args;
use zeroize::Zeroizing;

use super::{Target, names, tell};
use crate::cli::exit::Exit;
use crate::cli::{Context, Error, output};
use crate::daemon::control::{AdoptedAs, CredentialRequest, Handed};
use crate::daemon::private_folder;
use crate::secrets::{CREDENTIAL_BYTES_MAX, Credential};

#[derive(Debug, Args)]
pub(in crate::cli) struct SetKey {
    #[command(flatten)]
    target: Target,
    /// Give it to the running daemon alone, and write it nowhere.
    #[arg(long)]
    memory: bool,
    /// The API key or access token. Others on this machine can read arguments: without one it is
    /// read from standard input, or asked for at a terminal.
    #[arg(value_name = "KEY")]
    key: Option<Secret>,
}

/// An argument that is not shown.
#[derive(Clone)]
struct Secret(Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(masked)")
    }
}

impl std::str::FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Secret, Self::Err> {
        Ok(Secret(Zeroizing::new(text.to_owned())))
    }
}

/// Stores it.
///
/// # Errors
///
/// It is no credential; the store cannot be written, and is then as it was; the daemon does not
/// answer.
pub(super) fn run(arguments: &SetKey, context: &Context) -> Result<Exit, Error> {
    let place = arguments.target.place()?;
    let config = context.settings()?;
    let credential = credential(arguments, context)?;
    if !arguments.memory {
        private_folder(&config.data_folder)?;
        context.unlock_for_writing(&config)?;
        let stored = config.secrets.store(&place, &credential);
        stored.map_err(Error::Secrets)?;
        let file = config
            .data_folder
            .join(config.secrets.sources().backend.file_name());
        let kind = credential.kind().name();
        output::talk(format_args!(
            "stored the {kind} for {place} in {}",
            file.display()
        ));
    }
    let (org, repo) = names(&place);
    let from = "mesa auth set-key".to_owned();
    let credential = Handed(credential);
    let adopt = CredentialRequest::Adopt {
        org,
        repo,
        credential,
        from,
    };
    match tell(&config, adopt)?.and_then(|answer| answer.adopted) {
        Some(AdoptedAs::InMemory) if arguments.memory => {
            output::talk("the running mesa uses it, for as long as it runs");
        }
        Some(AdoptedAs::InMemory) => output::talk(
            "the running mesa uses it, and keeps it in memory alone, since it cannot open that \
             file itself: the next mount needs MESA_VAULT_PASSPHRASE",
        ),
        Some(AdoptedAs::Known | AdoptedAs::Stored) => output::talk("the running mesa uses it"),
        None if arguments.memory => {
            return Err(Error::Daemon(crate::daemon::Error::NotRunning {
                socket: crate::daemon::control_socket(&config),
            }));
        }
        None => {}
    }
    Ok(Exit::Done)
}

fn credential(arguments: &SetKey, context: &Context) -> Result<Credential, Error> {
    let text = match &arguments.key {
        Some(Secret(text)) if text.as_str() != "-" => {
            output::talk(
                "warning: others on this machine can read arguments while a command runs, and \
                 shells keep them: better pipe the key in, or type it when asked",
            );
            text.clone()
        }
        None if io::stdin().is_terminal() => context.prompt("API key or access token: ")?,
        _ => {
            let mut text = Zeroizing::new(String::new());
            let most = 2 * CREDENTIAL_BYTES_MAX as u64;
            let read = io::stdin().lock().take(most).read_to_string(&mut text);
            read.map_err(Error::Input)?;
            text
        }
    };
    Credential::try_from(text.as_str().to_owned()).map_err(Error::NoCredential)
}
