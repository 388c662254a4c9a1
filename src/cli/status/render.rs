//! The status in words.

use std::time::Duration;

use crate::cli::{duration, output};
use crate::daemon::control::EntryState;
use crate::daemon::status::{
    Cause, CredentialTrouble, PublishState, PublishStatus, RepoState, RepoStatus, State, Status,
    Totals, Waiting,
};
use crate::daemon::supervisor::{SupervisorState, SupervisorStatus};

/// Ignored paths that are named; the others are counted.
const IGNORED_TOLD_MAX: usize = 3;

/// Everything, over several lines.
pub(super) fn render(status: &Status) -> String {
    let mut lines = vec![headline(status)];
    if let Some(text) = status.supervisor.as_ref().and_then(supervisor) {
        lines.push(text);
    }
    if let Some(text) = credential(status) {
        lines.push(format!("credential: {text}"));
    }
    lines.push(loss(&status.totals));
    for waiting in &status.totals.waiting {
        lines.push(format!("  {}", waits(waiting)));
    }
    for repo in &status.repos {
        lines.push(of_repo(repo));
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
        if !repo.ignored.is_empty() {
            lines.push(format!(
                "  stays local, since it is ignored: {}",
                some(&repo.ignored)
            ));
        }
    }
    lines.join("\n")
}

/// The first of many paths, and how many others there are.
fn some(paths: &[String]) -> String {
    let (told, others) = paths.split_at(paths.len().min(IGNORED_TOLD_MAX));
    let told = told.join(", ");
    match others.len() {
        0 => told,
        count => format!("{told}, and {count} more"),
    }
}

/// The same in one line.
pub(super) fn line(status: &Status) -> String {
    let state = match status.state {
        State::Ready => "ready",
        State::Offline => "offline",
        State::AuthNeeded => "auth-needed",
        State::Draining => "draining",
        State::Stopped => "stopped",
    };
    let mut line = format!("{state}: {}", loss(&status.totals));
    for waiting in &status.totals.waiting {
        line.push_str("; ");
        line.push_str(&waits(waiting));
    }
    line
}

/// What would be lost if this machine vanished now.
fn loss(totals: &Totals) -> String {
    if !totals.is_loss() {
        return "nothing would be lost if this machine vanished now".to_owned();
    }
    let mut parts = Vec::new();
    if totals.operations > 0 {
        let operations = output::counted(totals.operations, "operation", "operations");
        let bytes = output::bytes(totals.bytes);
        let age = duration::describe(Duration::from_secs(
            totals.oldest_age_seconds.unwrap_or_default(),
        ));
        parts.push(format!("{operations} ({bytes}), the oldest {age} old"));
    }
    if totals.kept_local > 0 {
        let paths = output::counted(totals.kept_local, "path", "paths");
        parts.push(format!("{paths} that the server cannot hold"));
    }
    if totals.unreadable > 0 {
        let repos = output::counted(totals.unreadable, "repository", "repositories");
        parts.push(format!("whatever is in {repos} that cannot be read"));
    }
    let durable = match (totals.durable, totals.operations_not_durable) {
        (Some(true), _) => "; a power cut would lose nothing".to_owned(),
        (Some(false), 0) => "; a power cut would lose what was written a moment ago".to_owned(),
        (Some(false), count) => {
            let operations = output::counted(count, "operation", "operations");
            format!("; a power cut would lose {operations}")
        }
        (None, _) => String::new(),
    };
    let parts = parts.join(", and ");
    format!("would be lost if this machine vanished now: {parts}{durable}")
}

