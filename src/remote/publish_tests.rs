//! Publishing, and looking at what others did, against scripted servers.

use std::sync::Arc;

use axum::http::Method;
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::api::{Take, extension};
use super::fake::{Fake, Seen, change, error, ok, repository, whoami};
use super::*;
use crate::tree::{ChangeId, Content, Edit, GitOid, TreePath};

const OURS: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
const BASE: &str = "llllllllllllllllllllllllllllllll";
const OTHER: &str = "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm";
const COMMIT: &str = "1111111111111111111111111111111111111111";
const NEXT: &str = "2222222222222222222222222222222222222222";
const ID: [u8; 16] = [7; 16];
const OWN: &str = "/v1/acme/app/bookmarks/mesa%2F07070707-0707-0707-0707-070707070707";

/// A server with one bookmark, which moves only forward if it is guarded.
struct Bookmark {
    at: &'static str,
    reaches: Vec<&'static str>,
    guarded: bool,
    merge: Box<dyn Fn(&Value) -> Response + Send + Sync>,
}

fn bookmark(at: &str) -> Value {
    json!({"name": "main", "change_id": at, "is_default": true})
}

fn history(ids: &[&str]) -> Response {
    let one = |id: &&str| {
        json!({
            "id": id, "current_commit_oid": COMMIT, "message": "",
            "committer": {"name": "a", "email": "b"}, "parents": [],
            "created_at": "2025-06-15T15:06:40Z", "updated_at": "2025-06-15T15:06:40Z",
        })
    };
    let changes: Vec<Value> = ids.iter().map(one).collect();
    ok(json!({"has_more": false, "next_cursor": null, "changes": changes}))
}

fn merged() -> Response {
    ok(json!({
        "merge_type": "merge_commit", "commit_oid": COMMIT, "change_id": OTHER,
        "target": "main", "source": "s", "source_deleted": true,
    }))
}

fn conflict(paths: &[&str]) -> Response {
    let mut answer = error(409, "MERGE_CONFLICT");
    let body = json!({"error": {"code": "MERGE_CONFLICT", "message": "m",
        "details": {"conflict_paths": paths}}});
    *answer.body_mut() = serde_json::to_vec(&body).unwrap().into();
    answer
}

fn serve(server: Bookmark) -> Fake {
    let displaced = Mutex::new(server.at);
    Fake::start(move |seen: &Seen| {
        let guarded: &[&str] = &[extension::IDEMPOTENCY];
        match (&seen.method, seen.path.as_str()) {
            (_, "/v1/whoami") => whoami(if server.guarded { guarded } else { &[] }),
            (&Method::GET, "/v1/acme/app/changes") => history(&server.reaches),
            (&Method::POST, "/v1/acme/app/bookmarks") => ok(bookmark(OURS)),
            (&Method::POST, "/v1/acme/app/bookmarks/merge") => (server.merge)(&seen.json()),
            (&Method::GET, OWN) => ok(bookmark(OURS)),
            (&Method::DELETE, _) => ok(json!({"success": true})),
            (&Method::GET, "/v1/acme/app/bookmarks/main") => ok(bookmark(&displaced.lock())),
            (&Method::PATCH, "/v1/acme/app/bookmarks/main") => {
                if server.guarded && server.at != BASE {
                    return error(409, "NOT_FORWARD");
                }
                let from = std::mem::replace(&mut *displaced.lock(), OURS);
                let mut moved = bookmark(OURS);
                moved["from_change_id"] = from.into();
                ok(moved)
            }
            (&Method::GET, _) => change(OTHER, NEXT, ""),
            _ => error(404, "NOT_FOUND"),
        }
    })
}

fn id(text: &str) -> ChangeId {
    text.parse().unwrap()
}

fn publication(how: How) -> Publication<'static> {
    Publication {
        id: ID,
        bookmark: "main",
        change: id(OURS),
        base: id(BASE),
        how,
        absent: Absent::Respected,
        earlier: Earlier::None,
    }
}

fn sent(fake: &Fake) -> Vec<String> {
    let seen = fake.seen();
    let asked = seen.iter().filter(|seen| seen.path != "/v1/whoami");
    asked
        .map(|seen| {
            let path = seen.path.trim_start_matches("/v1/acme/app/");
            format!("{} {path}", seen.method)
        })
        .collect()
}

