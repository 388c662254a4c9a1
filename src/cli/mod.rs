//! The command line: one file per verb, clap in this folder alone.
//!
//! Standard output is data, standard error is talk. A failure is printed as what happened, to what,
//! why, and what to do; its class is the exit code. A panic is a bug of ours and says so.

mod auth;
mod cache;
mod config;
mod conflicts;
mod context;
mod demo;
mod doctor;
mod duration;
mod error;
mod exit;
mod ignored;
mod journal;
mod key;
mod log_level;
mod mount;
mod output;
mod pin;
mod prefetch;
mod profile;
mod publish;
mod remains;
mod repo;
mod secret;
mod serve;
mod signals;
mod stats;
mod status;
mod theirs;
mod token;
mod umount;
mod version;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::context::{Context, Globals};
use self::error::Error;
use self::exit::Exit;
use crate::daemon::log;

/// Mounts versioned Mesa repositories as ordinary directories. Edits are journaled locally, survive
/// crashes and outages, and are pushed by themselves.
#[derive(Debug, Parser)]
#[command(name = "mesa", version = version::VERSION, propagate_version = true)]
struct Arguments {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Mount, in the foreground or (-d) in the background.
    Mount(mount::Mount),
    /// Unmount, pushing first what the remote does not have.
    #[command(alias = "unmount")]
    Umount(umount::Umount),
    /// Show how the mount is, and what the remote does not have yet.
    Status(status::Arguments),
    /// Show figures of the running daemon.
    Stats(stats::Arguments),
    /// Show or change how much the running daemon logs.
    LogLevel(log_level::Arguments),
    /// Find out what is wrong with machine, configuration and mount, and the cure.
    Doctor(doctor::Arguments),
    /// Show and push what the remote does not have.
    #[command(subcommand)]
    Journal(journal::Journal),
    /// Push everything, and give it to a bookmark.
    Publish(publish::Publish),
    /// Show and settle what contradicts somebody else's work.
    #[command(subcommand)]
    Conflicts(conflicts::Conflicts),
    /// Store credentials, and show which one is used.
    #[command(subcommand)]
    Auth(auth::Auth),
    /// Fetch files before somebody reads them.
    Prefetch(prefetch::Arguments),
    /// Show, carry along and forget what was read, which the next mount fetches first.
    #[command(subcommand)]
    Profile(profile::Verb),
    /// Look after the cache of fetched content.
    #[command(subcommand)]
    Cache(cache::Cache),
    /// Show the configuration, and write one to begin with.
    #[command(subcommand)]
    Config(config::Config),
    /// Print the built-in rules of what is never pushed, to begin a file of one's own with.
    DumpDefaultMesaignore,
    /// Make, list and revoke keys of the organization.
    #[command(subcommand)]
    Key(key::Key),
    /// Make access tokens, and read them.
    #[command(subcommand)]
    Token(token::Token),
    /// Make and list repositories, and open and close them in an explicit mount.
    #[command(subcommand)]
    Repo(repo::Repository),
    /// Run a server over plain Git repositories.
    Serve(serve::Serve),
    /// Print the version.
    Version,
    /// Show the whole product on real data, and prove that nothing was lost.
    Demo(demo::Demo),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    signals::clear_mask();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| run(arguments)));
    log::finish();
    match outcome {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => {
            let failure = error.failure();
            output::failure(&failure);
            Exit::from(failure.reason).into()
        }
        Err(_) => {
            output::talk(
                "error: mesa panicked: this is a bug of ours\n  hint: please report it, with the \
                 lines above and what you did",
            );
            Exit::Bug.into()
        }
    }
}

/// Help and the version are data; everything else that clap says is a wrong command line.
fn usage(error: &clap::Error) -> ExitCode {
    let _closed_pipe = error.print();
    if error.use_stderr() {
        Exit::Usage.into()
    } else {
        Exit::Done.into()
    }
}

fn run(arguments: Arguments) -> Result<Exit, Error> {
    let context = Context::new(arguments.globals);
    match arguments.verb {
        Verb::Mount(arguments) => mount::run(&arguments, &context),
        Verb::Umount(arguments) => umount::run(&arguments, &context),
        Verb::Status(arguments) => status::run(&arguments, &context),
        Verb::Stats(arguments) => stats::run(&arguments, &context),
        Verb::LogLevel(arguments) => log_level::run(&arguments, &context),
        Verb::Doctor(arguments) => doctor::run(&arguments, &context),
        Verb::Journal(verb) => journal::run(&verb, &context),
        Verb::Publish(arguments) => publish::run(&arguments, &context),
        Verb::Conflicts(verb) => conflicts::run(&verb, &context),
        Verb::Auth(verb) => auth::run(&verb, &context),
        Verb::Prefetch(arguments) => prefetch::run(&arguments, &context),
        Verb::Profile(verb) => profile::run(&verb, &context),
        Verb::Cache(verb) => cache::run(&verb, &context),
        Verb::Config(verb) => config::run(&verb, &context),
        Verb::Key(verb) => key::run(&verb, &context),
        Verb::Token(verb) => token::run(&verb, &context),
        Verb::Repo(verb) => repo::run(&verb, &context),
        Verb::Serve(arguments) => serve::run(arguments, &context),
        Verb::DumpDefaultMesaignore => ignored::run(),
        Verb::Version => version::run(),
        Verb::Demo(arguments) => Ok(demo::run(&arguments)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn globals_stand_before_or_after_the_verb() {
        for line in [
            ["mesa", "--config-path", "/c", "status"],
            ["mesa", "status", "-c", "/c"],
        ] {
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert_eq!(arguments.globals.config_path.unwrap().to_str(), Some("/c"));
        }
    }
}
