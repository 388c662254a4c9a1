//! A snapshot that was asked for before anybody wanted it: while a mount asks who its credential is, the one
//! repository that the credential is for may as well be on its way.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::pin::{Along, Resolved, Target};
use super::{Extensions, Failure, Remote, RepositoryName};

/// How old an answer may be: somebody who looks right after the mount sees what was there when he began.
const FRESH: Duration = Duration::from_secs(3);

/// The one that was asked for last.
#[derive(Default)]
pub(super) struct Anticipated(Mutex<Option<Asked>>);

struct Asked {
    repository: RepositoryName,
    target: Target,
    at: Instant,
    answer: oneshot::Receiver<Result<Resolved, Failure>>,
}

impl Remote {
    /// Asks for a snapshot in the background, once: who resolves the same within three seconds is given
    /// that answer, and waits for it. It is asked for as the extension has it, before it is known whether the
    /// server has that; else as the contract has it.
    pub fn anticipate(self: &Arc<Self>, repository: &RepositoryName, target: Target, along: Along) {
        let (sender, answer) = oneshot::channel();
        let (remote, name, wanted) = (Arc::clone(self), repository.clone(), target.clone());
        let started = thread::Builder::new()
            .name("anticipate".into())
            .spawn(move || {
                let patience = remote.patience();
                let left = patience.left(Instant::now());
                let resolved = remote.block_on(async {
                    if Extensions::may_be() {
                        let snapshot = remote.client().snapshot(&name, &wanted, along, left);
                        if let Ok(resolved) = snapshot.await {
                            return Ok(resolved);
                        }
                    }
                    remote.find(patience, &name, &wanted, along).await
                });
                let _nobody_came_for_it = sender.send(resolved);
            });
        if started.is_err() {
            return;
        }
        *self.anticipated().0.lock() = Some(Asked {
            repository: repository.clone(),
            target,
            at: Instant::now(),
            answer,
        });
    }

    /// What was asked for ahead, if it is this, and came.
    pub(super) async fn take_anticipated(
        &self,
        repository: &RepositoryName,
        target: &Target,
        patience: Duration,
    ) -> Option<Resolved> {
        let asked = self.anticipated().0.lock().take()?;
        let is_it = asked.repository == *repository && asked.target == *target;
        if !is_it || asked.at.elapsed() > FRESH {
            return None;
        }
        // Whatever went wrong is found out again, by somebody who tries more than once.
        let answer = tokio::time::timeout(patience, asked.answer).await;
        answer.ok()?.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fake::{Fake, error, ok, whoami};
    use super::*;

    const CHANGE: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn what_is_anticipated_is_asked_for_once_and_is_no_hindrance() {
        let fake = Fake::start(|seen| match seen.path.as_str() {
            "/v1/whoami" => whoami(&["commit-read", "snapshots"]),
            "/v1/acme/app/ext/snapshot" if seen.query.contains("bookmark=gone") => {
                error(404, "NOT_FOUND")
            }
            "/v1/acme/app/ext/snapshot" => ok(json!({
                "bookmark": "main", "change_id": CHANGE, "commit_oid": COMMIT, "tree": COMMIT,
                "committed_at": "2025-06-15T15:06:40Z", "listings": [],
            })),
            path => panic!("{path}"),
        });
        let remote = fake.remote(Duration::from_secs(5));
        let name = RepositoryName::new("acme", "app").unwrap();
        let resolve = |target: &Target| remote.resolve(&name, target, Along::default());
        let target = Target::DefaultBookmark;
        remote.anticipate(&name, target.clone(), Along::default());
        assert_eq!(resolve(&target).unwrap().pin.commit.to_string(), COMMIT);
        // Not even who the credential is: the answer says what the server can do.
        assert_eq!(remote.requests().total(), 1);
        // It is given away once, and to nobody who wants something else.
        resolve(&target).unwrap();
        assert_eq!(remote.requests().total(), 3);
        remote.anticipate(&name, target.clone(), Along::default());
        resolve(&Target::Bookmark("main".into())).unwrap();
        resolve(&target).unwrap();
        let gone = Target::Bookmark("gone".into());
        remote.anticipate(&name, gone.clone(), Along::default());
        assert!(matches!(resolve(&gone), Err(Failure::NotFound)));
    }
}
