//! `mesa journal retry`, `hold` and `release`.

use clap::Args;

use super::super::exit::Exit;
use super::super::{Context, Error, output};
use super::ordered;
use crate::daemon::control::{Order, Request};

/// What the three take.
#[derive(Debug, Args)]
struct Target {
    /// The repository, as ORG/REPO or by its name; all that are open without it.
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `mesa journal retry` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Retry {
    #[command(flatten)]
    target: Target,
}

/// What `mesa journal hold` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Hold {
    #[command(flatten)]
    target: Target,
}

/// What `mesa journal release` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Release {
    #[command(flatten)]
    target: Target,
}

/// Has what waits tried again at once.
pub(super) fn retry(arguments: &Retry, context: &Context) -> Result<Exit, Error> {
    give(&arguments.target, Order::Retry, "trying again", context)
}

/// Stops pushing.
pub(super) fn hold(arguments: &Hold, context: &Context) -> Result<Exit, Error> {
    give(&arguments.target, Order::Hold, "held", context)
}

/// Goes on pushing.
pub(super) fn release(arguments: &Release, context: &Context) -> Result<Exit, Error> {
    give(&arguments.target, Order::Release, "released", context)
}

fn give(target: &Target, order: Order, done: &str, context: &Context) -> Result<Exit, Error> {
    let repo = target.repo.clone();
    let ordered = ordered(context, &Request::JournalOrder { repo, order })?;
    if ordered.repos.is_empty() && order == Order::Hold {
        return Err(Error::NothingToHold);
    }
    if target.json {
        output::json(&ordered)?;
        return Ok(Exit::Done);
    }
    for name in &ordered.repos {
        output::talk(format_args!("{name}: {done}"));
    }
    if ordered.repos.is_empty() {
        output::talk("no repository is open: there is nothing to push");
    }
    Ok(Exit::Done)
}
