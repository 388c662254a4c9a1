//! `mesa auth set-key`: takes a credential where others do not see it, stores it, and gives it to the
//! running daemon.

use clap::Args;

use super::{Target, names, tell};
use crate::cli::exit::Exit;
use crate::cli::secret::{self, Secret};
use crate::cli::{Context, Error, output};
use crate::daemon::control::{AdoptedAs, CredentialRequest, Handed};
use crate::daemon::private_folder;

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

/// Stores it.
///
/// # Errors
///
/// It is no credential; the store cannot be written, and is then as it was; the daemon does not
/// answer.
pub(super) fn run(arguments: &SetKey, context: &Context) -> Result<Exit, Error> {
    let place = arguments.target.place()?;
    let config = context.settings()?;
    let credential =
        secret::credential(arguments.key.as_ref(), "API key or access token: ", context)?;
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
