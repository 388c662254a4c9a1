//! `mesa token`: access tokens, signed and read on this machine.

mod create;
mod inspect;

use clap::Subcommand;

use super::exit::Exit;
use super::{Context, Error};

/// Makes access tokens, and reads them.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Sign a token with the key in MESA_API_KEY, and print it alone.
    Create(create::Create),
    /// Show what a token says, without asking anybody.
    Inspect(inspect::Inspect),
}

/// Does what was asked.
///
/// # Errors
///
/// There is no key to sign with, or no token to read.
pub(super) fn run(verb: &Token, context: &Context) -> Result<Exit, Error> {
    match verb {
        Token::Create(arguments) => create::run(arguments, context),
        Token::Inspect(arguments) => inspect::run(arguments, context),
    }
}
