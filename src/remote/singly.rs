//! Many objects of a server that sends one for a request: several requests at once, in the order in which
//! they are wanted.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::concurrency::Place;
use super::sinks::Hashing;
use super::source::moved_if_gone;
use super::{At, Failure, RepositorySource};
use crate::lower::{Located, Pin, SourceError, Taker};
use crate::tree::GitOid;

/// Objects up to this take as long as the way and the server take, on all but the slowest lines.
const BRIEF_BYTES_MAX: u64 = 16 << 10;

/// An object that was asked for; `None` is one that the server does not have.
type Answered = (GitOid, Result<Option<Vec<u8>>, SourceError>);

impl RepositorySource {
    /// Hands the objects to `taker`, until it wants no more. After a failure nothing more is asked for, and
    /// what comes all the same is handed on.
    pub(super) async fn one_by_one(
        &self,
        pin: &Pin,
        wanted: &[Located],
        taker: &mut dyn Taker,
    ) -> Result<(), SourceError> {
        let at = self.at(self.remote.patience(), pin).await?;
        let concurrency = self.remote.concurrency();
        let mut wanted = wanted.iter();
        let mut running = FuturesUnordered::new();
        let mut failed = Ok(());
        let mut goes_on = true;
        loop {
            tokio::select! {
                biased;
                Some(answered) = running.next(), if !running.is_empty() => {
                    let (oid, answer): Answered = answered;
                    match answer {
                        Ok(Some(bytes)) if !taker.take(oid, &bytes) => return Ok(()),
                        Ok(_) => {}
                        Err(error) => (failed, goes_on) = (Err(error), false),
                    }
                },
                place = concurrency.enter(self.requests_max), if goes_on => {
                    match wanted.find(|(_, oid, _)| taker.wants(*oid)) {
                        Some(object) => running.push(self.one(place, at, object)),
                        None => goes_on = false,
                    }
                },
                else => return failed,
            }
        }
    }

