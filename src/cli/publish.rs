//! `mesa publish`: gives a bookmark what was pushed, once.

use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::{Context, Error, duration, output};
use crate::daemon::control::{Answer, PublishRequest, PublishedRepository, Request, ask};
use crate::daemon::control_socket;
use crate::daemon::status::PublishState;

/// How long what is pending may take to be pushed: as long as a flush.
const PUSH_DEFAULT: &str = "5m";

/// Pushes everything, then gives it to the bookmark: by a move, else by the server's merge.
#[derive(Debug, Args)]
pub(super) struct Publish {
    /// The bookmark, which is made if there is none; else the one that was checked out.
    #[arg(long, value_name = "NAME")]
    bookmark: Option<String>,
    /// Only this repository.
    #[arg(long, value_name = "ORG/REPO")]
    repo: Option<String>,
    /// Never merge.
    #[arg(long)]
    fast_forward_only: bool,
    /// How long to push what is pending before.
    #[arg(long, value_name = "DURATION", default_value = PUSH_DEFAULT, value_parser = duration::parse)]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Publishes.
///
/// # Errors
///
/// There is no daemon, or no such repository.
pub(super) fn run(arguments: &Publish, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let request = Request::Publish(PublishRequest {
        repo: arguments.repo.clone(),
        bookmark: arguments.bookmark.clone(),
        fast_forward_only: arguments.fast_forward_only,
        timeout_ms: duration::milliseconds(arguments.timeout),
    });
    let Answer::Published(answer) = ask(&control_socket(&config), &request)? else {
        return Err(Error::UnexpectedAnswer);
    };
    if arguments.json {
        output::json(&answer)?;
    } else {
        answer
            .repos
            .iter()
            .for_each(|repo| output::talk(line(repo)));
    }
    Ok(exit(&answer.repos))
}

fn line(repo: &PublishedRepository) -> String {
    let place = format!("{}/{}", repo.org, repo.name);
    let bookmark = repo.bookmark.as_deref().unwrap_or("no bookmark");
    let reason = repo.reason.as_deref().unwrap_or("not finished in time");
    match (repo.state, &repo.change) {
        (PublishState::UpToDate, Some(change)) => format!("{place}: {bookmark} has {change}"),
        (PublishState::UpToDate, None) => format!("{place}: there is nothing to publish"),
        (PublishState::Conflicted, _) => format!(
            "not published: {place}: {reason}\n  hint: `mesa conflicts list`; nothing is lost"
        ),
        _ => format!("not published: {place}: {reason}"),
    }
}

fn exit(repos: &[PublishedRepository]) -> Exit {
    if repos.iter().any(|repo| repo.needs_credential) {
        Exit::Credential
    } else if repos
        .iter()
        .all(|repo| repo.state == PublishState::UpToDate)
    {
        Exit::Done
    } else {
        Exit::Unpushed
    }
}
