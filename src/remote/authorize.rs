//! Sending a request with the right credential, and what an answer says of that one.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tracing::field::Empty;
use tracing::{Instrument, info_span};
use uuid::Uuid;

use super::api::token::{self, Lifetime, PrivateKey};
use super::call::Call;
use super::exchange::Request;
use super::http::Answer;
use super::tally::{Count, Outcome};
use super::{Client, Failure};
use crate::secrets::{Credential, Found, Place, RENEW_PATIENCE, Rank, Refusal, Scope};
use crate::traced::TRACED;

/// Life of a token that is signed for one request: a large upload takes a while, and clocks differ.
const REQUEST_LIFETIME_SECONDS: u64 = 900;
/// Credentials that one request is tried with, as each before is refused.
const CREDENTIALS_MAX: u32 = 4;

impl Client {
    /// One request. A refused credential is passed over for the next one that there is: such a
    /// request had no effect, so sending it again is still one attempt, with one patience.
    pub(super) async fn send(&self, count: &Count, call: Call<'_>) -> Result<Answer, Failure> {
        let (scope, patience) = (call.scope, call.patience);
        let begun = Instant::now();
        let mut next = call;
        let mut tried = 1;
        loop {
            let again = next.again();
            let found = self.credential(scope).await?;
            let failure = match self.attempt(count, next, &found).await {
                Err(failure) => failure,
                answer => return answer,
            };
            let Some(worst) = failure.rank() else {
                return Err(failure);
            };
            self.look_for_better(scope).await;
            let better = self
                .secrets
                .find(scope)
                .is_ok_and(|better| better.rank < worst && better.credential != found.credential);
            match again {
                Some(again) if better && tried < CREDENTIALS_MAX => {
                    let patience = patience.saturating_sub(begun.elapsed());
                    next = Call { patience, ..again };
                }
                _ => return Err(failure),
            }
            tried += 1;
        }
    }

    /// The credential to send, after a search for a better one if there is no good one.
    async fn credential(&self, scope: Scope<'_>) -> Result<Found, Failure> {
        self.look_for_better(scope).await;
        let found = self.secrets.find(scope)?;
        self.secrets.admit(&found)?;
        Ok(found)
    }

    /// Looks for a better credential, if that is needed and due. It reads files and runs a program.
    async fn look_for_better(&self, scope: Scope<'_>) {
        if self.secrets.wants_renewal(scope) {
            let (secrets, place) = (Arc::clone(&self.secrets), Place::from(scope));
            let renewing = tokio::task::spawn_blocking(move || secrets.renew(place.scope()));
            // It goes on by itself; who asks is told meanwhile what is missing.
            if let Ok(Err(error)) = tokio::time::timeout(RENEW_PATIENCE, renewing).await {
                tracing::error!(error = %error, "the search for a credential failed");
            }
        }
    }

    async fn attempt(
        &self,
        count: &Count,
        call: Call<'_>,
        found: &Found,
    ) -> Result<Answer, Failure> {
        let scope = call.scope;
        let token = signed(&found.credential, self.secrets.clock().now())?;
        let sent = count.begin(call.body.length());
        let request = Request {
            method: call.method,
            target: call.target,
            credential: token.as_ref().unwrap_or(&found.credential),
            accept: call.accept,
            header: call.header,
            body: call.body,
            patience: call.patience,
        };
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let span = info_span!(
            target: TRACED,
            "request",
            otel.name = request.method.name(),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = request.method.name(),
            url.path = path,
            url.query = query,
            error.type = Empty,
        );
        let mut answer = self.http.send(request).instrument(span.clone()).await;
        let expiry = found.credential.expires_at();
        // Not every server says why; a token says itself when its time is over.
        if matches!(answer, Err(Failure::CredentialUnknown))
            && expiry.is_some_and(|expiry| expiry <= self.secrets.clock().now())
        {
            answer = Err(Failure::CredentialExpired);
        }
        match &answer {
            Err(Failure::Forbidden) => self.secrets.forbidden(found, scope),
            Err(failure) => match failure.refusal() {
                Some(refusal) => self.secrets.refused(found, scope, refusal),
                None if failure.is_answer() => self.secrets.accepted(found),
                None => {}
            },
            Ok(_) => self.secrets.accepted(found),
        }
        sent.end(&answer);
        if answer.is_err() {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", Outcome::of(&answer).name());
        }
        answer
    }
}

/// A private key stays here: what goes along is a token that it signs for one request.
fn signed(credential: &Credential, now: SystemTime) -> Result<Option<Credential>, Failure> {
    if !PrivateKey::is_meant(credential.expose()) {
        return Ok(None);
    }
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let sign = || {
        let key = PrivateKey::parse(credential.expose()).ok()?;
        let token = key.sign(&token::Request {
            // The server clamps them to those of the key.
            scopes: &["admin"],
            repos: None,
            authors: &[],
            issued_at: since.as_secs(),
            lifetime: Lifetime::try_from(REQUEST_LIFETIME_SECONDS).ok()?,
            token_id: Uuid::new_v4(),
        });
        Credential::try_from(token.ok()?).ok()
    };
    // A damaged one is one that no server knows.
    sign().map(Some).ok_or(Failure::CredentialUnknown)
}

impl Failure {
    /// How it refuses the credential, if it does.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        match self {
            Failure::CredentialExpired => Some(Refusal::Expired),
            Failure::CredentialRevoked => Some(Refusal::Revoked),
            Failure::CredentialUnknown => Some(Refusal::Unknown),
            _ => None,
        }
    }

    /// What the credential is now, if the failure says something of it.
    pub(super) fn rank(&self) -> Option<Rank> {
        match self {
            Failure::Forbidden => Some(Rank::Forbidden),
            failure => failure.refusal().map(|_| Rank::Refused),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Expired => Failure::CredentialExpired,
            Refusal::Revoked => Failure::CredentialRevoked,
            Refusal::Unknown => Failure::CredentialUnknown,
        }
    }
}
