//! `mesa doctor`: what is wrong with this machine, this configuration and this mount, and the cure.
//!
//! ```text
//! gather (looks: devices, files, sockets, the server) -> facts -> judge (pure) -> findings -> fix
//! ```
//!
//! A judge decides from values alone, so that each finding has a test; what looks is thin. What is
//! fixed by itself is what cannot hurt: a mount whose daemon is dead, files that a dead daemon left,
//! directories that are open to others, damaged objects of the cache.

mod disk;
mod fix;
mod local;
mod server;
mod state;

pub use self::fix::apply;

use std::path::PathBuf;

use serde::Serialize;

use super::Error;
use crate::config::Config;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and something about it should be known.
    Warning,
    /// It does not work, or will not.
    Problem,
}

/// What can be done without a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fix {
    /// Take a dead mount of ours off the tree.
    ClearMount(PathBuf),
    /// Remove a file that a dead daemon left.
    RemoveFile(PathBuf),
    /// Close a directory to others.
    CloseFolder(PathBuf),
    /// Remove damaged objects of the cache.
    DiscardObjects(Vec<PathBuf>),
}

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it, as a person would type it.
    pub cure: Option<String>,
    /// What was done about it.
    pub fixed: Option<String>,
    /// What can be done about it without a person.
    #[serde(skip)]
    pub fix: Option<Fix>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            cure: None,
            fixed: None,
            fix: None,
        }
    }

    fn warning(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Warning,
            cure: Some(cure.into()),
            ..Finding::ok(check, found)
        }
    }

    fn problem(check: &'static str, found: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Problem,
            ..Finding::warning(check, found, cure)
        }
    }

    fn with(self, fix: Fix) -> Finding {
        Finding {
            fix: Some(fix),
            ..self
        }
    }
}

/// Looks at everything, in the order in which a mount needs it. Waits for the server for some
/// seconds, and reads all local state.
///
/// # Errors
///
/// None of what is wrong is one; only that there are no threads to look with.
pub fn examine(config: &Config) -> Result<Vec<Finding>, Error> {
    let mut findings = local::examine(config);
    findings.extend(state::examine(config));
    findings.extend(server::examine(config)?);
    Ok(findings)
}

/// For tests: a finding of that verdict says this word, or its cure does.
#[cfg(test)]
#[track_caller]
fn is(finding: &Finding, verdict: Verdict, word: &str) {
    let cure = finding.cure.as_deref().unwrap_or("");
    let text = format!("{} {cure}", finding.found);
    assert!(
        finding.verdict == verdict && text.contains(word),
        "{finding:?}"
    );
}
