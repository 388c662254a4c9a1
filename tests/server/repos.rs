//! Repositories: labels and filters by them, upstreams, and what a new name or a removal does to those
//! who are at work.

use crate::harness::*;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn names(page: &Value) -> Vec<String> {
    let repos = page["repos"].as_array().unwrap();
    repos.iter().map(|repo| text(&repo["name"])).collect()
}

async fn make(server: &Server, new: Value) -> Value {
    server.post("/local/repos", new).await.expect(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_a_name_gets_one_that_is_free() {
    let server = Server::new(&[]).await;
    let first = make(&server, json!({})).await;
    let second = make(&server, json!({"default_bookmark": "trunk"})).await;
    assert_ne!(first["name"], second["name"]);
    assert_eq!(second["default_bookmark"], "trunk");
    let at = format!("/local/{}", text(&first["name"]));
    assert_eq!(server.get(&at).await.expect(200), first);
    assert_eq!(first["upstream"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_filter_a_list_page_by_page_in_both_forms() {
    let server = Server::new(&[]).await;
    for (name, tags) in [
        ("a", json!({"lang": "rust", "team": "core"})),
        ("b", json!({"lang": "go", "team": "core"})),
        ("c", json!({"lang": "rust"})),
        ("d", json!({})),
    ] {
        make(&server, json!({"name": name, "tags": tags})).await;
    }
    for (filter, expected) in [
        ("lang:rust", vec!["a", "c"]),
        ("lang:rust,team:core", vec!["a"]),
        (
            r#"{"lang":{"$in":["go","rust"]},"team":{"$exists":false}}"#,
            vec!["c"],
        ),
        (
            r#"{"$or":[{"lang":"go"},{"$not":{"lang":{"$exists":true}}}]}"#,
            vec!["b", "d"],
        ),
        (
            r#"{"lang":{"$starts_with":"r","$ends_with":"t","$contains":"us"}}"#,
            vec!["a", "c"],
        ),
        (
            r#"{"$and":[{"team":"core"},{"lang":{"$eq":"go"}}]}"#,
            vec!["b"],
        ),
    ] {
        let request = server.request(Method::GET, "/local/repos");
        let page = server.send(request.query(&[("tags", filter)])).await;
        assert_eq!(names(&page.expect(200)), expected, "{filter}");
    }
    let page = server.get("/local/repos?tags=lang:rust&limit=1").await;
    let page = page.expect(200);
    assert_eq!(
        (names(&page), &page["has_more"]),
        (vec!["a".to_owned()], &json!(true))
    );
    let next = format!(
        "/local/repos?tags=lang:rust&limit=1&cursor={}",
        text(&page["next_cursor"])
    );
    assert_eq!(names(&server.get(&next).await.expect(200)), ["c"]);
    for bad in ["lang", r#"{"$where":"1"}"#, r#"{"lang":{"$gt":"a"}}"#, "{"] {
        let request = server.request(Method::GET, "/local/repos");
        let refused = server.send(request.query(&[("tags", bad)])).await;
        refused.expect(400);
    }
    let bad = json!({"name": "x", "tags": {"$and": "x"}});
    server.post("/local/repos", bad).await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_set_on_many_at_once_and_again() {
    let mut server = Server::new(&[]).await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(make(&server, json!({"name": name, "tags": {"old": "1"}})).await["id"].clone());
    }
    let at = "/local/repos/tags";
    let set = json!({"repo_ids": [ids[0], ids[1], "unknown", ids[1]], "action": "set", "key": "k", "value": "v"});
    for _ in 0..2 {
        let updated = server.patch(at, set.clone()).await.expect(200);
        assert_eq!(updated, json!({"updated": 2}));
    }
    let remove = json!({"repo_ids": [ids[1], ids[2]], "action": "remove", "key": "old"});
    for _ in 0..2 {
        let updated = server.patch(at, remove.clone()).await.expect(200);
        assert_eq!(updated, json!({"updated": 2}));
    }
    for bad in [
        json!({"repo_ids": [], "action": "set", "key": "k", "value": "v"}),
        json!({"repo_ids": vec!["x"; 101], "action": "set", "key": "k", "value": "v"}),
        json!({"repo_ids": [ids[0]], "action": "set", "key": "$k", "value": "v"}),
        json!({"repo_ids": [ids[0]], "action": "set", "key": "k"}),
        json!({"repo_ids": [ids[0]], "action": "toggle", "key": "k", "value": "v"}),
    ] {
        server.patch(at, bad).await.expect(400);
    }
    server.stop().await;
    server.start(&[]).await;
    for (name, tags) in [
        ("a", json!({"old": "1", "k": "v"})),
        ("b", json!({"k": "v"})),
        ("c", json!({})),
    ] {
        let repo = server.get(&format!("/local/{name}")).await.expect(200);
        assert_eq!(repo["tags"], tags, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_shown_without_its_secret_which_is_kept_nowhere() {
    let mut server = Server::new(&[]).await;
    let auth = json!({"kind": "token", "token": "made-up-secret"});
    let upstream = json!({"url": "https://example.com/a.git", "auth": auth});
    let repo = make(&server, json!({"name": "app", "upstream": upstream})).await;
    let shown =
        json!({"url": "https://example.com/a.git", "auth_kind": "token", "latest_sync": null});
    assert_eq!(repo["upstream"], shown);
    server.stop().await;
    server.start(&[]).await;
    assert_eq!(
        server.get("/local/app").await.expect(200)["upstream"],
        shown
    );
    let file = server.bare("app").join("mesa.json");
    assert!(
        !fs::read_to_string(&file)
            .unwrap()
            .contains("made-up-secret")
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for (patch, expected) in [
        (json!({"tags": {"a": "b"}}), shown.clone()),
        (
            json!({"upstream": {"url": "https://example.com/b.git"}}),
            json!({"url": "https://example.com/b.git", "auth_kind": "token", "latest_sync": null}),
        ),
        (
            json!({"upstream": {"auth": {"kind": "username_password", "username": "u", "password": "p"}}}),
            json!({"url": "https://example.com/b.git", "auth_kind": "username_password", "latest_sync": null}),
        ),
        (
            json!({"upstream": {"auth": null}}),
            json!({"url": "https://example.com/b.git", "auth_kind": null, "latest_sync": null}),
        ),
        (json!({"upstream": null}), Value::Null),
    ] {
        let repo = server.patch("/local/app", patch.clone()).await.expect(200);
        assert_eq!(repo["upstream"], expected, "{patch}");
    }
    for bad in [
        json!({"upstream": {"auth": null}}),
        json!({"upstream": {"url": "https://u:p@example.com/a"}}),
        json!({"upstream": {"url": "file:///etc/passwd"}}),
        json!({"upstream": {"url": "https://example.com", "auth": {"kind": "magic"}}}),
    ] {
        server.patch("/local/app", bad).await.expect(400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_says_that_it_is_not_configured() {
    let server = Server::new(&[]).await;
    make(&server, json!({"name": "app"})).await;
    let at = "/local/app/upstream/syncs";
    let pull = json!({"direction": "pull"});
    server.post(at, pull.clone()).await.expect(409);
    let upstream = json!({"upstream": {"url": "https://example.com/a.git"}});
    server.patch("/local/app", upstream).await.expect(200);
    let error = server.post(at, pull).await.expect(409)["error"].clone();
    assert_eq!(error["code"], "NOT_CONFIGURED");
    assert!(text(&error["message"]).contains("not configured"));
    for bad in [
        json!({"direction": "sideways"}),
        json!({"direction": "pull", "ref_globs": {}}),
        json!({"direction": "pull", "ref_globs": {"branches": []}}),
    ] {
        server.post(at, bad).await.expect(400);
    }
    let page = server.get(at).await.expect(200);
    assert_eq!(
        page,
        json!({"next_cursor": null, "has_more": false, "syncs": []})
    );
    server.get(&format!("{at}/any")).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_bookmark_that_is_no_longer_the_default_stays() {
    let mut server = Server::new(&[]).await;
    make(&server, json!({"name": "app"})).await;
    let root = "z".repeat(32);
    let new = json!({"name": "trunk", "change_id": root});
    server.post("/local/app/bookmarks", new).await.expect(201);
    server
        .patch("/local/app", json!({"default_bookmark": "nowhere"}))
        .await
        .expect(404);
    let repo = server
        .patch("/local/app", json!({"default_bookmark": "trunk"}))
        .await
        .expect(200);
    assert_eq!(repo["default_bookmark"], "trunk");
    server.stop().await;
    server.start(&[]).await;
    let page = server.get("/local/app/bookmarks").await.expect(200);
    assert_eq!(
        page["bookmarks"],
        json!([
            {"name": "main", "change_id": root, "is_default": false},
            {"name": "trunk", "change_id": root, "is_default": true},
        ])
    );
    server.delete("/local/app/bookmarks/main").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_name_disturbs_nobody_who_is_at_work() {
    let mut server = Server::new(&[]).await;
    let repo = make(&server, json!({"name": "name0"})).await;
    let base = json!({"base_change_id": "z".repeat(32), "files": [upsert("f", &[7; 100_000])]});
    let change = text(&server.post("/local/name0/changes", base).await.expect(201)["id"]);
    // Whoever asks at any moment finds the repository under one of two names, and nothing breaks.
    let renames = async {
        for number in 1..=20 {
            let at = format!("/local/name{}", number - 1);
            let to = json!({"name": format!("name{number}")});
            server.patch(&at, to).await.expect(200);
        }
    };
    let work = async {
        let mut at = 0;
        let mut done = 0;
        while at < 20 || done < 20 {
            let path = format!("/local/name{at}/content?path=f&change_id={change}");
            match server.bytes(&path).await.status.as_u16() {
                200 => {}
                404 => {
                    at += 1;
                    continue;
                }
                status => panic!("{status}"),
            }
            let patch = json!({"files": [upsert("f", format!("{done}").as_bytes())]});
            let path = format!("/local/name{at}/changes/{change}");
            match server.patch(&path, patch).await.status.as_u16() {
                200 => done += 1,
                404 => at += 1,
                status => panic!("{status}"),
            }
        }
        done
    };
    let ((), done) = tokio::join!(renames, work);
    // The first name is free, and means another repository.
    let other = make(&server, json!({"name": "name0"})).await;
    assert_ne!(other["id"], repo["id"]);
    server.stop().await;
    server.start(&[]).await;
    assert_eq!(
        names(&server.get("/local/repos").await.expect(200)),
        ["name0", "name20"]
    );
    assert_eq!(
        server.get("/local/name20").await.expect(200)["id"],
        repo["id"]
    );
    let path = format!("/local/name20/content?path=f&change_id={change}");
    assert_eq!(
        server.bytes(&path).await.bytes,
        format!("{}", done - 1).as_bytes()
    );
    let empty = server.get("/local/name0/content").await.expect(200);
    assert_eq!(empty["child_count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_leaves_nothing_and_breaks_nobody_who_is_at_work() {
    let mut server = Server::new(&[]).await;
    for _ in 0..10 {
        make(&server, json!({"name": "app"})).await;
        let base = json!({"base_change_id": "z".repeat(32), "files": [upsert("f", &[7; 100_000])]});
        let change = text(&server.post("/local/app/changes", base).await.expect(201)["id"]);
        let path = format!("/local/app/content?path=f&change_id={change}");
        let readers = futures_util::future::join_all((0..20).map(|_| server.bytes(&path)));
        let removal = async { server.delete("/local/app").await.expect(200) };
        let (answers, _) = tokio::join!(readers, removal);
        for answer in answers {
            assert!(
                matches!(answer.status.as_u16(), 200 | 404),
                "{}",
                answer.status
            );
        }
        server.get("/local/app").await.expect(404);
        server.delete("/local/app").await.expect(404);
    }
    server.stop().await;
    server.start(&[]).await;
    let left = |folder: &str| fs::read_dir(server.data().join(folder)).unwrap().count();
    assert_eq!((left("orgs/local"), left("temporary")), (0, 0));
}
