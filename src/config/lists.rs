//! The two variables that hold lists: credentials of organizations, and revisions of repositories.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::given::Given;
use super::types::{is_organization, is_repository};
use super::{Origin, Problem, Reason, Revision, Surroundings};
use crate::secrets::Credential;

const ORGANIZATIONS: &str = "MESA_ORGS";
const REVISIONS: &str = "MESA_REPO_REVS";

/// The text of a variable, if it is set.
fn text(name: &'static str, surroundings: &Surroundings<'_>) -> Result<Option<String>, Reason> {
    let value = (surroundings.environment)(name).filter(|value| !value.is_empty());
    match value.map(std::ffi::OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(_)) => Err(Reason::NotText),
    }
}

/// The entries of a list, counted from one; an entry of nothing is a comma too many, and harmless.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let entries = text.split(',').map(str::trim).enumerate();
    entries
        .map(|(index, entry)| (index + 1, entry))
        .filter(|(_, entry)| !entry.is_empty())
}

/// Reads `MESA_REPO_REVS` into `given`: each entry is what `rev` in the repository's table is, and
/// wins over it.
pub(super) fn repository_revisions(
    given: &mut Given,
    surroundings: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) {
    let origin = Origin::Variable(REVISIONS);
    let mut problem = |reason| {
        let origin = origin.clone();
        problems.push(Problem { origin, reason });
    };
    let text = match text(REVISIONS, surroundings) {
        Ok(text) => text.unwrap_or_default(),
        Err(reason) => return problem(reason),
    };
    let mut found = BTreeMap::new();
    for (number, entry) in entries(&text) {
        match revision(entry) {
            None => problem(Reason::RepositoryRevision(number)),
            Some((repository, revision)) => {
                if found.insert(repository, revision).is_some() {
                    problem(Reason::Twice(number));
                }
            }
        }
    }
    for ((organization, repository), revision) in found {
        let place = format!("organizations.{organization}.repos.{repository}.rev");
        given.origins.insert(place, origin.clone());
        let organization = given.organizations.entry(organization.to_owned());
        let repositories = &mut organization.or_default().repositories;
        let settings = repositories.entry(repository.to_owned()).or_default();
        settings.revision = revision;
    }
}

fn revision(entry: &str) -> Option<((&str, &str), Revision)> {
    // A repository's name may have the sign for itself.
    let (name, revision) = ["=bookmark:", "=change-id:"].iter().find_map(|sign| {
        let at = entry.find(sign)?;
        Some((entry.get(..at)?, entry.get(at + 1..)?))
    })?;
    let (organization, repository) = name.split_once('/')?;
    let known = is_organization(organization) && is_repository(repository);
    let revision = Revision::try_from(revision).ok()?;
    known.then_some(((organization, repository), revision))
}

/// Reads `MESA_ORGS`.
pub(super) fn organization_credentials(
    surroundings: &Surroundings<'_>,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, Credential> {
    let mut problem = |reason| {
        let origin = Origin::Variable(ORGANIZATIONS);
        problems.push(Problem { origin, reason });
    };
    let mut found = BTreeMap::new();
    let text = match text(ORGANIZATIONS, surroundings) {
        Ok(text) => Zeroizing::new(text.unwrap_or_default()),
        Err(reason) => {
            problem(reason);
            return found;
        }
    };
    for (number, entry) in entries(&text) {
        let Some((organization, credential)) = entry
            .split_once(':')
            .filter(|(organization, _)| is_organization(organization))
        else {
            problem(Reason::OrganizationToken(number));
            continue;
        };
        match Credential::try_from(credential.to_owned()) {
            Err(reason) => problem(reason.into()),
            Ok(credential) => {
                if found.insert(organization.to_owned(), credential).is_some() {
                    problem(Reason::Twice(number));
                }
            }
        }
    }
    found
}
