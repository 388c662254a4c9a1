//! `mesa journal drop`: the one way in which pending work is given up, and only on somebody's word.

use clap::Args;

use super::super::exit::Exit;
use super::super::{Context, Error, output};
use super::ordered;
use crate::daemon::control::Request;

/// What `mesa journal drop` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Drop {
    /// Paths of the repository, as `mesa journal list` shows them; what is below them goes with them.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    paths: Vec<String>,
    /// Give up everything that is pending in the repository.
    #[arg(long)]
    all: bool,
    /// The repository, as ORG/REPO or by its name.
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Drops, after asking.
pub(super) fn run(arguments: &Drop, context: &Context) -> Result<Exit, Error> {
    let everything = vec![String::new()];
    let paths = if arguments.all {
        &everything
    } else {
        &arguments.paths
    };
    if paths.iter().any(|path| path.is_empty()) && !arguments.all {
        return Err(Error::EmptyPath);
    }
    if !arguments.yes {
        let what = match arguments.all {
            true => "everything that is pending".to_owned(),
            false => paths.join(", "),
        };
        let question =
            format!("Give up {what}? The remote will never get it. The files stay here.");
        if !context.confirmed(&question)? {
            output::talk("nothing was dropped");
            return Ok(Exit::Failed);
        }
    }
    let mut dropped = 0;
    for path in paths {
        let request = Request::JournalDrop {
            repo: arguments.repo.clone(),
            path: path.trim_matches('/').to_owned(),
        };
        let ordered = ordered(context, &request)?;
        dropped += ordered.dropped;
        if ordered.dropped == 0 {
            let place = if path.is_empty() {
                "in the repository"
            } else {
                path
            };
            output::talk(format_args!("nothing is pending at or below: {place}"));
        }
    }
    if arguments.json {
        output::json(&serde_json::json!({ "dropped": dropped }))?;
    } else {
        let effects = output::counted(dropped, "effect", "effects");
        output::talk(format_args!("{effects} dropped"));
    }
    Ok(if dropped == 0 {
        Exit::Failed
    } else {
        Exit::Done
    })
}
