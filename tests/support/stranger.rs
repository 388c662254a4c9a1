//! Somebody else, who writes to the server without a mount.

use serde_json::{Value, json};

use super::world::{ORG, World};

/// How often a stranger tries again to move a bookmark that others move as well.
const ADVANCES_MAX: usize = 20;

/// Sends one request as another client would, and gives status and answer.
pub fn send(world: &World, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/{ORG}/{path}", world.server_url());
    let request = reqwest::Client::new()
        .request(method, url)
        .bearer_auth(&world.token)
        .json(body);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    })
}

/// A file of a change.
pub fn file(path: &str, text: &str) -> Value {
    use base64::Engine;
    let content = base64::engine::general_purpose::STANDARD.encode(text);
    json!({"path": path, "content": content, "mode": "100644"})
}

/// The removal of a path.
pub fn gone(path: &str) -> Value {
    json!({"path": path, "action": "delete"})
}

/// Edits a change: the newest commit of it, without asking anybody.
#[track_caller]
pub fn edit(world: &World, repo: &str, change: &str, files: &[Value]) {
    let body = json!({
        "message": "a stranger was here",
        "author": {"name": "Stranger", "email": "stranger@example.com"},
        "files": files,
    });
    let path = format!("{repo}/changes/{change}");
    let (status, answer) = send(world, reqwest::Method::PATCH, &path, &body);
    assert!(status < 300, "{status}: {answer}");
}

/// Makes a change on what a bookmark points at, and moves the bookmark to it; once more on what it
/// points at then, when somebody else was faster.
#[track_caller]
pub fn advance(world: &World, repo: &str, bookmark: &str, files: &[Value]) -> String {
    for _ in 0..ADVANCES_MAX {
        let path = format!("{repo}/bookmarks/{bookmark}");
        let (_, found) = send(world, reqwest::Method::GET, &path, &json!({}));
        let body = json!({
            "base_change_id": found["change_id"],
            "message": "a stranger was here",
            "author": {"name": "Stranger", "email": "stranger@example.com"},
            "files": files,
        });
        let changes = format!("{repo}/changes");
        let (status, made) = send(world, reqwest::Method::POST, &changes, &body);
        assert!(status < 300, "{status}: {made}");
        let id = made["id"].as_str().unwrap().to_owned();
        let to = json!({"change_id": id});
        let (status, moved) = send(world, reqwest::Method::PATCH, &path, &to);
        if status < 300 {
            return id;
        }
        assert_eq!(status, 409, "{moved}");
    }
    panic!("{bookmark} moves faster than a stranger can");
}