fn publisher(fake: &Fake) -> Publisher {
    Publisher::new(fake.remote(READ_PATIENCE), repository())
}

#[test]
fn a_bookmark_that_stayed_is_moved_in_two_requests() {
    for guarded in [true, false] {
        let fake = serve(Bookmark {
            at: BASE,
            reaches: vec![BASE],
            guarded,
            merge: Box::new(|_| merged()),
        });
        let outcome = publisher(&fake).publish(&publication(How::FastForward));
        assert_eq!(outcome.unwrap(), Outcome::Published);
        assert_eq!(sent(&fake), ["GET bookmarks/main", "PATCH bookmarks/main"]);
    }
}

#[test]
fn a_bookmark_that_has_it_already_is_left_alone() {
    for (at, reaches) in [(OURS, vec![]), (OTHER, vec![OTHER, OURS, BASE])] {
        let fake = serve(Bookmark {
            at,
            reaches,
            guarded: false,
            merge: Box::new(|_| merged()),
        });
        let again = Publication {
            earlier: Earlier::Possible,
            ..publication(How::Merge)
        };
        assert_eq!(
            publisher(&fake).publish(&again).unwrap(),
            Outcome::Published
        );
        let sent = sent(&fake);
        assert!(!sent.iter().any(|one| one.starts_with("P")), "{sent:?}");
        // What an earlier attempt may have left goes.
        assert_eq!(
            sent.last().unwrap(),
            &OWN.replace("/v1/acme/app/", "DELETE ")
        );
    }
}

#[test]
fn a_bookmark_elsewhere_is_never_moved_backwards_but_merged() {
    for guarded in [true, false] {
        let merges = Arc::new(Mutex::new(Vec::new()));
        let seen = merges.clone();
        let fake = serve(Bookmark {
            at: OTHER,
            reaches: vec![OTHER, BASE],
            guarded,
            merge: Box::new(move |body| {
                seen.lock().push(body.clone());
                merged()
            }),
        });
        let forward = publisher(&fake).publish(&publication(How::FastForward));
        assert_eq!(forward.unwrap(), Outcome::Diverged(Some(id(OTHER))));
        let outcome = publisher(&fake).publish(&publication(How::Merge));
        assert_eq!(outcome.unwrap(), Outcome::Published);
        let moves = sent(&fake)
            .iter()
            .filter(|one| one.starts_with("PATCH"))
            .count();
        assert_eq!(moves, if guarded { 2 } else { 0 });
        let merges = merges.lock();
        assert_eq!(merges.len(), 1);
        assert_eq!(merges[0]["target"], "main");
        assert_eq!(merges[0]["delete_source"], true);
        assert!(
            merges[0]["source"]
                .as_str()
                .unwrap()
                .starts_with("mesa/0707")
        );
    }
}

#[test]
fn a_conflict_leaves_nothing_behind_and_is_resolved_for_its_own_paths_only() {
    let merge = |body: &Value| match &body["resolutions"] {
        Value::Array(all) if all.len() == 1 && all[0]["take"] == "source" => merged(),
        _ => conflict(&["a/b"]),
    };
    let fake = serve(Bookmark {
        at: OTHER,
        reaches: vec![OTHER, BASE],
        guarded: true,
        merge: Box::new(merge),
    });
    let publisher = publisher(&fake);
    let path = |text: &str| TreePath::try_from(text).unwrap();
    let refused = Outcome::Conflict {
        paths: vec![path("a/b")],
        at: id(OTHER),
        theirs: NEXT.parse().unwrap(),
    };
    let publication = publication(How::Merge);
    assert_eq!(publisher.publish(&publication).unwrap(), refused);
    assert_eq!(
        sent(&fake).last().unwrap(),
        &OWN.replace("/v1/acme/app/", "DELETE ")
    );
    // Nobody was asked about this path.
    let other = publisher.resolve(&publication, &[path("c")], Take::Source);
    assert_eq!(other.unwrap(), refused);
    let resolved = publisher.resolve(&publication, &[path("a/b"), path("gone")], Take::Source);
    assert_eq!(resolved.unwrap(), Outcome::Published);
}