/// What some work waits for.
fn waits(waiting: &Waiting) -> String {
    let count = match waiting.state {
        EntryState::Conflicted => output::counted(waiting.operations, "conflict", "conflicts"),
        _ => output::counted(waiting.operations, "operation", "operations"),
    };
    let cause = match waiting.cause {
        Some(Cause::Auth) => " (credential)",
        Some(Cause::Network) => " (network)",
        Some(Cause::Forbidden) => " (forbidden)",
        Some(Cause::Local) => " (this machine)",
        Some(Cause::Unmounted) | None => "",
    };
    let mut text = format!("{}{cause}: {count}", waiting.state.name());
    if let Some(seconds) = waiting.age_seconds {
        let age = duration::describe(Duration::from_secs(seconds));
        text.push_str(&format!(", for {age}"));
    }
    if let Some(reason) = &waiting.reason {
        text.push_str(&format!(" ({reason})"));
    }
    text
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

/// What there is to know about the supervisor; nothing, while it had nothing to do.
fn supervisor(supervisor: &SupervisorStatus) -> Option<String> {
    let what = match supervisor.state {
        SupervisorState::Watching if supervisor.restarts == 0 => return None,
        SupervisorState::Watching => {
            let times = output::counted(supervisor.restarts, "time", "times");
            format!("started the daemon again, {times} so far")
        }
        SupervisorState::Restarting => "is starting the daemon again".to_owned(),
        SupervisorState::GaveUp => {
            "gave up, the daemon died too often; `mesa mount --daemonize` starts it".to_owned()
        }
        SupervisorState::Lost => {
            "gone: nobody starts the daemon again; `mesa umount` and mount again for one".to_owned()
        }
    };
    let death = supervisor.last_death.as_ref();
    let last = death.map(|death| format!(" (last at {}: {})", death.at, death.reason));
    Some(format!("supervisor: {what}{}", last.unwrap_or_default()))
}

fn credential(status: &Status) -> Option<String> {
    let credential = &status.credential;
    let until = credential.expires_at.as_deref();
    let from = match &credential.origin {
        Some(origin) => format!(" ({origin})"),
        None => String::new(),
    };
    let Some(trouble) = credential.trouble else {
        let until = until.map(|until| format!("good until {until}{from}"))?;
        return Some(match &credential.warning {
            Some(warning) => format!("{until}; {warning}"),
            None => until,
        });
    };
    let what = match trouble {
        CredentialTrouble::Missing if status.state == State::Stopped => return None,
        CredentialTrouble::Missing => "missing".to_owned(),
        CredentialTrouble::Expired => match until {
            Some(until) => format!("expired at {until}"),
            None => "expired".to_owned(),
        },
        CredentialTrouble::Revoked => "revoked".to_owned(),
        CredentialTrouble::Unknown => "not known to the server".to_owned(),
        CredentialTrouble::Forbidden => "does not allow what has to be done".to_owned(),
    };
    Some(format!(
        "{what}{from}: `mesa auth set-key` gives another one"
    ))
}

fn of_repo(repo: &RepoStatus) -> String {
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
    use crate::daemon::status::{Base, Change, Credential, CredentialState, PendingWork};
    use crate::daemon::supervisor::Death;

    #[test]
    fn the_text_says_what_is_not_pushed_and_why() {
        let mut status = Status {
            state: State::Offline,
            credential: Credential {
                state: CredentialState::Valid,
                expires_at: Some("2026-01-01T00:00:00Z".into()),
                trouble: None,
                origin: Some("MESA_API_KEY in the environment".into()),
                ..Credential::missing()
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
                ignored: ["a", "b", "c", "d", "e"].map(Into::into).to_vec(),
                conflicts: 2,
                publish: Some(PublishStatus {
                    mode: "merge".into(),
                    bookmark: Some("main".into()),
                    state: PublishState::Conflicted,
                    reason: Some("see there".into()),
                }),
                journal: None,
                waiting: vec![Waiting {
                    state: EntryState::Blocked,
                    cause: Some(Cause::Network),
                    reason: Some("connection refused".into()),
                    age_seconds: Some(12),
                    repos: 1,
                    operations: 3,
                }],
            }],
            pid: Some(7),
            mount_point: Some("/mnt".into()),
            totals: Totals::default(),
            supervisor: Some(SupervisorStatus {
                state: SupervisorState::Watching,
                process: 6,
                restarts: 1,
                last_death: Some(Death {
                    at: "2025-12-31T23:00:00Z".into(),
                    process: 5,
                    reason: "killed by SIGKILL".into(),
                }),
            }),
        };
        status.totals = Totals::of(&status.repos);
        assert_eq!(
            render(&status),
            "mesa: mounted at /mnt (process 7); the server cannot be reached, edits are kept\n\
             supervisor: started the daemon again, 1 time so far (last at 2025-12-31T23:00:00Z: killed by SIGKILL)\n\
             credential: good until 2026-01-01T00:00:00Z (MESA_API_KEY in the environment)\n\
             would be lost if this machine vanished now: 3 operations (2.0 KiB), the oldest 61 s old, \
             and 1 path that the server cannot hold\n  \
             blocked (network): 3 operations, for 12 s (connection refused)\n\
             local/app: 3 operations (2.0 KiB) not pushed, the oldest 61 s old; offline (connection refused)\n  \
             base:    zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz (main)\n  \
             change:  kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk\n  \
             publish: main has edits that contradict ours (merge; see there)\n  \
             2 conflicts: see `mesa conflicts list`\n  \
             stays local, since the server cannot hold it: a.sock\n  \
             stays local, since it is ignored: a, b, c, and 2 more"
        );
    }
}
