//! `mesa journal flush`: pushes everything, shows how far it is, and says what remains.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::super::exit::Exit;
use super::super::{Context, Error, duration, output, remains};
use crate::daemon::control::{Answer, Drained, Request, ask};
use crate::daemon::{self, control_socket};

/// How long a flush waits unless told otherwise: long enough for a large first push.
const FLUSH_DEFAULT: &str = "5m";
/// How often the bar moves: as often as a person can see.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Cells of the bar.
const BAR_CELLS: u64 = 30;

/// What `mesa journal flush` takes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Flush {
    /// How long to wait.
    #[arg(long, value_name = "DURATION", default_value = FLUSH_DEFAULT, value_parser = duration::parse)]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Flushes.
pub(super) fn run(arguments: &Flush, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let socket = control_socket(&config);
    let request = Request::Flush {
        timeout_ms: duration::milliseconds(arguments.timeout),
    };
    let answer = if io::stderr().is_terminal() && !arguments.json {
        watched(socket, request)
    } else {
        ask(&socket, &request)
    };
    let Answer::Flushed(drained) = answer? else {
        return Err(Error::UnexpectedAnswer);
    };
    if arguments.json {
        output::json(&drained)?;
        return Ok(remains::exit(&drained));
    }
    Ok(report(&drained))
}

fn report(drained: &Drained) -> Exit {
    remains::report(
        drained,
        "it stays in the journal, and is pushed as soon as that works",
    )
}

/// Asks on another thread, and draws a bar of what is left meanwhile.
fn watched(socket: PathBuf, request: Request) -> Result<Answer, daemon::Error> {
    let (sender, answers) = channel();
    let asked = socket.clone();
    let asking = thread::Builder::new().name("flush".into()).spawn(move || {
        let _nobody_waits = sender.send(ask(&asked, &request));
    });
    if let Err(error) = asking {
        return Err(daemon::Error::Setup(error));
    }
    let mut most = 0;
    loop {
        match answers.recv_timeout(LOOK_EVERY) {
            Ok(answer) => {
                draw("");
                return answer;
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Some((operations, bytes)) = left(&socket) {
                    most = most.max(operations);
                    draw(&bar(operations, most, bytes));
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(daemon::Error::NotRunning { socket });
            }
        }
    }
}

/// Operations and bytes that the remote does not have.
fn left(socket: &Path) -> Option<(u64, u64)> {
    let Ok(Answer::Status(status)) = ask(socket, &Request::Status) else {
        return None;
    };
    let pending = status.repos.iter().map(|repo| repo.pending);
    Some(pending.fold((0, 0), |(operations, bytes), one| {
        (operations + one.operations, bytes + one.bytes)
    }))
}

fn bar(operations: u64, most: u64, bytes: u64) -> String {
    let done = (most - operations.min(most)) * BAR_CELLS / most.max(1);
    let cells: String = (0..BAR_CELLS)
        .map(|cell| if cell < done { '#' } else { '.' })
        .collect();
    let operations = output::counted(operations, "operation", "operations");
    format!("[{cells}] {operations}, {} left", output::bytes(bytes))
}

/// Draws over the line before.
fn draw(text: &str) {
    let mut talk = io::stderr().lock();
    let _nobody_looks = write!(talk, "\r\x1b[K{text}").and_then(|()| talk.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_as_operations_are_pushed() {
        assert_eq!(
            bar(1, 2, 2048),
            "[###############...............] 1 operation, 2.0 KiB left"
        );
        assert!(bar(5, 5, 0).starts_with("[..."));
        assert!(bar(0, 0, 0).contains("0 operations"));
    }
}
