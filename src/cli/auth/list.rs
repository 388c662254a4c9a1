//! `mesa auth list`: which credentials there are, never their values.

use clap::Args;
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::{Context, Error, output};
use crate::remote::api::format_date;
use crate::secrets::Entry;
use crate::tree::Timestamp;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Print JSON, in a shape that stays.
    #[arg(long)]
    json: bool,
}

/// All of them, as `--json` shows it.
#[derive(Serialize)]
struct Shown {
    credentials: Vec<One>,
    /// The credential command, which is not run for this.
    command: Option<String>,
    /// What is wrong with stores.
    troubles: Vec<String>,
}

/// One of them.
#[derive(Serialize)]
struct One {
    /// `null` for everything.
    org: Option<String>,
    /// `null` for all of the organization.
    repo: Option<String>,
    store: &'static str,
    origin: String,
    kind: &'static str,
    expires_at: Option<String>,
}

impl From<&Entry> for One {
    fn from(entry: &Entry) -> One {
        let date = |time| format_date(Timestamp::from(time).seconds);
        One {
            org: entry.place.organization().map(str::to_owned),
            repo: entry.place.repository().map(str::to_owned),
            store: entry.origin.store.name(),
            origin: entry.origin.to_string(),
            kind: entry.credential.kind().name(),
            expires_at: entry.credential.expires_at().map(date),
        }
    }
}

/// Lists what the stores of this configuration have.
///
/// # Errors
///
/// The configuration.
pub(super) fn run(arguments: &List, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    context.unlock(&config)?;
    let entries = config.secrets.entries();
    let sources = config.secrets.sources();
    let command = sources.command.as_ref();
    let troubles = config.secrets.troubles();
    for trouble in &troubles {
        output::talk(format_args!("warning: {trouble}"));
    }
    if arguments.json {
        output::json(&Shown {
            credentials: entries.iter().map(One::from).collect(),
            command: command.and_then(|words| words.first().cloned()),
            troubles,
        })?;
        return Ok(Exit::Done);
    }
    for entry in &entries {
        output::data(line(entry))?;
    }
    if let Some(program) = command.and_then(|words| words.first()) {
        output::data(format_args!(
            "everything: what {program} prints, when nothing else does"
        ))?;
    }
    if entries.is_empty() && command.is_none() {
        output::talk("no credential; `mesa auth set-key` stores one");
    }
    Ok(Exit::Done)
}

fn line(entry: &Entry) -> String {
    let shown = One::from(entry);
    let end = match &shown.expires_at {
        Some(at) => format!("expires at {at}"),
        None => "no end".to_owned(),
    };
    format!(
        "{}: {} from {}, {end}",
        entry.place, shown.kind, shown.origin
    )
}
