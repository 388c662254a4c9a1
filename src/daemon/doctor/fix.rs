//! What is cured without a person: only what nobody can lose anything by.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Finding, Fix};
use crate::config::Config;
use crate::daemon::DataLock;
use crate::fuse;

/// Cures what can be cured, and says in the findings what was done or why not.
pub fn apply(config: &Config, findings: &mut [Finding]) {
    for finding in findings.iter_mut() {
        let Some(fix) = &finding.fix else { continue };
        finding.fixed = Some(match cure(config, fix) {
            Ok(done) => done,
            Err(error) => {
                // It stays what it was, with its cure for a person.
                finding.found = format!("{}; it could not be fixed: {error}", finding.found);
                continue;
            }
        });
    }
}

fn cure(config: &Config, fix: &Fix) -> Result<String, String> {
    match fix {
        Fix::ClearMount(path) => {
            let _lock = nobody_else(config)?;
            let helper = std::env::var_os("FUSERMOUNT_PATH").map(Into::into);
            match fuse::clear_dead_mount(path, helper) {
                Ok(true) => Ok(format!("took {} off the tree", path.display())),
                Ok(false) => Err("it answers by now".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        }
        Fix::RemoveFile(path) => {
            let _lock = nobody_else(config)?;
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(format!("removed {}", path.display())),
            }
        }
        // A mount does the same when it comes across one.
        Fix::DiscardObjects(paths) => {
            for path in paths {
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(format!("{}: {error}", path.display()));
                    }
                    _ => {}
                }
            }
            Ok(format!("removed {} objects", paths.len()))
        }
        Fix::CloseFolder(path) => close(path).map_err(|error| error.to_string()),
    }
}

/// Keeps a daemon from starting meanwhile: what it would make must not be taken for what is left of
/// an earlier one.
fn nobody_else(config: &Config) -> Result<Option<DataLock>, String> {
    match config.data_folder.is_dir() {
        true => DataLock::acquire(&config.data_folder)
            .map(Some)
            .map_err(|error| error.to_string()),
        false => Ok(None),
    }
}

fn close(path: &Path) -> io::Result<String> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    Ok(format!("closed {} to others (0700)", path.display()))
}
