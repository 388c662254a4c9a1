//! `mesa journal list`: the shortest list of effects that the remote does not have.

use std::time::Duration;

use clap::Args;

use super::super::exit::Exit;
use super::super::{Context, Error, duration, output};
use crate::daemon::control::{Answer, JournalEntry, JournalListing, Request, ask};
use crate::daemon::{self, at_rest, control_socket};

/// What `mesa journal list` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists; without a daemon, what the data directory holds.
pub(super) fn run(arguments: &List, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let listing = match ask(&control_socket(&config), &Request::JournalList) {
        Ok(Answer::Journal(listing)) => listing,
        Ok(_) => return Err(Error::UnexpectedAnswer),
        Err(daemon::Error::NotRunning { .. }) => at_rest::journal(&config)?,
        Err(error) => return Err(error.into()),
    };
    if arguments.json {
        output::json(&listing)?;
    } else {
        print(&listing)?;
    }
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
        ..
    } = entry;
    let state = entry.state.name();
    let age = duration::describe(Duration::from_secs(entry.age_seconds));
    let size = entry.bytes.map(output::bytes).unwrap_or_default();
    let from = from
        .as_ref()
        .map(|from| format!("{from} -> "))
        .unwrap_or_default();
    let reason = entry
        .reason
        .as_ref()
        .map(|reason| format!("\t({reason})"))
        .unwrap_or_default();
    format!("{state}\t{org}/{name}\t{effect}\t{from}{path}\t{size}\t{age}{reason}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::control::EntryState;

    #[test]
    fn a_line_says_state_place_size_age_and_reason() {
        let entry = JournalEntry {
            org: "local".into(),
            name: "app".into(),
            effect: "copy".into(),
            path: "new".into(),
            from: Some("old".into()),
            bytes: None,
            age_seconds: 61,
            state: EntryState::Blocked,
            reason: Some("offline".into()),
        };
        assert_eq!(
            line(&entry),
            "blocked\tlocal/app\tcopy\told -> new\t\t61 s\t(offline)"
        );
    }
}
