//! `mesa journal import`: work that left another sandbox, taken into a mounted repository.
//!
//! It is written by plain file operations below the mount, so that it is journaled and pushed like
//! any other edit.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use clap::Args;
use serde::Serialize;

use super::super::exit::Exit;
use super::super::{Context, Error, output};
use crate::daemon::control::{Answer, Request, ask};
use crate::daemon::control_socket;
use crate::export::{Applied, Archive, Folder, Format, LeftOut, Overwrite};
use crate::remote::RepositoryName;
use crate::secrets::SECRET_VARIABLES;

/// Bytes that tell the formats apart.
const HEAD_BYTES: u64 = 512;

/// Apply an export to a mounted repository, whose journal then pushes it. Before anything is changed,
/// every path must be what the export was made on, or be what it becomes; so an import can be repeated.
#[derive(Debug, Args)]
pub(in crate::cli) struct Import {
    /// A tar or a patch of `mesa journal export`.
    file: PathBuf,
    /// The mounted repository, as ORG/REPO [default: the one that the tar was made of]
    #[arg(long, value_name = "ORG/REPO", value_parser = repository)]
    repo: Option<RepositoryName>,
    /// Overwrite paths that contradict.
    #[arg(long)]
    force: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A repository as an argument.
pub(in crate::cli) fn repository(text: &str) -> Result<RepositoryName, String> {
    text.split_once('/')
        .and_then(|(organization, name)| RepositoryName::new(organization, name).ok())
        .ok_or_else(|| "want ORG/REPO".to_owned())
}

/// What an import did, as `--json` shows it: keys are added, never renamed or dropped.
#[derive(Serialize)]
struct Shown {
    org: String,
    name: String,
    format: Format,
    changed: u64,
    unchanged: u64,
    contradicting: Vec<String>,
    left_out: Vec<LeftOut>,
}

/// Imports.
///
/// # Errors
///
/// The file is no export, or is damaged; the repository is not mounted; paths contradict.
pub(super) fn run(arguments: &Import, context: &Context) -> Result<Exit, Error> {
    let config = context.settings()?;
    let failed = |source| Error::ExportFile {
        path: arguments.file.clone(),
        source,
    };
    let mut file = File::open(&arguments.file).map_err(failed)?;
    let format = detect(&mut file).map_err(failed)?;
    let format = format.ok_or_else(|| Error::NoExport {
        path: arguments.file.clone(),
    })?;
    if format == Format::Bundle {
        return Err(Error::BundleImport {
            path: arguments.file.clone(),
        });
    }
    let mount_point = match ask(&control_socket(&config), &Request::Version)? {
        Answer::Version(versions) => PathBuf::from(versions.mount_point),
        _ => return Err(Error::UnexpectedAnswer),
    };
    let (shown, overwritten) = match format {
        Format::Tar => tar(arguments, file, &mount_point)?,
        Format::Bundle | Format::Patch => (patch(arguments, &mount_point)?, Vec::new()),
    };
    if arguments.json {
        output::json(&shown)?;
    }
    if !shown.contradicting.is_empty() {
        for path in &shown.contradicting {
            output::talk(format_args!("contradicts: {path}"));
        }
        return Err(Error::Contradicts {
            count: shown.contradicting.len(),
        });
    }
    if !arguments.json {
        tell(&shown, &overwritten);
    }
    Ok(Exit::Done)
}

fn tell(shown: &Shown, overwritten: &[String]) {
    let changed = output::counted(shown.changed, "path", "paths");
    output::talk(format_args!(
        "imported into {}/{}: {changed} changed, {} as they should be already; the journal pushes them",
        shown.org, shown.name, shown.unchanged
    ));
    for path in overwritten {
        output::talk(format_args!("overwritten: {path}"));
    }
    for left_out in &shown.left_out {
        output::talk(format_args!(
            "was left out of the export: {} ({})",
            left_out.path, left_out.reason
        ));
    }
}

/// Looks at the first bytes.
fn detect(file: &mut File) -> io::Result<Option<Format>> {
    let mut head = Vec::new();
    Read::by_ref(file).take(HEAD_BYTES).read_to_end(&mut head)?;
    file.rewind()?;
    let is_tar = head.get(257..262) == Some(b"ustar");
    let starts = |text: &str| head.starts_with(text.as_bytes());
    Ok(if is_tar {
        Some(Format::Tar)
    } else if starts("# v2 git bundle\n") || starts("# v3 git bundle\n") {
        Some(Format::Bundle)
    } else if starts("From ") || starts("diff --git ") {
        Some(Format::Patch)
    } else {
        None
    })
}

/// The repository's folder below the mount.
fn place(name: &RepositoryName, mount_point: &Path) -> PathBuf {
    mount_point.join(name.organization()).join(name.name())
}

fn tar(arguments: &Import, file: File, mount_point: &Path) -> Result<(Shown, Vec<String>), Error> {
    let mut archive = Archive::open(file)?;
    let name = match &arguments.repo {
        Some(name) => name.clone(),
        None => {
            let (organization, name) = archive.name();
            // What a file says must not lead elsewhere.
            RepositoryName::new(organization, name).map_err(|_| Error::NoRepositoryName)?
        }
    };
    let folder = Folder::open(&place(&name, mount_point)).map_err(|source| Error::NotMounted {
        repository: name.to_string(),
        source,
    })?;
    let overwrite = match arguments.force {
        true => Overwrite::Always,
        false => Overwrite::Never,
    };
    let Applied {
        changed,
        unchanged,
        contradicting,
    } = archive.apply(&folder, overwrite)?;
    let paths: Vec<String> = contradicting.iter().map(|path| path.to_string()).collect();
    let (contradicting, overwritten) = match overwrite {
        Overwrite::Never => (paths, Vec::new()),
        Overwrite::Always => (Vec::new(), paths),
    };
    let shown = Shown {
        org: name.organization().to_owned(),
        name: name.name().to_owned(),
        format: Format::Tar,
        changed,
        unchanged,
        contradicting,
        left_out: archive.left_out().to_vec(),
    };
    Ok((shown, overwritten))
}

/// By Git, which looks at every file before it changes the first one.
fn patch(arguments: &Import, mount_point: &Path) -> Result<Shown, Error> {
    let name = arguments.repo.clone().ok_or(Error::PatchNeedsRepository)?;
    let folder = place(&name, mount_point);
    Folder::open(&folder).map_err(|source| Error::NotMounted {
        repository: name.to_string(),
        source,
    })?;
    let file = arguments.file.canonicalize();
    let file = file.map_err(|source| Error::ExportFile {
        path: arguments.file.clone(),
        source,
    })?;
    let apply = |flags: &[&str]| -> Result<Output, Error> {
        let mut git = Command::new("git");
        for name in SECRET_VARIABLES {
            git.env_remove(name);
        }
        git.arg("apply")
            .args(flags)
            .args(["--whitespace=nowarn", "--"])
            .arg(&file)
            .current_dir(&folder)
            // A repository above the mount is not meant.
            .env("GIT_CEILING_DIRECTORIES", mount_point)
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .output()
            .map_err(Error::NoGit)
    };
    let listed = apply(&["--numstat"])?;
    let count = listed.stdout.split(|byte| *byte == b'\n');
    let count = count.filter(|line| !line.is_empty()).count() as u64;
    let checked = apply(&["--check"])?;
    let (changed, unchanged) = if checked.status.success() {
        let applied = apply(&[])?;
        if !applied.status.success() {
            return Err(refused(&applied));
        }
        (count, 0)
    } else if apply(&["--check", "--reverse"])?.status.success() {
        (0, count)
    } else {
        return Err(refused(&checked));
    };
    Ok(Shown {
        org: name.organization().to_owned(),
        name: name.name().to_owned(),
        format: Format::Patch,
        changed,
        unchanged,
        contradicting: Vec::new(),
        left_out: Vec::new(),
    })
}

fn refused(output: &Output) -> Error {
    Error::PatchRefused {
        said: String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (bytes, format) in [
            (&b"# v2 git bundle\n-12"[..], Some(Format::Bundle)),
            (b"From 0123 Mon Sep 17", Some(Format::Patch)),
            (b"diff --git a/x b/x", Some(Format::Patch)),
            (b"PK\x03\x04", None),
            (b"", None),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(detect(&mut File::open(&path).unwrap()).unwrap(), format);
        }
    }

    #[test]
    fn a_repository_is_two_names() {
        assert!(repository("local/app").is_ok());
        for wrong in ["app", "a/b/c", "../x", "a/.."] {
            assert!(repository(wrong).is_err(), "{wrong}");
        }
    }
}
