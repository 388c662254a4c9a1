//! `mesa journal list` and `mesa journal flush`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::{Context, Error, duration, output, remains};
use crate::daemon::control::{Answer, JournalEntry, JournalListing, Request, ask};
use crate::daemon::control_socket;

/// How long a flush waits unless told otherwise: long enough for a large first push.
const FLUSH_DEFAULT: &str = "5m";

/// Shows and pushes what the remote does not have.
#[derive(Debug, Subcommand)]
pub(super) enum Journal {
    /// List what the remote does not have, as the shortest list of effects.
    List(List),
    /// Push everything, and wait until the remote has it.
    Flush(Flush),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Flush {
    /// How long to wait.
    #[arg(long, value_name = "DURATION", default_value = FLUSH_DEFAULT, value_parser = duration::parse)]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Does what was asked.
///
/// # Errors
///
/// There is no daemon, or it does not answer.
pub(super) fn run(verb: &Journal, context: &Context) -> Result<Exit, Error> {
    match verb {
        Journal::List(arguments) => list(arguments, context),
        Journal::Flush(arguments) => flush(arguments, context),
    }
}

fn list(arguments: &List, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let Answer::Journal(listing) = ask(&control_socket(&config), &Request::JournalList)? else {
        return Err(Error::UnexpectedAnswer);
    };
    if arguments.json {
        output::json(&listing)?;
        return Ok(Exit::Done);
    }
    print(&listing)?;
    Ok(Exit::Done)
}

fn print(listing: &JournalListing) -> Result<(), Error> {
    for entry in &listing.entries {
        output::data(line(entry))?;
    }
    if listing.omitted > 0 {
        output::talk(format_args!("and {} more", listing.omitted));
    }
    if listing.entries.is_empty() {
        output::talk("nothing is pending");
    }
    Ok(())
}

fn line(entry: &JournalEntry) -> String {
    let JournalEntry {
        org,
        name,
        effect,
        path,
        from,
        state,
    } = entry;
    let from = from
        .as_ref()
        .map(|from| format!("{from} -> "))
        .unwrap_or_default();
    format!("{state}\t{org}/{name}\t{effect}\t{from}{path}")
}

fn flush(arguments: &Flush, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let request = Request::Flush {
        timeout_ms: duration::milliseconds(arguments.timeout),
    };
    let Answer::Flushed(drained) = ask(&control_socket(&config), &request)? else {
        return Err(Error::UnexpectedAnswer);
    };
    if arguments.json {
        output::json(&drained)?;
        return Ok(remains::exit(&drained));
    }
    Ok(remains::report(
        &drained,
        "it stays in the journal, and is pushed as soon as that works",
    ))
}
