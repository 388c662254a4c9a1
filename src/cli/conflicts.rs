//! `mesa conflicts list`, `show` and `resolve`.

use clap::{Args, Subcommand, ValueEnum};

use super::exit::Exit;
use super::{Context, Error, duration, output, theirs};
use crate::daemon::control::{
    Answer, ConflictAnswer, ConflictDetail, ConflictEntry, ConflictList, ConflictRequest,
    ConflictSide, ConflictSpot, Request, ask,
};
use crate::daemon::{self, at_rest, control_socket};

/// Letters of an id that are shown: enough for thousands of conflicts.
const SHORT: usize = 8;

/// Shows and settles what contradicts somebody else's work.
#[derive(Debug, Subcommand)]
pub(super) enum Conflicts {
    /// List the conflicts that nobody has settled.
    List(List),
    /// Show what a conflict is about, and the commands that help.
    Show(Show),
    /// Settle a conflict. Both sides stay on the server, whatever is taken.
    Resolve(Resolve),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The conflict's id, or the beginning of it.
    id: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Resolve {
    /// The conflict's id, or the beginning of it.
    id: String,
    /// Whose side counts: `theirs` is written into the mounted tree, like any edit.
    #[arg(long, value_enum)]
    take: Take,
    /// Settle these paths only.
    paths: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Take {
    /// What this mount wrote.
    Ours,
    /// What somebody else wrote.
    Theirs,
}

/// Does what was asked.
///
/// # Errors
///
/// There is no such conflict; it cannot be shown or settled.
pub(super) fn run(verb: &Conflicts, context: &Context) -> Result<Exit, Error> {
    match verb {
        Conflicts::List(arguments) => list(arguments, context),
        Conflicts::Show(arguments) => show(arguments, context),
        Conflicts::Resolve(arguments) => resolve(arguments, context),
    }
}

fn list(arguments: &List, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let request = Request::Conflicts(ConflictRequest::List);
    let found = match ask(&control_socket(&config), &request) {
        Ok(Answer::Conflicts(answer)) => match *answer {
            ConflictAnswer::List(list) => list,
            _ => return Err(Error::UnexpectedAnswer),
        },
        Ok(_) => return Err(Error::UnexpectedAnswer),
        Err(daemon::Error::NotRunning { .. }) => at_rest::conflicts(&config, None)?.0,
        Err(error) => return Err(error.into()),
    };
    if arguments.json {
        output::json(&found)?;
        return Ok(Exit::Done);
    }
    print_list(&found)?;
    Ok(Exit::Done)
}

fn print_list(found: &ConflictList) -> Result<(), Error> {
    for entry in &found.conflicts {
        output::data(line(entry))?;
    }
    if found.conflicts.is_empty() {
        output::talk("nothing contradicts");
    }
    Ok(())
}

fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

fn line(entry: &ConflictEntry) -> String {
    let age = duration::describe(std::time::Duration::from_secs(entry.age_seconds));
    let paths = output::counted(entry.paths, "path", "paths");
    let ours = entry.our_change.as_deref().unwrap_or("on its way");
    let theirs = match (&entry.bookmark, &entry.their_change) {
        (Some(bookmark), _) => format!("{bookmark} at {}", entry.their_commit),
        (None, Some(change)) => change.clone(),
        (None, None) => entry.their_commit.clone(),
    };
    format!(
        "{}\t{}/{}\t{}\t{age} old\t{paths}\tours: {ours}\ttheirs: {theirs}",
        short(&entry.id),
        entry.org,
        entry.name,
        entry.kind
    )
}

fn show(arguments: &Show, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let id = arguments.id.clone();
    let request = Request::Conflicts(ConflictRequest::Show { id });
    let found = match ask(&control_socket(&config), &request) {
        Ok(Answer::Conflicts(answer)) => match *answer {
            ConflictAnswer::Detail(detail) => Some(detail),
            _ => None,
        },
        Ok(_) => None,
        Err(daemon::Error::NotRunning { .. }) => {
            at_rest::conflicts(&config, Some(&arguments.id))?.1
        }
        Err(error) => return Err(error.into()),
    };
    let found = found.ok_or(Error::UnexpectedAnswer)?;
    if arguments.json {
        output::json(&found)?;
    } else {
        output::data(render(&found))?;
    }
    Ok(Exit::Done)
}

fn render(found: &ConflictDetail) -> String {
    let mut lines = vec![line(&found.entry)];
    for path in &found.conflicting {
        lines.push(format!("  {}", path.path));
        if found.unknown.is_none() {
            for (side, spot) in [
                ("base", &path.base),
                ("theirs", &path.theirs),
                ("ours", &path.ours),
            ] {
                // Of a merge the server alone knows the base, and nobody asked it.
                if side == "base" && found.base_commit.is_none() {
                    continue;
                }
                lines.push(format!("    {side:<7} {}", described(spot.as_ref())));
            }
        }
    }
    if let Some(unknown) = &found.unknown {
        lines.push(format!("  what the paths are is not known: {unknown}"));
    }
    lines.extend(
        found
            .commands
            .iter()
            .map(|command| format!("  $ {command}")),
    );
    lines.join("\n")
}

fn described(spot: Option<&ConflictSpot>) -> String {
    match spot {
        None => "nothing".to_owned(),
        Some(spot) => format!("{} {}, {}", spot.kind, spot.oid, output::bytes(spot.size)),
    }
}

fn resolve(arguments: &Resolve, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let socket = control_socket(&config);
    let conflict = |request| match ask(&socket, &Request::Conflicts(request)) {
        Ok(Answer::Conflicts(answer)) => Ok(*answer),
        Ok(_) => Err(Error::UnexpectedAnswer),
        Err(error) => Err(error.into()),
    };
    let (id, paths) = (arguments.id.clone(), arguments.paths.clone());
    let take = match arguments.take {
        Take::Ours => ConflictSide::Ours,
        Take::Theirs => ConflictSide::Theirs,
    };
    if take == ConflictSide::Theirs {
        let (id, paths) = (id.clone(), paths.clone());
        let ConflictAnswer::Theirs(files) = conflict(ConflictRequest::Theirs { id, paths })? else {
            return Err(Error::UnexpectedAnswer);
        };
        // The conflict stays listed until all of it is written.
        theirs::write(&files).map_err(Error::Theirs)?;
    }
    let request = ConflictRequest::Resolve { id, take, paths };
    let ConflictAnswer::Resolved(resolved) = conflict(request)? else {
        return Err(Error::UnexpectedAnswer);
    };
    if arguments.json {
        output::json(&resolved)?;
    } else {
        output::talk(format_args!("settled: {}", short(&resolved.id)));
        if let Some(left) = &resolved.left {
            output::talk(format_args!("left of it: {}", line(left)));
        }
    }
    Ok(Exit::Done)
}
