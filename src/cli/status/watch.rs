//! `mesa status --watch`: the status again and again, until somebody ends it, the reader goes away,
//! or what is waited for is there.
//!
//! A daemon that ends is no end of the watch: what it left is shown, and whoever comes after it.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Arguments, Exit, judge, render, running};
use crate::cli::{Error, signals};
use crate::config::Config;
use crate::daemon::at_rest;
use crate::daemon::status::Status;

/// A shorter interval only costs: an edit that nobody pushes for so long is not news yet.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Moves to the upper left corner, and clears what is below: what is written next replaces the rest.
const REDRAW: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Shows the status until SIGINT, SIGTERM, the reader's end, or until `--check` holds.
///
/// # Errors
///
/// Standard output cannot be written.
pub(super) fn run(
    config: &Config,
    arguments: &Arguments,
    interval: Duration,
) -> Result<Exit, Error> {
    let (interrupt, interrupted) = bounded::<()>(1);
    let _blocked = signals::on_interrupt(move || drop(interrupt));
    let look = match (arguments.json, io::stdout().is_terminal()) {
        (true, _) => Look::Json,
        (false, true) => Look::Screen,
        (false, false) => Look::Line,
    };
    let mut shown: Option<Status> = None;
    let mut at_rest = None;
    loop {
        if let Some(status) = look_again(config, &mut at_rest) {
            let exit = arguments.check.map(|check| judge(check, &status.totals));
            let changed = shown.as_ref().map(settled) != Some(settled(&status));
            if !arguments.quiet && (changed || look == Look::Screen) && !show(look, &status)? {
                return Ok(exit.unwrap_or(Exit::Done));
            }
            if exit == Some(Exit::Done) {
                return Ok(Exit::Done);
            }
            shown = Some(status);
        }
        let waited = interrupted.recv_timeout(interval.max(INTERVAL_MIN));
        if waited != Err(RecvTimeoutError::Timeout) || reader_is_gone() {
            let last = shown.as_ref().zip(arguments.check);
            return Ok(last.map_or(Exit::Done, |(status, check)| judge(check, &status.totals)));
        }
    }
}

/// What the daemon says, or what it left behind. That is looked at once: to look is to hold the lock
/// that the next daemon wants. `None` when there is nothing to be learnt for now.
fn look_again(config: &Config, at_rest: &mut Option<Status>) -> Option<Status> {
    if let Ok(status) = running(config) {
        *at_rest = None;
        return Some(status);
    }
    if at_rest.is_none() {
        // It fails while a daemon starts, or is too busy to answer.
        *at_rest = at_rest::status(config).ok();
    }
    at_rest.clone()
}

/// A status without what changes by itself.
fn settled(status: &Status) -> Status {
    let mut status = status.clone();
    status.totals.oldest_age_seconds = None;
    status.credential.seconds_left = None;
    for waiting in &mut status.totals.waiting {
        waiting.age_seconds = None;
    }
    for repo in &mut status.repos {
        repo.pending.oldest_age_seconds = None;
        for waiting in &mut repo.waiting {
            waiting.age_seconds = None;
        }
        if let Some(journal) = &mut repo.journal {
            journal.syncs = 0;
        }
    }
    status
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Screen,
    Line,
    Json,
}

/// Writes a status; tells whether anybody reads it.
fn show(look: Look, status: &Status) -> Result<bool, Error> {
    let text = match look {
        Look::Screen => format!("{REDRAW}{}", render::render(status)),
        Look::Line => render::line(status),
        Look::Json => serde_json::to_string(status).map_err(|error| Error::Output(error.into()))?,
    };
    let mut output = io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::Output(error)),
    }
}

/// Whether the other end of a pipe was closed, which a writer that has nothing to say does not learn
/// otherwise.
fn reader_is_gone() -> bool {
    let output = io::stdout();
    let mut found = [PollFd::new(output.as_fd(), PollFlags::empty())];
    let polled = poll(&mut found, PollTimeout::ZERO);
    let [found] = found;
    polled.is_ok()
        && found
            .revents()
            .is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL))
}
