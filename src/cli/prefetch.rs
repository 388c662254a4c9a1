//! `mesa prefetch`: fetching files before somebody reads them, for instance before going offline.
//!
//! The daemon does it; a command that waits only looks on, and may be interrupted.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::exit::Exit;
use super::{Context, Error, output};
use crate::daemon::control::{
    Answer, PrefetchAnswer, PrefetchJob, PrefetchRequest, PrefetchState, Request, ask,
};
use crate::daemon::control_socket;

/// Between two looks while waiting.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Without anything, shows what is under way.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files and directories of the mount; all below them is fetched.
    #[arg(value_name = "PATH", conflicts_with_all = ["all", "stop"])]
    paths: Vec<PathBuf>,
    /// Fetch every repository that the mount shows.
    #[arg(long, conflicts_with = "stop")]
    all: bool,
    /// Wait until everything is here, and show how far it is. An interruption ends the waiting alone.
    #[arg(long)]
    wait: bool,
    /// End what is under way; what was fetched stays.
    #[arg(long, conflicts_with = "wait")]
    stop: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One place to be fetched.
pub(super) struct Place {
    /// `org/repo`.
    pub(super) repo: String,
    /// In it; empty for everything.
    pub(super) path: String,
}

/// Does what was asked.
///
/// # Errors
///
/// Nothing is mounted; a path is not in the mount; it cannot be fetched.
pub(super) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let socket = control_socket(&context.settings()?);
    let command = |request: PrefetchRequest| match ask(&socket, &Request::Prefetch(request))? {
        Answer::Prefetch(answer) => Ok(answer),
        _ => Err(Error::UnexpectedAnswer),
    };
    let mut jobs = Vec::new();
    if arguments.stop {
        jobs = command(PrefetchRequest::Stop)?.jobs;
    } else if arguments.paths.is_empty() && !arguments.all {
        jobs = command(PrefetchRequest::List)?.jobs;
        if arguments.wait {
            jobs.retain(|job| job.state == PrefetchState::Running);
        }
    } else {
        let mount_point = match ask(&socket, &Request::Version)? {
            Answer::Version(versions) => versions.mount_point,
            _ => return Err(Error::UnexpectedAnswer),
        };
        let everything = [PathBuf::from(&mount_point)];
        let paths = match arguments.all {
            true => &everything[..],
            false => &arguments.paths,
        };
        for path in paths {
            for Place { repo, path } in places(path, &mount_point)? {
                jobs.extend(command(PrefetchRequest::Start { repo, path })?.jobs);
            }
        }
    }
    if arguments.wait {
        let ids: BTreeSet<u64> = jobs.iter().map(|job| job.id).collect();
        jobs = wait(&ids, || command(PrefetchRequest::List))?;
    }
    if arguments.json {
        output::json(&PrefetchAnswer { jobs: jobs.clone() })?;
    } else {
        for job in &jobs {
            output::data(line(job))?;
        }
        if jobs.is_empty() {
            output::talk("nothing was asked for");
        } else if !arguments.wait && jobs.iter().any(|job| job.state == PrefetchState::Running) {
            output::talk("hint: `mesa prefetch --wait` waits for it");
        }
    }
    let has_ended_badly =
        |job: &PrefetchJob| matches!(job.state, PrefetchState::Failed | PrefetchState::Stopped);
    let is_bad = arguments.wait && jobs.iter().any(has_ended_badly);
    Ok(if is_bad { Exit::Failed } else { Exit::Done })
}

/// What a path of the mount stands for; the root, or an organization, for every repository in it.
pub(super) fn places(path: &Path, mount_point: &str) -> Result<Vec<Place>, Error> {
    let looked = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::PrefetchPath { path, source }
    };
    let full = path.canonicalize().map_err(looked(path))?;
    let outside = || Error::OutsideMount {
        path: path.to_owned(),
        mount_point: mount_point.to_owned(),
    };
    let within = full.strip_prefix(mount_point).map_err(|_| outside())?;
    let mut names = Vec::new();
    for name in within {
        let no_text = || io::Error::new(io::ErrorKind::InvalidInput, "a name that is not UTF-8");
        let name = name.to_str().ok_or_else(no_text).map_err(looked(path))?;
        names.push(name);
    }
    match &names[..] {
        [".mesa", ..] => Err(outside()),
        [] | [_] => {
            let mut all = Vec::new();
            for entry in fs::read_dir(&full).map_err(looked(&full))? {
                let entry = entry.map_err(looked(&full))?;
                let is_report = names.is_empty() && entry.file_name() == ".mesa";
                if !is_report {
                    all.extend(places(&entry.path(), mount_point)?);
                }
            }
            Ok(all)
        }
        // Looking at it has opened the repository.
        [organization, repository, rest @ ..] => Ok(vec![Place {
            repo: format!("{organization}/{repository}"),
            path: rest.join("/"),
        }]),
    }
}

/// Looks on until the jobs have ended.
fn wait(
    ids: &BTreeSet<u64>,
    mut list: impl FnMut() -> Result<PrefetchAnswer, Error>,
) -> Result<Vec<PrefetchJob>, Error> {
    let mut shown = progress_shown();
    loop {
        let mut jobs = list()?.jobs;
        jobs.retain(|job| ids.contains(&job.id));
        if jobs.iter().all(|job| job.state != PrefetchState::Running) {
            return Ok(jobs);
        }
        let sum = |of: fn(&PrefetchJob) -> u64| jobs.iter().map(of).sum::<u64>();
        shown(
            (sum(|job| job.files_here), sum(|job| job.files)),
            (sum(|job| job.bytes_here), sum(|job| job.bytes)),
        );
        thread::sleep(LOOK_AGAIN);
    }
}

/// Shows how far something is, of files and of bytes that were found: as a bar, which goes with what is
/// returned, or in a line now and then.
pub(super) fn progress_shown() -> impl FnMut((u64, u64), (u64, u64)) {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    let bar = Cleared(bar);
    let has_terminal = io::stderr().is_terminal();
    let mut said = Instant::now();
    move |(files_here, files), (bytes_here, bytes)| {
        let Cleared(bar) = &bar;
        bar.set_length(bytes);
        bar.set_position(bytes_here);
        let files = format!("{files_here} of {files} files");
        bar.set_message(files.clone());
        if !has_terminal && said.elapsed() >= LINE_EVERY {
            output::talk(files);
            said = Instant::now();
        }
    }
}

/// A bar that leaves nothing behind.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn line(job: &PrefetchJob) -> String {
    let separator = if job.path.is_empty() { "" } else { "/" };
    let state = match job.state {
        PrefetchState::Running => "running",
        PrefetchState::Done => "done",
        PrefetchState::Stopped => "stopped",
        PrefetchState::Failed => "failed",
    };
    let reason = job
        .reason
        .as_deref()
        .map_or_else(String::new, |why| format!(": {why}"));
    format!(
        "{}{separator}{}\t{state}\t{} of {} files\t{} of {}{reason}",
        job.repo,
        job.path,
        job.files_here,
        job.files,
        output::bytes(job.bytes_here),
        output::bytes(job.bytes)
    )
}
