//! `mesa log-level`: how much the running daemon logs, and where to.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::exit::Exit;
use super::{Context, Error, output};
use crate::config::LogLevel;
use crate::daemon::control::{Answer, LogReport, Request, ask};
use crate::daemon::control_socket;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// From now on, until the daemon is started again; without it, nothing changes.
    #[arg(value_parser = PossibleValuesParser::new(LogLevel::NAMES).try_map(|name| level(&name)))]
    level: Option<LogLevel>,
    /// Print one JSON value.
    #[arg(long)]
    json: bool,
}

/// The name is none of those that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such level")]
struct NoSuchLevel;

fn level(name: &str) -> Result<LogLevel, NoSuchLevel> {
    LogLevel::of_name(name).ok_or(NoSuchLevel)
}

/// Shows or changes the level.
///
/// # Errors
///
/// There is no daemon, or it does not answer.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let request = Request::Log {
        level: arguments.level,
    };
    let report = match ask(&control_socket(&context.settings()?), &request)? {
        Answer::Log(report) => report,
        _ => return Err(Error::UnexpectedAnswer),
    };
    match arguments.json {
        true => output::json(&report)?,
        false => output::data(render(&report))?,
    }
    Ok(Exit::Done)
}

fn render(report: &LogReport) -> String {
    let lost = match report.lost {
        0 => String::new(),
        lost => format!(" ({lost} lines were lost)"),
    };
    format!("{} to {}{lost}", report.level.name(), report.destination)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_lines_are_told_of_if_there_are_any() {
        let mut report = LogReport {
            level: LogLevel::Debug,
            destination: "/d/daemon.log".into(),
            lost: 0,
        };
        assert_eq!(render(&report), "debug to /d/daemon.log");
        report.lost = 2;
        assert_eq!(
            render(&report),
            "debug to /d/daemon.log (2 lines were lost)"
        );
    }
}
