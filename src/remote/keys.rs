//! Calls about API keys: listing, making and revoking them.

use std::time::Duration;

use super::api::{ApiKey, ApiKeyPage, CreatedApiKey, KeyStatus, NewApiKey, Success};
use super::call::{Call, encoded, of_organization};
use super::client::{PAGE_ITEMS, PAGES_MAX};
use super::exchange::Method;
use super::failure::Violation;
use super::{Client, Failure, Remote};
use crate::secrets::Scope;

/// How long a server may take to revoke a key: it waits its turn and syncs.
const REVOKE_PATIENCE: Duration = Duration::from_secs(30);

impl Client {
    /// The keys of an organization.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Violation::Endless`] when pages do not end.
    pub async fn keys(
        &self,
        organization: &str,
        status: KeyStatus,
    ) -> Result<Vec<ApiKey>, Failure> {
        let mut keys = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let cursor_query = cursor.as_deref().map_or_else(String::new, |cursor| {
                format!("&cursor={}", encoded(cursor.as_bytes()))
            });
            let status = status.name();
            let rest = format!("/api-keys?status={status}&limit={PAGE_ITEMS}{cursor_query}");
            let scope = Scope::Organization { organization };
            let call = Call::get(scope, of_organization(organization, &rest)?);
            let page: ApiKeyPage = self.json(&self.counts.keys, call).await?;
            keys.extend(page.api_keys);
            match page.next_cursor {
                Some(next) if page.has_more => cursor = Some(next),
                _ => return Ok(keys),
            }
        }
        Err(Violation::Endless.into())
    }

    /// Makes a key. After a lost answer there may be one whose value nobody knows: it is listed, and
    /// can be revoked.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Failure::Forbidden`] unless the credential is a key with the scope
    /// `admin`.
    pub async fn create_key(
        &self,
        organization: &str,
        key: &NewApiKey,
    ) -> Result<CreatedApiKey, Failure> {
        let scope = Scope::Organization { organization };
        let target = of_organization(organization, "/api-keys")?;
        let call = Call::write(Method::Post, scope, target, key)?;
        self.json(&self.counts.keys, call).await
    }

    /// Revokes a key and all tokens that it signed. Repeating it is harmless.
    ///
    /// # Errors
    ///
    /// As [`Client::create_key`]; [`Failure::NotFound`].
    pub async fn revoke_key(&self, organization: &str, id: &str) -> Result<(), Failure> {
        // Folded, such an address is that of all keys, or of the organization.
        if matches!(id, "" | "." | "..") {
            return Err(Failure::Unsendable);
        }
        let scope = Scope::Organization { organization };
        let rest = format!("/api-keys/{}", encoded(id.as_bytes()));
        let call = Call {
            method: Method::Delete,
            patience: REVOKE_PATIENCE,
            ..Call::get(scope, of_organization(organization, &rest)?)
        };
        let Success { success } = self.json(&self.counts.keys, call).await?;
        match success {
            true => Ok(()),
            false => Err(Violation::Elsewhere.into()),
        }
    }
}

impl Remote {
    /// The keys of an organization.
    ///
    /// # Errors
    ///
    /// As [`Remote::whoami`].
    pub fn keys(&self, organization: &str, status: KeyStatus) -> Result<Vec<ApiKey>, Failure> {
        self.block_on(self.ask(async || self.client().keys(organization, status).await))
    }

    /// Makes a key, in one attempt.
    ///
    /// # Errors
    ///
    /// As [`Client::create_key`].
    pub fn create_key(
        &self,
        organization: &str,
        key: &NewApiKey,
    ) -> Result<CreatedApiKey, Failure> {
        self.block_on(self.write(self.client().create_key(organization, key)))
    }

    /// Revokes a key, in one attempt.
    ///
    /// # Errors
    ///
    /// As [`Client::revoke_key`].
    pub fn revoke_key(&self, organization: &str, id: &str) -> Result<(), Failure> {
        self.block_on(self.write(self.client().revoke_key(organization, id)))
    }
}
