//! What a status says of the credential, and how a person gives the daemon another one.

use std::time::SystemTime;

use super::control::{AdoptedAs, CredentialAnswer, CredentialRequest};
use super::expiry::Life;
use super::status::{Credential, CredentialState, CredentialTrouble};
use crate::config::Config;
use crate::remote::api::format_date;
use crate::secrets::{Adopted, Found, Place, PlaceError, Rank, Refusal, Scope, Secrets};
use crate::tree::Timestamp;

/// What most of what is mounted is asked for with: the organization's credential, if there is one
/// organization.
pub fn scope_of(config: &Config) -> Scope<'_> {
    match config.organizations.keys().next() {
        Some(organization) if config.organizations.len() == 1 => {
            Scope::Organization { organization }
        }
        _ => Scope::Global,
    }
}

/// The credential for a scope, as far as it can be judged without asking a server.
pub fn described(config: &Config, scope: Scope<'_>) -> Credential {
    let secrets = &config.secrets;
    let found = secrets.find(scope);
    Credential {
        store_troubles: secrets.troubles(),
        ..found.map_or_else(
            |_missing| Credential::missing(),
            |found| of_found(&found, secrets.clock().now()),
        )
    }
}

fn of_found(found: &Found, now: SystemTime) -> Credential {
    let trouble = match (found.refusal, found.rank) {
        (Some(Refusal::Expired), _) => Some(CredentialTrouble::Expired),
        (Some(Refusal::Revoked), _) => Some(CredentialTrouble::Revoked),
        (Some(Refusal::Unknown), _) => Some(CredentialTrouble::Unknown),
        (None, Rank::Over) => Some(CredentialTrouble::Expired),
        (None, Rank::Forbidden) => Some(CredentialTrouble::Forbidden),
        (None, Rank::Good | Rank::Refused) => None,
    };
    let credential = &found.credential;
    let (issued, expires) = (credential.issued_at(), credential.expires_at());
    let date = |time: SystemTime| format_date(Timestamp::from(time).seconds);
    let life = expires.map(|expires| Life::new(issued, expires, found.seen));
    let left = life.map(|life| life.left(now).as_secs());
    let is_late = life.is_some_and(|life| life.phase(now).is_late);
    Credential {
        state: trouble.map_or(CredentialState::Valid, CredentialTrouble::state),
        expires_at: expires.map(date),
        trouble,
        seconds_left: left,
        issued_at: issued.map(date),
        warning: (is_late && trouble.is_none())
            .then(|| "it is about to expire: `mesa auth set-key` renews it".to_owned()),
        kind: Some(credential.kind().name().to_owned()),
        store: Some(found.origin.store.name().to_owned()),
        origin: Some(found.origin.to_string()),
        scope: match &found.place {
            Place::Global => None,
            place => Some(place.to_string()),
        },
        store_troubles: Vec::new(),
    }
}

/// Follows what a person says about credentials.
///
/// # Errors
///
/// A name that cannot be.
pub(super) fn follow(
    secrets: &Secrets,
    request: CredentialRequest,
) -> Result<CredentialAnswer, PlaceError> {
    let adopted = match request {
        CredentialRequest::Adopt {
            org,
            repo,
            credential,
            from,
        } => {
            let place = Place::named(org.as_deref(), repo.as_deref())?;
            Some(match secrets.adopt(place, credential.0, &from) {
                Adopted::Known => AdoptedAs::Known,
                Adopted::Stored => AdoptedAs::Stored,
                Adopted::InMemory => AdoptedAs::InMemory,
            })
        }
        CredentialRequest::Forget { org, repo } => {
            secrets.forget(&Place::named(org.as_deref(), repo.as_deref())?);
            None
        }
    };
    Ok(CredentialAnswer { adopted })
}
