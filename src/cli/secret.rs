//! Secrets that are given to a command: piped in, typed, or as an argument that others can read.

use std::io::{self, IsTerminal, Read};

use zeroize::Zeroizing;

use super::{Context, Error, output};
use crate::secrets::{CREDENTIAL_BYTES_MAX, Credential};

/// An argument that is not shown.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<String>);

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

/// The credential of the argument, which `-` leaves to standard input, of standard input, or of whoever
/// sits at the terminal and is asked the question.
///
/// # Errors
///
/// It is no credential; there is nobody to ask; the input cannot be read.
pub(super) fn credential(
    argument: Option<&Secret>,
    question: &str,
    context: &Context,
) -> Result<Credential, Error> {
    let text = match argument {
        Some(Secret(text)) if text.as_str() != "-" => {
            output::talk(
                "warning: others on this machine can read arguments while a command runs, and \
                 shells keep them: better pipe it in, or type it when asked",
            );
            text.clone()
        }
        None if io::stdin().is_terminal() => context.prompt(question)?,
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