#[test]
fn a_bookmark_that_is_gone_is_made_only_when_that_is_wanted() {
    let fake = Fake::start(|seen: &Seen| match (&seen.method, seen.path.as_str()) {
        (_, "/v1/whoami") => whoami(&[]),
        (&Method::POST, "/v1/acme/app/bookmarks") => ok(bookmark(OURS)),
        _ => error(404, "NOT_FOUND"),
    });
    let gone = publisher(&fake).publish(&publication(How::Merge));
    assert_eq!(gone.unwrap(), Outcome::Diverged(None));
    let made = publisher(&fake).publish(&Publication {
        absent: Absent::Made,
        ..publication(How::Merge)
    });
    assert_eq!(made.unwrap(), Outcome::Published);
}

#[test]
fn what_a_stock_server_let_us_displace_is_merged_back() {
    let merges = Arc::new(Mutex::new(0));
    let count = merges.clone();
    let asked = Mutex::new(0);
    let fake = Fake::start(
        move |seen: &Seen| match (&seen.method, seen.path.as_str()) {
            (_, "/v1/whoami") => whoami(&[]),
            (&Method::GET, "/v1/acme/app/bookmarks/main") => {
                // Somebody moves it between our look and our move.
                *asked.lock() += 1;
                ok(bookmark(if *asked.lock() == 1 { BASE } else { OURS }))
            }
            (&Method::PATCH, _) => {
                let mut moved = bookmark(OURS);
                moved["from_change_id"] = OTHER.into();
                ok(moved)
            }
            (&Method::GET, "/v1/acme/app/changes") => history(&[OURS, BASE]),
            (&Method::POST, "/v1/acme/app/bookmarks") => {
                assert_eq!(seen.json()["change_id"], OTHER);
                ok(bookmark(OTHER))
            }
            (&Method::POST, "/v1/acme/app/bookmarks/merge") => {
                *count.lock() += 1;
                merged()
            }
            _ => error(404, "NOT_FOUND"),
        },
    );
    let outcome = publisher(&fake).publish(&publication(How::FastForward));
    assert_eq!(outcome.unwrap(), Outcome::Published);
    assert_eq!(*merges.lock(), 1);
}

fn entry(name: &str, oid: &str) -> Value {
    json!({"type": "file", "name": name, "path": name, "sha": oid, "size": 3, "mode": "100644"})
}

fn lower(path: &str, oid: &str) -> Edit {
    let path = TreePath::try_from(path).unwrap();
    Edit::File {
        content: Content::Lower {
            oid: oid.parse().unwrap(),
            size: 3,
            from: path.clone(),
        },
        path,
        executable: false,
    }
}

#[test]
fn on_a_server_without_old_commits_only_equality_saves() {
    let current = Arc::new(Mutex::new(NEXT));
    let now = current.clone();
    let fake = Fake::start(move |seen: &Seen| match seen.path.as_str() {
        "/v1/whoami" => whoami(&[]),
        "/v1/acme/app/content" => ok(json!({
            "type": "dir", "name": "", "path": "", "sha": GitOid::EMPTY_TREE.to_string(),
            "child_count": 2, "entries": [entry("a", COMMIT), entry("b", NEXT)],
        })),
        _ => change(OURS, &now.lock(), "theirs"),
    });
    let others = ForeignEdits::new(fake.remote(READ_PATIENCE), repository());
    let (base, theirs): (GitOid, GitOid) = (COMMIT.parse().unwrap(), NEXT.parse().unwrap());
    let paths = |edits: &[Edit]| {
        let Verdict::Known(foreign) = others.between(id(OURS), (base, theirs), edits).unwrap()
        else {
            panic!("moved")
        };
        let found = others.contradictions(edits, &foreign).unwrap();
        found.iter().map(TreePath::to_string).collect::<Vec<_>>()
    };
    let remove = |path| Edit::Remove {
        path: TreePath::try_from(path).unwrap(),
    };
    assert!(paths(&[lower("a", COMMIT), remove("c")]).is_empty());
    let edits = [lower("a", NEXT), lower("new", NEXT), remove("b")];
    assert_eq!(paths(&edits), ["a", "b", "new"]);
    *current.lock() = COMMIT;
    let moved = others.between(id(OURS), (base, theirs), &[remove("c")]);
    assert_eq!(moved.unwrap(), Verdict::Moved);
}
