//! `mesa journal export`: work leaves a sandbox whose credential is dead or whose server is gone.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::super::exit::Exit;
use super::super::{Context, Error, output};
use crate::daemon::control::{Answer, Exported, Request, ask};
use crate::daemon::status::Base;
use crate::daemon::{self, control_socket, exporting};
use crate::export::{Format, LeftOut};

/// Letters of the pinned commit in a file name.
const SHORT: usize = 12;

/// Write everything that differs from the mounted commit into one file, pushed or not, so that the file
/// is complete by itself. Needs no network and no credential, and works with a mount and without one.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The repository, as ORG/REPO or by its name [default: the one with pending work]
    #[arg(long, value_name = "REPO")]
    repo: Option<String>,
    /// What to write [default: what the output's extension says, or else a bundle]
    #[arg(long, value_enum)]
    format: Option<Kind>,
    /// Where to; `-` is standard output [default: REPO-COMMIT.bundle, .mbox or .tar]
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The formats by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A Git bundle, for `git fetch` in any clone.
    Bundle,
    /// A patch in a mail, for `git am` and `git apply`.
    Patch,
    /// A tar with everything, for `mesa journal import`.
    Tar,
}

impl Kind {
    fn of_path(path: &Path) -> Option<Kind> {
        match path.extension()?.to_str()? {
            "bundle" => Some(Kind::Bundle),
            "mbox" | "patch" => Some(Kind::Patch),
            "tar" => Some(Kind::Tar),
            _ => None,
        }
    }

    fn format(self) -> Format {
        match self {
            Kind::Bundle => Format::Bundle,
            Kind::Patch => Format::Patch,
            Kind::Tar => Format::Tar,
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Kind::Bundle => "bundle",
            Kind::Patch => "mbox",
            Kind::Tar => "tar",
        }
    }
}

/// An export, as `--json` shows it: keys are added, never renamed or dropped.
#[derive(Serialize)]
struct Shown<'a> {
    org: &'a str,
    name: &'a str,
    format: Format,
    output: &'a str,
    bytes: u64,
    base: &'a Base,
    commit_oid: Option<&'a str>,
    reference: Option<&'a str>,
    count: u64,
    not_pushed_operations: u64,
    left_out: &'a [LeftOut],
}

/// Exports.
///
/// # Errors
///
/// It is not clear what; something is needed that is not here; the file cannot be written.
pub(super) fn run(arguments: &Export, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let by_path = arguments.output.as_deref().and_then(Kind::of_path);
    let kind = arguments.format.or(by_path).unwrap_or(Kind::Bundle);
    let request = Request::Export {
        repo: arguments.repo.clone(),
        format: kind.format(),
    };
    let exported = match ask(&control_socket(&config), &request) {
        Ok(Answer::Exported(exported)) => exported,
        Ok(_) => return Err(Error::UnexpectedAnswer),
        Err(daemon::Error::NotRunning { .. }) => {
            exporting::at_rest(&config, arguments.repo.as_deref(), kind.format())?
        }
        Err(error) => return Err(error.into()),
    };
    let path = match &arguments.output {
        Some(path) => path.clone(),
        None => default_path(&exported, kind),
    };
    let delivered = deliver(Path::new(&exported.path), &path);
    // Delivered or not: what nobody comes for is swept at the next start at the latest.
    let _swept_later = std::fs::remove_file(&exported.path);
    delivered.map_err(|source| Error::ExportFile {
        path: path.clone(),
        source,
    })?;
    show(&exported, &path, arguments)?;
    Ok(Exit::Done)
}

fn default_path(exported: &Exported, kind: Kind) -> PathBuf {
    let short: String = exported.base.commit_oid.chars().take(SHORT).collect();
    PathBuf::from(format!("{}-{short}.{}", exported.name, kind.extension()))
}

/// Copies the file to its place: whole or not at all, where that is possible.
fn deliver(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    if output::is_standard(to) {
        let mut out = io::stdout().lock();
        io::copy(&mut from, &mut out)?;
        return out.flush();
    }
    // A pipe, a device or a link to one is written to, not replaced.
    if to.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        let mut out = File::options().write(true).truncate(true).open(to)?;
        io::copy(&mut from, &mut out)?;
        return Ok(());
    }
    let folder = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    io::copy(&mut from, &mut file)?;
    file.as_file().sync_data()?;
    file.persist(to).map_err(|error| error.error)?;
    Ok(())
}

fn show(exported: &Exported, path: &Path, arguments: &Export) -> Result<(), Error> {
    let piped = output::is_standard(path);
    if arguments.json && !piped {
        return output::json(&Shown {
            org: &exported.org,
            name: &exported.name,
            format: exported.format,
            output: &path.display().to_string(),
            bytes: exported.bytes,
            base: &exported.base,
            commit_oid: exported.commit_oid.as_deref(),
            reference: exported.reference.as_deref(),
            count: exported.count,
            not_pushed_operations: exported.operations,
            left_out: &exported.left_out,
        });
    }
    if !piped {
        output::data(path.display())?;
    }
    output::talk(summary(exported, path));
    for left_out in &exported.left_out {
        output::talk(format_args!(
            "left out: {} ({})",
            left_out.path, left_out.reason
        ));
    }
    Ok(())
}

fn summary(exported: &Exported, path: &Path) -> String {
    let Exported { org, name, .. } = exported;
    let path = path.display();
    let (what, how) = match (exported.format, &exported.reference) {
        (Format::Bundle, Some(reference)) => (
            output::counted(exported.count, "Git object", "Git objects"),
            format!("in a clone of {org}/{name}: git fetch {path} {reference}"),
        ),
        (Format::Bundle, None) => (String::new(), format!("git fetch {path}")),
        (Format::Patch, _) => (
            output::counted(exported.count, "file", "files"),
            format!(
                "on commit {}: git am {path}; or mesa journal import {path} --repo {org}/{name}",
                exported.base.commit_oid
            ),
        ),
        (Format::Tar, _) => (
            output::counted(exported.count, "path", "paths"),
            format!("where {org}/{name} is mounted: mesa journal import {path}"),
        ),
    };
    let lacks = match exported.operations {
        0 => "the remote has all of it".to_owned(),
        count => format!(
            "the remote lacks {} of it",
            output::counted(count, "operation", "operations")
        ),
    };
    let bytes = output::bytes(exported.bytes);
    format!(
        "exported {org}/{name}, everything that differs from commit {}: {what}, {bytes}; {lacks}\n\
         hint: {how}",
        exported.base.commit_oid
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_tells_the_format() {
        for (path, kind) in [
            ("a.bundle", Some(Kind::Bundle)),
            ("a.b/c.mbox", Some(Kind::Patch)),
            ("a.patch", Some(Kind::Patch)),
            ("a.tar", Some(Kind::Tar)),
            ("a.zip", None),
            ("-", None),
        ] {
            assert_eq!(Kind::of_path(Path::new(path)), kind, "{path}");
        }
    }

    #[test]
    fn delivering_replaces_files_and_writes_to_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        std::fs::write(&from, "new").unwrap();
        let to = folder.path().join("to");
        std::fs::write(&to, "an old and longer one").unwrap();
        deliver(&from, &to).unwrap();
        assert_eq!(std::fs::read(&to).unwrap(), b"new");
        deliver(&from, Path::new("/dev/null")).unwrap();
        assert!(!Path::new("/dev/null").is_file());
        assert!(deliver(&from, &folder.path().join("no/such/folder")).is_err());
    }
}