    async fn one(&self, place: Place<'_>, at: At, (path, oid, size): &Located) -> Answered {
        let mut bytes = Vec::new();
        let mut sink = Hashing::new(&mut bytes, *size);
        let length = usize::try_from(*size).unwrap_or(usize::MAX);
        let patience = self.remote.patience();
        let read = self.read_small(patience, at, path, length, &mut sink).await;
        let is_it = sink.oid() == *oid;
        let answer = match (at, read) {
            // The lower layer verifies.
            (At::Commit(_), Ok(())) => Ok(Some(bytes)),
            (At::Commit(_), Err(Failure::NotFound)) => Ok(None),
            (At::Change(_), Ok(())) if is_it => Ok(Some(bytes)),
            (At::Change(_), Ok(())) => Err(SourceError::Moved),
            (_, Err(failure)) => Err(moved_if_gone(at, failure)),
        };
        if answer.is_ok() && *size <= BRIEF_BYTES_MAX {
            place.answered();
        }
        (*oid, answer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Condvar, Mutex};
    use std::time::Duration;

    use super::super::fake::{Fake, Response, Seen, error, raw, repository, whoami};
    use super::*;
    use crate::lower::Source;
    use crate::tree::TreePath;

    const PIN: Pin = Pin::SAMPLE;

    /// A file whose bytes are its name.
    fn located(name: &str) -> Located {
        let mut nowhere = std::io::sink();
        let mut hashing = Hashing::new(&mut nowhere, name.len() as u64);
        std::io::Write::write_all(&mut hashing, name.as_bytes()).unwrap();
        let path = TreePath::try_from(name).unwrap();
        (path, hashing.oid(), name.len() as u64)
    }

    fn named(count: usize) -> Vec<Located> {
        (0..count)
            .map(|number| located(&format!("{number:03}")))
            .collect()
    }

    fn name_of(seen: &Seen) -> String {
        seen.query.rsplit_once("path=").unwrap().1.to_owned()
    }

    /// A server without extensions, which answers reads of files as `answer` says.
    fn stock(
        answer: impl Fn(&str) -> Response + Send + Sync + 'static,
    ) -> (Fake, RepositorySource) {
        let fake = Fake::start(move |seen| match seen.path.as_str() {
            "/v1/whoami" => whoami(&[]),
            _ => answer(&name_of(seen)),
        });
        let remote = fake.remote(Duration::from_secs(10));
        (fake, RepositorySource::new(remote, repository()))
    }

    /// How many requests are under way, and were at most.
    #[derive(Default)]
    struct Crowd {
        now: Mutex<(usize, usize)>,
        changed: Condvar,
    }

    impl Crowd {
        /// Stays until there were so many at once, or for a while.
        fn wait_for(&self, count: usize) {
            let mut now = self.now.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
            self.changed.notify_all();
            let patience = Duration::from_secs(2);
            let too_few = |now: &mut (usize, usize)| now.1 < count;
            let (mut now, _) = self
                .changed
                .wait_timeout_while(now, patience, too_few)
                .unwrap();
            now.0 -= 1;
        }

        fn most(&self) -> usize {
            self.now.lock().unwrap().1
        }
    }

    #[test]
    fn several_requests_are_under_way_and_no_more_than_may_be() {
        let crowd = Arc::new(Crowd::default());
        let inside = crowd.clone();
        let (_fake, source) = stock(move |name| {
            inside.wait_for(4);
            raw(name.to_owned())
        });
        let source = source.with_requests_max(4);
        let files = named(40);
        let mut came = Vec::new();
        let mut take = |oid, bytes: &[u8]| {
            came.push((oid, bytes.to_vec()));
            true
        };
        assert!(source.objects(&PIN, &files, &mut take).unwrap());
        assert!(source.asks_one_by_one());
        came.sort();
        let mut expected: Vec<_> = files
            .iter()
            .map(|(path, oid, _)| (*oid, path.to_string().into_bytes()))
            .collect();
        expected.sort();
        assert_eq!(came, expected);
        assert_eq!(crowd.most(), 4);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_not_asked_for() {
        struct Others(Vec<GitOid>);
        impl Taker for Others {
            fn wants(&mut self, oid: GitOid) -> bool {
                !self.0.contains(&oid)
            }

            fn take(&mut self, _: GitOid, _: &[u8]) -> bool {
                true
            }
        }
        let (fake, source) = stock(|name| raw(name.to_owned()));
        let files = named(10);
        let mut taker = Others(files.iter().step_by(2).map(|(_, oid, _)| *oid).collect());
        assert!(source.objects(&PIN, &files, &mut taker).unwrap());
        let mut asked: Vec<_> = fake.seen().iter().skip(1).map(name_of).collect();
        asked.sort();
        assert_eq!(asked, ["001", "003", "005", "007", "009"]);
    }

    #[test]
    fn a_server_that_refuses_for_a_while_is_asked_again_and_one_that_fails_is_left_alone() {
        let refused = Arc::new(AtomicUsize::new(0));
        let count = refused.clone();
        let (_fake, source) = stock(move |name| match count.fetch_add(1, Ordering::SeqCst) {
            2..6 => error(429, "RATE_LIMITED"),
            _ => raw(name.to_owned()),
        });
        let mut came = 0;
        let mut take = |_, _: &[u8]| {
            came += 1;
            true
        };
        assert!(source.objects(&PIN, &named(20), &mut take).unwrap());
        assert_eq!(came, 20);

        let (fake, source) = stock(|name| match name {
            "003" => error(403, "FORBIDDEN"),
            name => raw(name.to_owned()),
        });
        let mut came = Vec::new();
        let mut take = |oid, _: &[u8]| {
            came.push(oid);
            true
        };
        let files = named(200);
        let end = source.objects(&PIN, &files, &mut take);
        assert!(matches!(end, Err(SourceError::Forbidden)), "{end:?}");
        assert!(came.contains(&files[0].1));
        let asked = fake.seen().len();
        assert!(asked < 20, "{asked}");
    }

    #[test]
    fn a_change_that_moved_on_ends_it() {
        let (_fake, source) = stock(|name| match name {
            "005" => raw("another"),
            name => raw(name.to_owned()),
        });
        let mut take = |_, _: &[u8]| true;
        let end = source.objects(&PIN, &named(100), &mut take);
        assert!(matches!(end, Err(SourceError::Moved)), "{end:?}");
    }
}
