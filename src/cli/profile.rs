//! `mesa profile`: what is remembered of reading, to be looked at, and to be carried to another machine.
//!
//! It is files of the data directory, so it is looked at in them. Only a running daemon knows what was read
//! in the last seconds, and it alone changes them while it runs.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Exit;
use super::journal::repository;
use super::{Context, Error, output};
use crate::config::Config;
use crate::daemon::control::{Answer, ProfileRequest, Request, ask};
use crate::daemon::profile::{
    PATHS_MAX, Profile, TEXT_BYTES_MAX, forget_at_rest, import_at_rest, stored,
};
use crate::daemon::{self, control_socket};
use crate::remote::RepositoryName;

/// What was read of each repository in its last sessions, by the paths: the next mount fetches it first.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show which repositories have a profile, and how large it is.
    Show(Show),
    /// Write a profile, a path a line.
    Export(Export),
    /// Add a profile, or a list of paths, to that of a repository, which need not be mounted yet.
    Import(Import),
    /// Forget what was read.
    Clear(Clear),
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The repository.
    #[arg(value_name = "ORG/REPO", value_parser = repository)]
    repo: RepositoryName,
    /// Where to; `-` is standard output.
    #[arg(long, short, value_name = "PATH", default_value = "-")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The repository.
    #[arg(value_name = "ORG/REPO", value_parser = repository)]
    repo: RepositoryName,
    /// A profile, or a list of files and directories, quoted as Git does; `-` is standard input.
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Clear {
    /// The repository.
    #[arg(value_name = "ORG/REPO", value_parser = repository, required_unless_present = "all")]
    repo: Option<RepositoryName>,
    /// Every repository.
    #[arg(long, conflicts_with = "repo")]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Does what was asked.
///
/// # Errors
///
/// There is no profile; a file is none; the data directory.
pub(super) fn run(verb: &Verb, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    match verb {
        Verb::Show(arguments) => show(&config, arguments),
        Verb::Export(arguments) => export(&config, arguments),
        Verb::Import(arguments) => import(&config, arguments),
        Verb::Clear(arguments) => clear(&config, arguments),
    }?;
    Ok(Exit::Done)
}

/// Whether a daemon follows; without one, the data directory is free.
fn ask_daemon(config: &Config, request: ProfileRequest) -> Result<bool, Error> {
    match ask(&control_socket(config), &Request::Profile(request)) {
        Ok(Answer::Ordered(_)) => Ok(true),
        Ok(_) => Err(Error::UnexpectedAnswer),
        Err(daemon::Error::NotRunning { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn all(config: &Config) -> Result<Vec<(RepositoryName, Profile)>, Error> {
    ask_daemon(config, ProfileRequest::Keep)?;
    Ok(stored(config)?)
}

fn show(config: &Config, arguments: &Show) -> Result<(), Error> {
    let all = all(config)?;
    if arguments.json {
        let entry = |(name, profile): &(RepositoryName, Profile)| {
            json!({
                "repo": name.to_string(),
                "paths": profile.paths().count(),
                "sessions": profile.sessions(),
            })
        };
        let profiles: Vec<_> = all.iter().map(entry).collect();
        return output::json(&json!({ "profiles": profiles }));
    }
    for (name, profile) in &all {
        output::data(format!(
            "{name}\t{}\t{}",
            output::counted(profile.paths().count() as u64, "path", "paths"),
            output::counted(profile.sessions() as u64, "session", "sessions")
        ))?;
    }
    match (all.is_empty(), config.prefetch.profile) {
        (true, true) => output::talk("nothing was read yet"),
        (_, false) => output::talk("prefetch.profile is off: nothing more is remembered, or used"),
        (false, true) => {}
    }
    Ok(())
}

fn export(config: &Config, arguments: &Export) -> Result<(), Error> {
    let mut all = all(config)?.into_iter();
    let found = all.find(|(name, _)| *name == arguments.repo);
    let (_, profile) = found.ok_or_else(|| Error::NoProfile {
        repo: arguments.repo.to_string(),
    })?;
    let text = profile.text();
    let failed = |source| Error::ExportFile {
        path: arguments.output.clone(),
        source,
    };
    if output::is_standard(&arguments.output) {
        // All of it is quoted, so it is text.
        return output::data(String::from_utf8_lossy(&text).trim_end());
    }
    fs::write(&arguments.output, text).map_err(failed)?;
    output::talk(format!(
        "{} of {}",
        output::counted(profile.paths().count() as u64, "path", "paths"),
        arguments.repo
    ));
    Ok(())
}

fn import(config: &Config, arguments: &Import) -> Result<(), Error> {
    let failed = |source| Error::ExportFile {
        path: arguments.file.clone(),
        source,
    };
    let text = read(&arguments.file).map_err(failed)?;
    let profile = Profile::parse(&text).map_err(|source| Error::Profile {
        path: arguments.file.clone(),
        source,
    })?;
    if profile.is_empty() {
        return Err(Error::EmptyProfile {
            path: arguments.file.clone(),
        });
    }
    if !hand_over(config, &arguments.repo, &profile)? {
        import_at_rest(config, &arguments.repo, &profile)?;
    }
    let count = profile.paths().count();
    if arguments.json {
        return output::json(&json!({ "repo": arguments.repo.to_string(), "paths": count }));
    }
    output::data(format!(
        "{}\t{}",
        arguments.repo,
        output::counted(count as u64, "path", "paths")
    ))?;
    if !config.prefetch.profile {
        output::talk("hint: prefetch.profile is off, so nothing is fetched by it");
    }
    Ok(())
}

/// Has the daemon take it, if one runs: it may have the repository open.
fn hand_over(config: &Config, repo: &RepositoryName, profile: &Profile) -> Result<bool, Error> {
    let data = &config.data_folder;
    if !data.is_dir() {
        return Ok(false);
    }
    let failed = |source| daemon::Error::Folder {
        path: data.clone(),
        source,
    };
    let mut file = tempfile::NamedTempFile::new_in(data).map_err(failed)?;
    file.write_all(&profile.text()).map_err(failed)?;
    let path = std::path::absolute(file.path()).map_err(failed)?;
    ask_daemon(
        config,
        ProfileRequest::Import {
            repo: repo.to_string(),
            path: path.display().to_string(),
        },
    )
}

fn clear(config: &Config, arguments: &Clear) -> Result<(), Error> {
    let meant: Vec<RepositoryName> = match &arguments.repo {
        Some(repo) => vec![repo.clone()],
        None => all(config)?.into_iter().map(|(name, _)| name).collect(),
    };
    let mut cleared = Vec::new();
    for name in &meant {
        let repo = name.to_string();
        if !ask_daemon(config, ProfileRequest::Forget { repo })? {
            forget_at_rest(config, name)?;
        }
        if !arguments.json {
            output::data(format!("{name}\tcleared"))?;
        }
        cleared.push(name.to_string());
    }
    if arguments.json {
        output::json(&json!({ "cleared": cleared }))?;
    }
    Ok(())
}

/// What a file has, as far as it can be a profile.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = TEXT_BYTES_MAX + 1;
    match output::is_standard(path) {
        true => io::stdin().lock().take(most).read_to_end(&mut text)?,
        false => File::open(path)?.take(most).read_to_end(&mut text)?,
    };
    Ok(text)
}

/// What to do about a list that is too long, or is none.
pub(super) fn hint() -> String {
    format!(
        "a path of the repository a line, at most {PATHS_MAX}, as `git ls-files` prints them; a directory \
         stands for all below it"
    )
}
