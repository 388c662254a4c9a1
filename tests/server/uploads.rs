//! Large blobs in parts: each part is kept, whatever ends in between.

use crate::harness::{Answer, Server, git, sample_server, text};
use reqwest::Method;
use serde_json::{Value, json};

const REPO: &str = "/local/app/ext/uploads";

async fn part(server: &Server, id: &str, offset: usize, bytes: &[u8]) -> Answer {
    let path = format!("{REPO}/{id}?offset={offset}");
    let request = server.request(Method::PATCH, &path);
    server.send(request.body(bytes.to_vec())).await
}

async fn offset(server: &Server, id: &str) -> Value {
    server.get(&format!("{REPO}/{id}")).await.expect(200)
}

fn sha(folder: &std::path::Path, bytes: &[u8]) -> String {
    let file = folder.join("hashed");
    std::fs::write(&file, bytes).unwrap();
    git(folder, &["hash-object", "hashed"]).trim().to_owned()
}

#[tokio::test]
async fn an_upload_goes_on_where_it_was_also_after_a_restart() {
    let (_source, mut server) = sample_server().await;
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sha = sha(folder.path(), &bytes);
    let new = json!({"sha": sha, "size": bytes.len()});
    let begun = server.post(REPO, new.clone()).await.expect(201);
    let id = text(&begun["id"]);
    assert_eq!(
        (begun["offset"].as_u64(), &begun["is_complete"]),
        (Some(0), &json!(false))
    );
    let first = part(&server, &id, 0, &bytes[..1_000_000]).await.expect(200);
    assert_eq!(first["offset"], 1_000_000);
    // Twice the same part, and one from beyond the end, are refused; nothing of them is kept.
    part(&server, &id, 0, &bytes[..1_000_000]).await.expect(409);
    part(&server, &id, 2_000_000, &bytes[2_000_000..])
        .await
        .expect(409);
    server.stop().await;
    server.start(&[]).await;
    assert_eq!(offset(&server, &id).await["offset"], 1_000_000);
    let again = server.post(REPO, new.clone()).await.expect(201);
    assert_eq!(
        (&again["id"], &again["offset"]),
        (&json!(id), &json!(1_000_000))
    );
    let last = part(&server, &id, 1_000_000, &bytes[1_000_000..]).await;
    assert_eq!(last.expect(200)["is_complete"], true);
    assert_eq!(
        server.post(REPO, new).await.expect(201)["is_complete"],
        true
    );
    let stored = server.get(&format!("/local/app/ext/blobs/{sha}")).await;
    assert!(stored.bytes == bytes);
    assert_eq!(
        std::fs::read_dir(server.bare("app").join("uploads"))
            .unwrap()
            .count(),
        0
    );
    // It is a blob like any other.
    let repo = server.get("/local/app").await.expect(200);
    let change = json!({"base_change_id": repo["head_change_id"], "message": "large",
        "files": [{"path": "large", "blob": sha}]});
    let change = server.post("/local/app/changes", change).await.expect(201);
    let tree = server.tree("app", &text(&change["current_commit_oid"]));
    assert!(tree["large"].contains(&sha));
}

#[tokio::test]
async fn other_bytes_than_were_announced_are_not_stored() {
    let (_source, server) = sample_server().await;
    let folder = tempfile::tempdir().unwrap();
    let sha = sha(folder.path(), b"right");
    let new = json!({"sha": sha, "size": 5});
    let id = text(&server.post(REPO, new.clone()).await.expect(201)["id"]);
    part(&server, &id, 0, b"wrong").await.expect(400);
    // It begins anew.
    assert_eq!(offset(&server, &id).await["offset"], 0);
    part(&server, &id, 0, b"right, and more").await.expect(413);
    let at = offset(&server, &id).await["offset"].as_u64().unwrap();
    assert!(at <= 5);
    let rest = &b"right"[usize::try_from(at).unwrap()..];
    if at < 5 {
        let done = part(&server, &id, usize::try_from(at).unwrap(), rest).await;
        assert_eq!(done.expect(200)["is_complete"], true);
    }
    for bad in ["x", "0-1", &format!("{sha}-x"), &format!("{sha}-")] {
        server.get(&format!("{REPO}/{bad}")).await.expect(404);
    }
    let huge = json!({"sha": sha, "size": 6_u64 << 30});
    server.post(REPO, huge).await.expect(413);
    let request = server.request(Method::PATCH, &format!("{REPO}/{id}"));
    server.send(request.body("right")).await.expect(400);
    let nothing = json!({"sha": "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "size": 0});
    let id = text(&server.post(REPO, nothing).await.expect(201)["id"]);
    part(&server, &id, 0, b"").await.expect(200);
}

#[tokio::test]
async fn two_writers_of_one_upload_do_not_mix() {
    let (_source, server) = sample_server().await;
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 241) as u8).collect();
    let sha = sha(folder.path(), &bytes);
    let new = json!({"sha": sha, "size": bytes.len()});
    let id = text(&server.post(REPO, new).await.expect(201)["id"]);
    let (one, other) = tokio::join!(
        part(&server, &id, 0, &bytes[..2_000_000]),
        part(&server, &id, 0, &bytes[..2_000_000]),
    );
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let rest = part(&server, &id, 2_000_000, &bytes[2_000_000..]).await;
    assert_eq!(rest.expect(200)["is_complete"], true);
}
