//! Many listings, or many objects, in one request: each is handed on as it comes.

use std::time::Duration;

use super::api::{LARGE_BYTES, ObjectsRequest, TreesRequest};
use super::call::{Call, of_repository};
use super::client::Client;
use super::exchange::Method;
use super::failure::Violation;
use super::listing::{LISTING_BYTES_MAX, decode_line};
use super::{Failure, RepositoryName};
use crate::lower::{ListingEntry, Taker};
use crate::tree::GitOid;

/// Takes a directory; returns whether more are wanted.
pub(super) type Take<'a> = &'a mut (dyn FnMut(GitOid, Vec<ListingEntry>) -> bool + Send);

/// Longest line before an object: its id, a word, and a number.
const HEAD_BYTES_MAX: usize = 128;

impl Client {
    /// Hands `tree` and the trees below it to `take`, up to so many bytes if that is said, and adds them
    /// to `taken`.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`]; [`Violation`]s for names that cannot be.
    pub(super) async fn trees(
        &self,
        repository: &RepositoryName,
        (commit, tree, bytes_max): (GitOid, GitOid, Option<u64>),
        patience: Duration,
        take: Take<'_>,
        taken: &mut u64,
    ) -> Result<(), Failure> {
        let wanted = TreesRequest {
            trees: vec![tree],
            recursive: true,
            commit_oid: Some(commit),
            bytes_max,
        };
        let target = of_repository(repository, "/ext/trees");
        let call = Call {
            patience,
            ..Call::write(Method::Post, repository.scope(), target, &wanted)?
        };
        let mut answer = self.send(&self.counts.sweeps, call).await?;
        let mut line = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            self.counts.sweeps.received(chunk.len());
            let mut rest: &[u8] = &chunk;
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (head, tail) = rest.split_at(end);
                line.extend_from_slice(head);
                rest = tail.get(1..).unwrap_or_default();
                if let Some((oid, entries)) = decode_line(&line)? {
                    *taken += 1;
                    if !take(oid, entries) {
                        return Ok(());
                    }
                }
                line.clear();
            }
            line.extend_from_slice(rest);
            if line.len() > LISTING_BYTES_MAX {
                return Err(Violation::TooLarge.into());
            }
        }
        Ok(())
    }

    /// Hands objects of a commit to `taker`, and adds them to `taken`; what the server has not, or
    /// does not send this way, is left out.
    ///
    /// # Errors
    ///
    /// As [`Client::whoami`].
    pub(super) async fn objects(
        &self,
        repository: &RepositoryName,
        (commit, wanted): (GitOid, &[GitOid]),
        patience: Duration,
        taker: &mut dyn Taker,
        taken: &mut u64,
    ) -> Result<(), Failure> {
        let wanted = ObjectsRequest {
            objects: wanted.to_vec(),
            commit_oid: Some(commit),
        };
        let target = of_repository(repository, "/ext/objects");
        let call = Call {
            patience,
            ..Call::write(Method::Post, repository.scope(), target, &wanted)?
        };
        let mut answer = self.send(&self.counts.batches, call).await?;
        let mut buffer = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            self.counts.batches.received(chunk.len());
            buffer.extend_from_slice(&chunk);
            let mut rest: &[u8] = &buffer;
            while let Some((oid, object, after)) = frame(rest)? {
                rest = after;
                *taken += 1;
                if let Some(bytes) = object
                    && !taker.take(oid, bytes)
                {
                    return Ok(());
                }
            }
            let done = buffer.len() - rest.len();
            buffer.drain(..done);
        }
        Ok(())
    }
}

/// An object, its bytes if they are sent, and what follows.
type Frame<'a> = (GitOid, Option<&'a [u8]>, &'a [u8]);

/// The first whole frame of an answer, if there is one.
fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Failure> {
    let malformed = || Failure::from(Violation::OtherObject);
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() > HEAD_BYTES_MAX {
            true => Err(malformed()),
            false => Ok(None),
        };
    };
    let (head, tail) = bytes.split_at(end);
    let tail = tail.get(1..).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| malformed())?;
    let mut words = head.split(' ');
    let oid = words.next().and_then(|word| word.parse().ok());
    let oid: GitOid = oid.ok_or_else(malformed)?;
    if words.next() != Some("blob") {
        return Ok(Some((oid, None, tail)));
    }
    let size = words.next().and_then(|word| word.parse::<u64>().ok());
    let size = size.filter(|size| *size <= LARGE_BYTES);
    let size = usize::try_from(size.ok_or_else(malformed)?).map_err(|_| malformed())?;
    match tail.get(..size).zip(tail.get(size..)) {
        Some((object, [b'\n', after @ ..])) => Ok(Some((oid, Some(object), after))),
        Some((_, [_, ..])) => Err(malformed()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_when_they_are_whole() {
        let oid = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
        let text = format!("{oid} blob 3\na\nb\n{oid} missing\n{oid} large 9000000\n");
        let bytes = text.as_bytes();
        for cut in 0..text.find("missing").unwrap() - 41 {
            assert!(frame(&bytes[..cut]).unwrap().is_none(), "{cut}");
        }
        let (id, object, rest) = frame(bytes).unwrap().unwrap();
        assert_eq!((id.to_string().as_str(), object), (oid, Some(&b"a\nb"[..])));
        let (_, object, rest) = frame(rest).unwrap().unwrap();
        assert_eq!(object, None);
        let (_, object, rest) = frame(rest).unwrap().unwrap();
        assert_eq!((object, rest), (None, &b""[..]));
        for wrong in [
            format!("{oid} blob 99999999999\n"),
            format!("{oid} blob x\n"),
            format!("{oid} blob 1\nab"),
            "x blob 1\na\n".to_owned(),
            "y".repeat(200),
        ] {
            assert!(frame(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
