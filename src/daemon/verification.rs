//! Verifying and repairing the local state of repositories, in words.

use std::path::Path;

use super::control::{FindingEntry, RepairEntry, RepoVerified, Verified};
use super::failure::in_a_line;
use super::journals::is_named;
use super::{Error, at_rest};
use crate::config::Config;
use crate::overlay::{self, Repaired, Soundness};

/// Verifies every repository of the data directory, or the one that is named, without a daemon.
///
/// # Errors
///
/// The data directory is in use or cannot be read; there is no such repository.
pub fn verify(config: &Config, wanted: Option<&str>) -> Result<Verified, Error> {
    visit(config, wanted, |options| {
        overlay::verify(&options.folder).map(|found| (found, None))
    })
}

/// Repairs what is not sound, without a daemon, and verifies what came of it. Nothing is deleted.
///
/// # Errors
///
/// As [`verify`].
pub fn repair(config: &Config, wanted: Option<&str>) -> Result<Verified, Error> {
    visit(config, wanted, |options| {
        let repaired = overlay::repair(options)?;
        Ok((overlay::verify(&options.folder)?, repaired))
    })
}

type Outcome = Result<(Soundness, Option<Repaired>), overlay::Error>;

fn visit(
    config: &Config,
    wanted: Option<&str>,
    look: impl Fn(&overlay::Options) -> Outcome,
) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    at_rest::each(config, |folder, organization, name| {
        let (organization, text) = (organization.to_string(), name.to_string());
        if wanted.is_none_or(|wanted| is_named(wanted, &organization, &text)) {
            let options = at_rest::options(config, folder, name);
            let outcome = look(&options);
            verified.repos.push(entry(&organization, &text, outcome));
        }
        Ok(())
    })?;
    match (verified.repos.is_empty(), wanted) {
        (true, Some(name)) => Err(Error::NoSuchRepository {
            name: name.to_owned(),
        }),
        _ => Ok(verified),
    }
}

/// Verifies a repository that no daemon has open.
pub(super) fn closed(folder: &Path, organization: &str, name: &str) -> RepoVerified {
    let outcome = overlay::verify(folder).map(|found| (found, None));
    entry(organization, name, outcome)
}

/// An outcome in words.
pub(super) fn entry(organization: &str, name: &str, outcome: Outcome) -> RepoVerified {
    let unknown = RepoVerified {
        org: organization.to_owned(),
        name: name.to_owned(),
        ..RepoVerified::default()
    };
    let (found, repaired) = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            return RepoVerified {
                error: Some(in_a_line(&error)),
                ..unknown
            };
        }
    };
    let files = &found.journal.files;
    RepoVerified {
        sound: found.is_sound(),
        records: files.iter().map(|file| file.records).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        findings: findings(&found),
        lost_bodies: found.lost_bodies.iter().map(ToString::to_string).collect(),
        stray_bodies: found.stray_bodies,
        repaired: repaired.as_ref().map(repair_entry),
        ..unknown
    }
}

fn findings(found: &Soundness) -> Vec<FindingEntry> {
    let verdict = |verdict| match verdict {
        journal::Verdict::Repaired => "repaired",
        journal::Verdict::Ignored => "ignored",
        journal::Verdict::Refused => "refused",
    };
    let in_files = found.journal.findings.iter().map(|finding| FindingEntry {
        file: Some(finding.path.display().to_string()),
        offset: Some(finding.offset),
        problem: finding.problem.to_string(),
        verdict: verdict(finding.verdict).to_owned(),
    });
    let misfits = found.misfits.iter().map(|(_, reason)| FindingEntry {
        file: None,
        offset: None,
        problem: reason.clone(),
        verdict: "refused".to_owned(),
    });
    in_files.chain(misfits).collect()
}

fn repair_entry(repaired: &Repaired) -> RepairEntry {
    RepairEntry {
        kept: repaired.kept,
        lost: repaired
            .lost
            .iter()
            .map(|gap| (gap.first.0, gap.last.0))
            .collect(),
        left_out: repaired.misfits.len() as u64,
        aside: repaired.aside.display().to_string(),
    }
}
