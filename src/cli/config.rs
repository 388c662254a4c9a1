//! `mesa config`: what counts and why, a file to begin with, and the file's schema.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nix::unistd::{Gid, Uid};
use serde::Serialize;

use super::exit::Exit;
use super::{Context, Error, output};
use crate::config::{self, Origin, Value};

/// Shows the configuration, and writes one to begin with.
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Show every setting with its effective value, in the form of a configuration file.
    Show(Show),
    /// Print a commented configuration file with every setting and its default.
    Init(Init),
    /// Print a JSON schema of the configuration file.
    Schema,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Tell where each value comes from.
    #[arg(long)]
    origin: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Write it there; `-` is standard output, and the default.
    #[arg(long, value_name = "PATH", default_value = "-")]
    output: PathBuf,
    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

/// One line, as `--json` shows it.
#[derive(Serialize)]
struct Shown<'a> {
    key: &'a str,
    value: &'a Value,
    origin: ShownOrigin<'a>,
    /// Whether this version acts on it: always, since each that has been released does on all it knows.
    effective: bool,
}

#[derive(Serialize)]
#[serde(tag = "source", rename_all = "kebab-case")]
enum ShownOrigin<'a> {
    Default,
    File { path: String, line: usize },
    Variable { name: &'a str },
    Flag { name: &'a str },
}

impl<'a> ShownOrigin<'a> {
    fn of(origin: &'a Origin) -> ShownOrigin<'a> {
        match origin {
            Origin::Default => ShownOrigin::Default,
            Origin::File { path, line, .. } => ShownOrigin::File {
                path: path.display().to_string(),
                line: *line,
            },
            Origin::Variable(name) => ShownOrigin::Variable { name },
            Origin::Flag(name) => ShownOrigin::Flag { name },
        }
    }
}

#[derive(Serialize)]
struct Everything<'a> {
    file: Option<String>,
    settings: Vec<Shown<'a>>,
}

/// Does what was asked.
///
/// # Errors
///
/// Everything that is wrong with the configuration; a file that cannot be written.
pub(super) fn run(verb: &Config, context: &Context) -> Result<Exit, Error> {
    match verb {
        Config::Show(arguments) => show(arguments, context)?,
        Config::Init(arguments) => init(arguments)?,
        Config::Schema => output::json(&config::schema())?,
    }
    Ok(Exit::Done)
}

fn show(arguments: &Show, context: &Context) -> Result<(), Error> {
    let config = context.settings()?;
    let lines = config.lines();
    if arguments.json {
        let settings = lines.iter().map(|line| Shown {
            key: &line.place,
            value: &line.value,
            origin: ShownOrigin::of(&line.origin),
            effective: true,
        });
        return output::json(&Everything {
            file: config.file.as_ref().map(|path| path.display().to_string()),
            settings: settings.collect(),
        });
    }
    let mut text = String::new();
    for line in &lines {
        // What only a variable can say is no line of a file.
        let mark = if line.is_for_a_file() { "" } else { "# " };
        let origin = match (&line.origin, arguments.origin) {
            (_, false) => String::new(),
            // Its key is the line's own.
            (Origin::File { path, line, .. }, true) => format!("  # {}:{line}", path.display()),
            (origin, true) => format!("  # {origin}"),
        };
        text.push_str(&format!("{mark}{} = {}{origin}\n", line.place, line.value));
    }
    output::data(text.trim_end())
}

fn init(arguments: &Init) -> Result<(), Error> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    let (uid, gid) = (Uid::effective().as_raw(), Gid::effective().as_raw());
    let text = config::template(uid, gid, runtime)?;
    let path = &arguments.output;
    if output::is_standard(path) {
        return output::data(text.trim_end());
    }
    let replace = match arguments.force {
        true => Replace::Yes,
        false => Replace::No,
    };
    write(path, &text, replace).map_err(|source| Error::ConfigFile {
        path: path.clone(),
        source,
    })?;
    output::talk(format_args!("written to {}", path.display()));
    Ok(())
}

/// Whether a file that is there is replaced.
enum Replace {
    Yes,
    No,
}

/// Writes the whole file or none of it. It may come to name programs that are run and files that hold
/// credentials, so it is its owner's alone.
fn write(path: &Path, text: &str, replace: Replace) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match replace {
        Replace::Yes => file.persist(path),
        Replace::No => file.persist_noclobber(path),
    }
    .map_err(|error| error.error)?;
    Ok(())
}
