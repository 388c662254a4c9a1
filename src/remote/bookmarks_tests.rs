//! Calls about bookmarks against scripted servers.

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::{MergeRequest, MergeType};
use super::fake::{Fake, error, ok, repository};
use super::{Conflict, Failure, Violation};
use crate::tree::{ChangeId, TreePath};

const CHANGE: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
const COMMIT: &str = "1111111111111111111111111111111111111111";
const MERGE: &str = "/v1/acme/app/bookmarks/merge";

fn change() -> ChangeId {
    CHANGE.parse().unwrap()
}

fn bookmark(name: &str) -> Value {
    json!({"name": name, "change_id": CHANGE, "is_default": false})
}

#[test]
fn a_bookmark_is_made_moved_forward_and_removed() {
    let fake = Fake::start(|seen| {
        let mut moved = bookmark("a/b");
        moved["from_change_id"] = json!("z".repeat(32));
        match seen.method {
            Method::POST => ok(bookmark("a/b")),
            Method::PATCH => ok(moved),
            _ => ok(json!({"success": true})),
        }
    });
    let (client, repository) = (fake.client("mesa_key"), repository());
    let made = fake.block_on(client.create_bookmark(&repository, "a/b", change()));
    assert_eq!(made.unwrap().name, "a/b");
    let moved = fake.block_on(client.move_bookmark(&repository, "a/b", change()));
    assert_eq!(moved.unwrap().from_change_id, Some(ChangeId::ROOT));
    fake.block_on(client.delete_bookmark(&repository, "a/b"))
        .unwrap();
    let seen = fake.seen();
    let asked: Vec<_> = seen
        .iter()
        .map(|seen| (seen.method.as_str(), seen.path.as_str()))
        .collect();
    assert_eq!(
        asked,
        [
            ("POST", "/v1/acme/app/bookmarks"),
            ("PATCH", "/v1/acme/app/bookmarks/a%2Fb"),
            ("DELETE", "/v1/acme/app/bookmarks/a%2Fb"),
        ]
    );
    assert_eq!(seen[0].json(), json!({"name": "a/b", "change_id": CHANGE}));
    assert_eq!(
        seen[1].json(),
        json!({"change_id": CHANGE, "allow_backwards": false})
    );
    assert!(seen[2].body.is_empty());
    assert_eq!(client.requests().bookmarks_written, 3);
}

#[test]
fn a_name_that_would_address_something_else_is_not_sent() {
    let fake = Fake::start(|_| error(500, "INTERNAL_ERROR"));
    let (client, repository) = (fake.client("mesa_key"), repository());
    for name in ["", ".", ".."] {
        let results = [
            fake.block_on(client.bookmark(&repository, name)).err(),
            fake.block_on(client.create_bookmark(&repository, name, change()))
                .err(),
            fake.block_on(client.move_bookmark(&repository, name, change()))
                .err(),
            fake.block_on(client.delete_bookmark(&repository, name))
                .err(),
        ];
        for result in results {
            assert!(matches!(result, Some(Failure::Unsendable)), "{name:?}");
        }
    }
    assert!(fake.seen().is_empty());
}

#[test]
fn a_refused_move_is_told_from_a_lost_race() {
    let fake = Fake::start(|seen| {
        let name = seen.path.rsplit('/').next().unwrap();
        error(409, name)
    });
    let (client, repository) = (fake.client("mesa_key"), repository());
    for (word, conflict) in [
        ("NOT_FORWARD", Conflict::NotForward),
        // Another server's word for it.
        ("CONFLICT", Conflict::NotForward),
        ("LOCK_CONFLICT", Conflict::Raced),
    ] {
        let moved = fake.block_on(client.move_bookmark(&repository, word, change()));
        assert!(matches!(moved, Err(Failure::Conflict(found)) if found == conflict));
    }
    let made = fake.block_on(client.create_bookmark(&repository, "x", change()));
    assert!(matches!(made, Err(Failure::Conflict(Conflict::Other))));
}

#[test]
fn a_merge_carries_its_key_and_a_conflict_its_paths() {
    let fake = Fake::start(|seen| {
        let body = seen.json();
        if body["source"] == "good" {
            return ok(json!({
                "merge_type": "merge_commit", "is_conflicted": false, "commit_oid": COMMIT,
                "change_id": CHANGE, "target": "main", "source": "good", "source_deleted": true,
            }));
        }
        let lines = "x".repeat(1 << 20);
        let details = json!({"conflict_paths": ["a/b", "../c"], "conflicted_entries": [lines]});
        let body = json!({"error": {"code": "MERGE_CONFLICT", "message": "", "details": details}});
        let mut answer = ok(body);
        *answer.status_mut() = axum::http::StatusCode::CONFLICT;
        answer
    });
    let (client, repository) = (fake.client("mesa_key"), repository());
    let key = Uuid::new_v4();
    let merge = |source: &str| {
        let request = MergeRequest {
            target: "main".into(),
            source: source.into(),
            delete_source: true,
            ..MergeRequest::default()
        };
        fake.block_on(client.merge_bookmarks(&repository, &request, key))
    };
    let merged = merge("good").unwrap();
    assert_eq!(merged.merge_type, MergeType::MergeCommit);
    assert!(merged.source_deleted);
    let Err(Failure::Conflict(Conflict::Merge { paths, omitted })) = merge("bad") else {
        panic!();
    };
    assert_eq!(paths, [TreePath::try_from("a/b").unwrap()]);
    assert_eq!(omitted, 1);
    for seen in fake.seen() {
        assert_eq!(seen.path, MERGE);
        assert_eq!(seen.headers["idempotency-key"], key.to_string().as_str());
    }
}

#[test]
fn pages_of_changes_are_bounded() {
    let fake = Fake::start(|seen| {
        let change = json!({
            "id": CHANGE, "current_commit_oid": COMMIT, "message": "", "parents": [],
            "committer": {"name": "a", "email": "b"},
            "created_at": "2025-06-15T15:06:40Z", "updated_at": "2025-06-15T15:06:40Z",
        });
        let count = if seen.query.contains("cursor") {
            101
        } else {
            100
        };
        let changes = vec![change; count];
        ok(json!({"next_cursor": "more & more", "has_more": true, "changes": changes}))
    });
    let (client, repository) = (fake.client("mesa_key"), repository());
    let page =
        |after: Option<&str>| fake.block_on(client.bookmark_changes(&repository, "a b", after));
    let first = page(None).unwrap();
    assert_eq!(first.changes.len(), 100);
    let too_large = |page| matches!(page, Err(Failure::Protocol(Violation::TooLarge)));
    assert!(too_large(page(first.next_cursor.as_deref())));
    assert!(too_large(page(Some(&"x".repeat(5_000)))));
    let queries: Vec<String> = fake.seen().into_iter().map(|seen| seen.query).collect();
    assert_eq!(
        queries,
        [
            "bookmark=a%20b&limit=100",
            "bookmark=a%20b&limit=100&cursor=more%20%26%20more"
        ]
    );
}
