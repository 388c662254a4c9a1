//! `whoami` and the organization.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::failure::Failure;
use super::receive::Segments;
use super::{Shared, ok, require};
use crate::remote::api::{Org, Organization, Whoami, extension, format_date, header};
use crate::server::keys::{Principal, Scope};

/// `GET /v1/whoami`.
pub(super) async fn whoami(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Failure> {
    let own = &service.data.organization;
    let mut response = ok(Whoami {
        org: Organization {
            id: own.id.clone(),
            slug: own.slug.clone(),
            name: own.slug.clone(),
        },
        scopes: principal.scopes(),
        key_id: Some(principal.key_id),
        key_name: principal.key_name,
        extensions: extension::ALL.map(str::to_owned).to_vec(),
    });
    if let Ok(value) = extension::ALL.join(", ").parse() {
        response.headers_mut().insert(header::EXTENSIONS, value);
    }
    Ok(response)
}

/// `GET /v1/{org}`.
pub(super) async fn show(
    State(service): State<Shared>,
    Extension(principal): Extension<Principal>,
    Segments(organization): Segments<String>,
) -> Result<Response, Failure> {
    service.organization(&organization)?;
    require(&principal, Scope::Read)?;
    let seen = service.repositories.all();
    let seen = seen
        .iter()
        .filter(|hosted| service.sees(&principal, hosted));
    Ok(ok(Org {
        created_at: format_date(service.data.organization.created_at.cast_signed()),
        num_repos: seen.count() as u64,
    }))
}
