//! Data directories, repositories and bookmarks.

use crate::harness::*;
use mesa::server::{Options, start};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[tokio::test(flavor = "multi_thread")]
async fn bookmarks_move_forward_unless_told_otherwise() {
    let (_source, server) = sample_server().await;
    let head = text(&server.get("/local/app").await.expect(200)["head_change_id"]);
    let base = json!({"base_change_id": head});
    let child = text(
        &server
            .post("/local/app/changes", base.clone())
            .await
            .expect(201)["id"],
    );
    let sibling = text(&server.post("/local/app/changes", base).await.expect(201)["id"]);
    let all = "/local/app/bookmarks";
    let at = "/local/app/bookmarks/feature%2Fx";
    let made = json!({"name": "feature/x", "change_id": child});
    let bookmark = server.post(all, made.clone()).await.expect(201);
    assert_eq!(
        bookmark,
        json!({"name": "feature/x", "change_id": child, "is_default": false})
    );
    server.post(all, made).await.expect(409);
    server
        .post(all, json!({"name": "feature", "change_id": child}))
        .await
        .expect(400);
    for bad in ["a..b", "a b", "-x", "x.lock", "a/", "HEAD", "a~b", ""] {
        server
            .post(all, json!({"name": bad, "change_id": child}))
            .await
            .expect(400);
    }
    let refused = server
        .patch(at, json!({"change_id": sibling}))
        .await
        .expect(409);
    assert_eq!(refused["error"]["code"], "NOT_FORWARD");
    server
        .patch(at, json!({"change_id": head}))
        .await
        .expect(409);
    let back = json!({"change_id": head, "allow_backwards": true});
    let moved = server.patch(at, back).await.expect(200);
    assert_eq!(
        (&moved["change_id"], &moved["from_change_id"]),
        (&json!(head), &json!(child))
    );
    let moved = server
        .patch(at, json!({"change_id": sibling}))
        .await
        .expect(200);
    assert_eq!(moved["from_change_id"], json!(head));
    let root = "z".repeat(32);
    server
        .post(all, json!({"name": "nothing", "change_id": root}))
        .await
        .expect(201);
    let page = server.get(&format!("{all}?limit=2")).await.expect(200);
    assert_eq!(page["bookmarks"][1]["name"], "nothing");
    let cursor = text(&page["next_cursor"]);
    let page = server
        .get(&format!("{all}?limit=2&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(
        page["bookmarks"],
        json!([{"name": "trunk", "change_id": head, "is_default": true}])
    );
    let globbed = server
        .get(&format!("{all}?glob=f*%2F%3F"))
        .await
        .expect(200);
    assert_eq!(globbed["bookmarks"].as_array().unwrap().len(), 1);
    server
        .patch("/local/app/bookmarks/nothing", json!({"change_id": child}))
        .await
        .expect(200);
    server
        .delete("/local/app/bookmarks/trunk")
        .await
        .expect(409);
    assert_eq!(
        server.delete(at).await.expect(200),
        json!({"success": true})
    );
    server.delete(at).await.expect(404);
    server.get(at).await.expect(404);
    git(&server.bare("app"), &["fsck", "--strict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_made_listed_patched_and_removed() {
    let server = Server::new(&[]).await;
    for name in ["b", "a", "c"] {
        let repo = server
            .post("/local/repos", json!({"name": name}))
            .await
            .expect(201);
        assert_eq!(repo["head_change_id"], "z".repeat(32));
        assert_eq!(repo["default_bookmark"], "main");
    }
    server
        .post("/local/repos", json!({"name": "a"}))
        .await
        .expect(409);
    server
        .post("/local/repos", json!({"name": "../x"}))
        .await
        .expect(400);
    server
        .post("/local/repos", json!({"name": "repos"}))
        .await
        .expect(400);
    let page = server.get("/local/repos?limit=2").await.expect(200);
    assert_eq!(
        (&page["repos"][0]["name"], &page["repos"][1]["name"]),
        (&json!("a"), &json!("b"))
    );
    let cursor = text(&page["next_cursor"]);
    let page = server
        .get(&format!("/local/repos?limit=2&cursor={cursor}"))
        .await
        .expect(200);
    assert_eq!(
        (page["repos"].as_array().unwrap().len(), &page["has_more"]),
        (1, &json!(false))
    );
    assert_eq!(server.get("/local").await.expect(200)["num_repos"], 3);
    // An empty repository reads as an empty directory, on every path there is.
    let empty = server.get("/local/a/content").await.expect(200);
    assert_eq!(empty["sha"], "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    assert_eq!(
        server.get("/local/a/changes").await.expect(200)["changes"],
        json!([])
    );
    assert_eq!(
        server.get("/local/a/bookmarks/main").await.expect(200)["change_id"],
        "z".repeat(32)
    );
    server
        .get(&format!("/local/a/changes/{}", "z".repeat(32)))
        .await
        .expect(200);
    let change = json!({"base_change_id": "z".repeat(32), "files": [upsert("f", b"1")]});
    let change = server.post("/local/a/changes", change).await.expect(201);
    server
        .patch(
            "/local/a/bookmarks/main",
            json!({"change_id": change["id"]}),
        )
        .await
        .expect(200);
    server.tree("a", "main");
    let patched = server
        .patch("/local/a", json!({"name": "z", "tags": {"k": "v"}}))
        .await
        .expect(200);
    assert_eq!(
        (&patched["name"], &patched["tags"]),
        (&json!("z"), &json!({"k": "v"}))
    );
    assert_eq!(server.bytes("/local/z/content?path=f").await.bytes, b"1");
    server.get("/local/a").await.expect(404);
    assert_eq!(
        server.delete("/local/z").await.expect(200),
        json!({"success": true})
    );
    server.get("/local/z").await.expect(404);
    assert!(!server.bare("z").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_server_and_one_organization() {
    let mut server = Server::new(&[]).await;
    let second = start(server.options(&[])).await;
    assert!(matches!(second, Err(mesa::server::Error::InUse { .. })));
    server.stop().await;
    let mut other = server.options(&[]);
    other.organization = "other".to_owned();
    assert!(matches!(
        start(other).await,
        Err(mesa::server::Error::OtherOrganization { .. })
    ));
    let before = server.key.clone();
    server.start(&[]).await;
    assert_eq!(server.key, before);
    server.get("/whoami").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_used_for_something_else_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.path().join("thesis.tex"), "").unwrap();
    let refused = start(Options::new(folder.path().to_owned())).await;
    assert!(matches!(refused, Err(mesa::server::Error::NotEmpty { .. })));
    let mode = fs::metadata(folder.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}
