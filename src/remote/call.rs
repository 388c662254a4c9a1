//! Addresses and bodies of requests: what is quoted, and what stands where.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Serialize;

use super::exchange::{Body, Method};
use super::failure::Violation;
use super::repository::check_segment;
use super::retry::READ_PATIENCE;
use super::{Failure, RepositoryName};
use crate::secrets::Scope;
use crate::tree::{ChangeId, GitOid, TreePath};
use std::time::Duration;

/// What needs no escape in a path segment or query value, as `encodeURIComponent` has it.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// What is read: a commit (an extension), or whatever commit a change has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// This commit.
    Commit(GitOid),
    /// This change's commit of the moment.
    Change(ChangeId),
}

/// One request, before its credential is known.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) scope: Scope<'a>,
    pub(super) accept: &'static str,
    pub(super) header: Option<(&'static str, String)>,
    pub(super) body: Body,
    pub(super) patience: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn get(scope: Scope<'a>, target: String) -> Call<'a> {
        Call {
            method: Method::Get,
            target,
            scope,
            accept: "application/json",
            header: None,
            body: Body::Empty,
            patience: READ_PATIENCE,
        }
    }

    /// A request with a JSON body, which has bounds of its own in place of the patience.
    pub(super) fn write(
        method: Method,
        scope: Scope<'a>,
        target: String,
        body: &impl Serialize,
    ) -> Result<Call<'a>, Failure> {
        let json = serde_json::to_vec(body).map_err(Violation::Shape)?;
        Ok(Call {
            method,
            body: Body::Json(json.into()),
            ..Call::get(scope, target)
        })
    }
}

impl Call<'_> {
    /// The same once more; `None` when its body can be read only once.
    pub(super) fn again(&self) -> Option<Self> {
        Some(Call {
            method: self.method,
            target: self.target.clone(),
            scope: self.scope,
            accept: self.accept,
            header: self.header.clone(),
            body: match &self.body {
                Body::Empty => Body::Empty,
                Body::Json(json) => Body::Json(json.clone()),
                Body::Batch(bytes) => Body::Batch(bytes.clone()),
                Body::File(..) => return None,
            },
            patience: self.patience,
        })
    }
}

pub(super) fn encoded(bytes: &[u8]) -> percent_encoding::PercentEncode<'_> {
    percent_encode(bytes, PLAIN)
}

pub(super) fn of_organization(organization: &str, rest: &str) -> Result<String, Failure> {
    check_segment(organization)?;
    Ok(format!("/{}{rest}", encoded(organization.as_bytes())))
}

pub(super) fn of_repository(repository: &RepositoryName, rest: &str) -> String {
    let organization = encoded(repository.organization().as_bytes());
    let name = encoded(repository.name().as_bytes());
    format!("/{organization}/{name}{rest}")
}

pub(super) fn of_content(
    repository: &RepositoryName,
    at: At,
    path: &TreePath,
    depth: Option<u8>,
) -> String {
    let at = match at {
        At::Commit(commit) => format!("commit_oid={commit}"),
        At::Change(change) => format!("change_id={change}"),
    };
    let path = encoded(path.as_bytes());
    let depth = depth.map(|depth| format!("&depth={depth}"));
    let query = format!("/content?{at}&path={path}{}", depth.unwrap_or_default());
    of_repository(repository, &query)
}
