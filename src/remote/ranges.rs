//! Some of a large blob's bytes, by the blob's id, with the digest that came with them.
//!
//! A server or a gateway on the way may know nothing of ranges or of digests: what comes without either is
//! not an error, but no range.

use std::ops::Range;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::call::{Call, of_repository};
use super::client::Client;
use super::failure::Violation;
use super::{Failure, RepositoryName};
use crate::lower::Part;
use crate::tree::GitOid;

impl Client {
    /// Bytes of a blob of `size` bytes that a commit has; `None` when the server sends no ranges after
    /// all.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Violation`]s for another range, or another blob.
    pub(super) async fn range(
        &self,
        repository: &RepositoryName,
        (commit, oid, size): (GitOid, GitOid, u64),
        range: &Range<u64>,
        patience: Duration,
    ) -> Result<Option<Part>, Failure> {
        let target = of_repository(repository, &format!("/ext/blobs/{oid}?commit_oid={commit}"));
        let last = range.end.saturating_sub(1);
        let call = Call {
            patience,
            accept: "application/octet-stream",
            header: Some(("range", format!("bytes={}-{last}", range.start))),
            ..Call::get(repository.scope(), target)
        };
        let mut answer = self.send(&self.counts.ranges, call).await?;
        let Some(came) = answer.header("content-range") else {
            return Ok(None);
        };
        if came != format!("bytes {}-{last}/{size}", range.start) {
            return Err(Violation::OtherObject.into());
        }
        let Some(sha256) = answer.header("content-digest").and_then(digest) else {
            return Ok(None);
        };
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = answer.bytes(length).await?;
        self.counts.ranges.received(bytes.len());
        match bytes.len() == length {
            true => Ok(Some(Part { bytes, sha256 })),
            false => Err(Violation::OtherObject.into()),
        }
    }
}

/// The SHA-256 among the digests that a header names.
fn digest(header: &str) -> Option<[u8; 32]> {
    let mut digests = header.split(',').map(str::trim);
    let text = digests.find_map(|one| one.strip_prefix("sha-256=:")?.strip_suffix(':'))?;
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::{Pin, Source, SourceError};
    use crate::remote::RepositorySource;
    use crate::remote::api::extension;
    use crate::remote::fake::{Fake, Seen, raw, repository, whoami};

    const PIN: Pin = Pin::SAMPLE;

    /// What comes of bytes 100 to 199 of 1,000, and what was asked for.
    fn asked(
        extensions: &'static [&str],
        body: &'static [u8],
        headers: &'static [(&str, &str)],
    ) -> (Result<Option<Part>, SourceError>, Option<Seen>) {
        let fake = Fake::start(move |seen| {
            if seen.path == "/v1/whoami" {
                return whoami(extensions);
            }
            let mut answer = raw(body);
            for (name, value) in headers {
                answer.headers_mut().insert(*name, value.parse().unwrap());
            }
            answer
        });
        let remote = fake.remote(Duration::from_secs(5));
        let source = RepositorySource::new(remote, repository());
        let came = source.range(&PIN, GitOid([4; 20]), 1_000, &(100..200));
        let seen = fake.seen().into_iter();
        let seen = seen.filter(|seen| seen.path != "/v1/whoami").last();
        (came, seen)
    }

    #[test]
    fn a_range_is_what_was_asked_for_or_none() {
        const ALL: &[&str] = &extension::ALL;
        const RANGE: (&str, &str) = ("content-range", "bytes 100-199/1000");
        const DIGEST: (&str, &str) = (
            "content-digest",
            "sha-256=:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=:",
        );
        let (came, seen) = asked(ALL, &[5; 100], &[RANGE, DIGEST]);
        let part = Part {
            bytes: vec![5; 100],
            sha256: [7; 32],
        };
        assert_eq!(came.unwrap(), Some(part));
        let seen = seen.unwrap();
        assert_eq!(seen.headers["range"], "bytes=100-199");
        assert!(
            seen.path
                .ends_with(&format!("/ext/blobs/{}", GitOid([4; 20])))
        );
        assert_eq!(seen.query, format!("commit_oid={}", PIN.commit));

        let (came, seen) = asked(&[extension::OBJECTS, extension::COMMIT_READ], &[], &[]);
        assert!(came.unwrap().is_none() && seen.is_none());
        for (body, headers) in [(&[5; 1_000][..], &[][..]), (&[5; 100], &[RANGE])] {
            assert!(asked(ALL, body, headers).0.unwrap().is_none());
        }
        const OTHER: (&str, &str) = ("content-range", "bytes 100-199/1001");
        for (body, headers) in [
            (&[5; 100][..], &[OTHER, DIGEST][..]),
            (&[5; 99], &[RANGE, DIGEST]),
            (&[5; 101], &[RANGE, DIGEST]),
        ] {
            let (came, _) = asked(ALL, body, headers);
            assert!(matches!(came, Err(SourceError::Protocol)), "{came:?}");
        }
    }

    #[test]
    fn the_digest_that_is_known_is_found_among_others() {
        let text = STANDARD.encode([7; 32]);
        for header in [
            format!("sha-256=:{text}:"),
            format!("sha-512=:AAAA:, sha-256=:{text}:"),
        ] {
            assert_eq!(digest(&header), Some([7; 32]), "{header}");
        }
        for header in ["", "sha-256=AAAA", "sha-256=:AAAA:", "sha-512=:AAAA:"] {
            assert_eq!(digest(header), None, "{header}");
        }
    }
}
