//! `mesa status`: what would be lost if this machine vanished now, and what keeps it from being
//! pushed.

use std::time::Duration;

use clap::Args;

use super::exit::Exit;
use super::{Context, Error, duration, output};
use crate::daemon::control::{Answer, Request, ask};
use crate::daemon::status::{
    CredentialState, PublishState, PublishStatus, RepoState, RepoStatus, State, Status,
};
use crate::daemon::{self, at_rest};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print JSON, in a shape that stays.
    #[arg(long)]
    json: bool,
}

/// Shows the daemon's status; without a daemon, what the data directory holds.
///
/// # Errors
///
/// The daemon does not answer.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    match ask(&daemon::control_socket(&config), &Request::Status) {
        Ok(Answer::Status(status)) => {
            print(&status, arguments)?;
            Ok(Exit::Done)
        }
        Ok(_) => Err(Error::UnexpectedAnswer),
        Err(error @ daemon::Error::NotRunning { .. }) => {
            print(&at_rest::status(&config)?, arguments)?;
            Err(error.into())
        }
        Err(error) => Err(error.into()),
    }
}

fn print(status: &Status, arguments: &Arguments) -> Result<(), Error> {
    if arguments.json {
        output::json(status)
    } else {
        output::data(render(status))
    }
}

fn render(status: &Status) -> String {
    let mut lines = vec![headline(status)];
    if let Some(text) = credential(status) {
        lines.push(format!("credential: {text}"));
    }
    for repo in &status.repos {
        lines.push(line(repo));
        if let Some(base) = &repo.base {
            let bookmark = base.bookmark.as_deref().unwrap_or("a change");
            lines.push(format!("  base:    {} ({bookmark})", base.change_id));
        }
        if let Some(change) = &repo.change {
            lines.push(format!("  change:  {}", change.id));
        }
        if let Some(publish) = &repo.publish {
            lines.push(format!("  publish: {}", publishing(publish)));
        }
        if repo.conflicts > 0 {
            let conflicts = output::counted(repo.conflicts, "conflict", "conflicts");
            lines.push(format!("  {conflicts}: see `mesa conflicts list`"));
        }
        for path in &repo.kept_local {
            lines.push(format!(
                "  stays local, since the server cannot hold it: {path}"
            ));
        }
    }
    lines.join("\n")
}

fn publishing(publish: &PublishStatus) -> String {
    let bookmark = publish.bookmark.as_deref().unwrap_or("nothing");
    let state = match publish.state {
        PublishState::UpToDate => "has everything",
        PublishState::Pending => "will get what it lacks",
        PublishState::Diverged => "is elsewhere",
        PublishState::Conflicted => "has edits that contradict ours",
    };
    match &publish.reason {
        Some(reason) => format!("{bookmark} {state} ({}; {reason})", publish.mode),
        None => format!("{bookmark} {state} ({})", publish.mode),
    }
}

fn headline(status: &Status) -> String {
    let (what, more) = match status.state {
        State::Ready => ("mounted", ""),
        State::Offline => ("mounted", "; the server cannot be reached, edits are kept"),
        State::AuthNeeded => ("mounted", "; a credential is needed, edits are kept"),
        State::Draining => ("unmounting", ", pushing what is left"),
        State::Stopped => ("not mounted", ""),
    };
    let place = match (&status.mount_point, status.pid) {
        (Some(mount), Some(pid)) => format!(" at {mount} (process {pid})"),
        _ => String::new(),
    };
    format!("mesa: {what}{place}{more}")
}

fn credential(status: &Status) -> Option<String> {
    let until = status.credential.expires_at.as_deref();
    match status.credential.state {
        CredentialState::Valid => until.map(|until| format!("good until {until}")),
        CredentialState::Missing if status.state == State::Stopped => None,
        CredentialState::Missing => Some("missing: set MESA_API_KEY and mount again".into()),
        CredentialState::Expired => Some(match until {
            Some(until) => format!("expired at {until}"),
            None => "expired".into(),
        }),
        CredentialState::Refused => Some("refused by the server".into()),
    }
}

fn line(repo: &RepoStatus) -> String {
    let RepoStatus { org, name, .. } = repo;
    let what = match repo.state {
        RepoState::Clean => "everything pushed".to_owned(),
        RepoState::Closed if repo.pending.operations == 0 => "everything pushed".to_owned(),
        RepoState::Closed => format!("not open; {}", pending(repo)),
        RepoState::Pending => pending(repo),
        RepoState::Offline => format!("{}; offline", pending(repo)),
        RepoState::AuthNeeded => format!("{}; needs a credential", pending(repo)),
        RepoState::Quarantined => format!("{}; the server does not take it", pending(repo)),
        RepoState::Held if repo.pending.operations == 0 => "everything pushed; held".to_owned(),
        RepoState::Held => format!("{}; held", pending(repo)),
        RepoState::ReadOnly => format!("{}; read-only: unmount and mount again", pending(repo)),
    };
    match &repo.reason {
        Some(reason) => format!("{org}/{name}: {what} ({reason})"),
        None => format!("{org}/{name}: {what}"),
    }
}

fn pending(repo: &RepoStatus) -> String {
    let operations = output::counted(repo.pending.operations, "operation", "operations");
    let bytes = output::bytes(repo.pending.bytes);
    let age = repo.pending.oldest_age_seconds.unwrap_or_default();
    let age = duration::describe(Duration::from_secs(age));
    format!("{operations} ({bytes}) not pushed, the oldest {age} old")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::status::{Base, Change, Credential, PendingWork};

    #[test]
    fn the_text_says_what_is_not_pushed_and_why() {
        let status = Status {
            state: State::Offline,
            credential: Credential {
                state: CredentialState::Valid,
                expires_at: Some("2026-01-01T00:00:00Z".into()),
            },
            repos: vec![RepoStatus {
                org: "local".into(),
                name: "app".into(),
                state: RepoState::Offline,
                base: Some(Base {
                    bookmark: Some("main".into()),
                    change_id: "z".repeat(32),
                    commit_oid: "0".repeat(40),
                }),
                change: Some(Change {
                    id: "k".repeat(32),
                    commit_oid: "1".repeat(40),
                }),
                pending: PendingWork {
                    operations: 3,
                    bytes: 2048,
                    oldest_age_seconds: Some(61),
                },
                reason: Some("connection refused".into()),
                kept_local: vec!["a.sock".into()],
                conflicts: 2,
                publish: Some(PublishStatus {
                    mode: "merge".into(),
                    bookmark: Some("main".into()),
                    state: PublishState::Conflicted,
                    reason: Some("see there".into()),
                }),
                journal: None,
            }],
            pid: Some(7),
            mount_point: Some("/mnt".into()),
        };
        assert_eq!(
            render(&status),
            "mesa: mounted at /mnt (process 7); the server cannot be reached, edits are kept\n\
             credential: good until 2026-01-01T00:00:00Z\n\
             local/app: 3 operations (2.0 KiB) not pushed, the oldest 61 s old; offline (connection refused)\n  \
             base:    zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz (main)\n  \
             change:  kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\n  \
             publish: main has edits that contradict ours (merge; see there)\n  \
             2 conflicts: see `mesa conflicts list`\n  \
             stays local, since the server cannot hold it: a.sock"
        );
    }
}
