//! `mesa journal`: what the remote does not have, and what can be done about it.

mod discard;
mod export;
mod flush;
mod import;
mod list;
mod order;
mod show;
mod verify;

use clap::Subcommand;

pub(super) use import::repository;

use super::exit::Exit;
use super::{Context, Error};
use crate::daemon::control::{Answer, Ordered, Request, ask};
use crate::daemon::control_socket;

/// Shows and pushes what the remote does not have.
#[derive(Debug, Subcommand)]
pub(super) enum Journal {
    /// List what the remote does not have, as the shortest list of effects.
    List(list::List),
    /// Show where a journal stands, and its records that the remote does not have.
    Show(show::Show),
    /// Push everything, and wait until the remote has it.
    Flush(flush::Flush),
    /// Try again now what waits for the network, a credential or a server that refused it.
    Retry(order::Retry),
    /// Push nothing more, also after the next mount, until it is released.
    Hold(order::Hold),
    /// End a hold.
    Release(order::Release),
    /// Give up pending changes: the remote will never get them. Files stay as they are here.
    Drop(discard::Drop),
    /// Read every byte of the local state; on request, make what is damaged open again.
    Verify(verify::Verify),
    /// Write the work into a file, without a network or a credential.
    Export(export::Export),
    /// Take the work of another sandbox in.
    Import(import::Import),
}

/// Does what was asked.
///
/// # Errors
///
/// There is no daemon, or it does not answer.
pub(super) fn run(verb: &Journal, context: &Context) -> Result<Exit, Error> {
    match verb {
        Journal::List(arguments) => list::run(arguments, context),
        Journal::Show(arguments) => show::run(arguments, context),
        Journal::Flush(arguments) => flush::run(arguments, context),
        Journal::Retry(arguments) => order::retry(arguments, context),
        Journal::Hold(arguments) => order::hold(arguments, context),
        Journal::Release(arguments) => order::release(arguments, context),
        Journal::Drop(arguments) => discard::run(arguments, context),
        Journal::Verify(arguments) => verify::run(arguments, context),
        Journal::Export(arguments) => export::run(arguments, context),
        Journal::Import(arguments) => import::run(arguments, context),
    }
}

/// Asks the daemon for something that it answers with what it did.
fn ordered(context: &Context, request: &Request) -> Result<Ordered, Error> {
    let config = context.settings()?;
    match ask(&control_socket(&config), request)? {
        Answer::Ordered(ordered) => Ok(ordered),
        _ => Err(Error::UnexpectedAnswer),
    }
}
