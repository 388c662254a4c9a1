//! The real program is killed while it makes and revokes keys: what was answered holds, and no value
//! of a key is in its log or its data.

use crate::harness::*;
use crate::program::Program;
use mesa::remote::api::token::SigningSecret;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Semaphore;

const WRITERS: usize = 3;
const ROUNDS: u64 = 6;

/// What was answered to one writer.
#[derive(Default)]
struct Answered {
    live: Vec<String>,
    revoked: Vec<String>,
    /// Asked for, and not answered: either is true.
    open: Vec<String>,
}

/// Makes keys, and revokes each other one, until the server dies.
async fn work_until_death(server: &Server, answered: &mut Answered, answers: &Semaphore) {
    let send = async |method: Method, path: &str, want: u16| {
        let request = server.request(method, path).json(&json!({}));
        let response = request.send().await.ok()?;
        assert_eq!(response.status().as_u16(), want);
        response.json::<Value>().await.ok()
    };
    for number in 0_u64.. {
        let Some(made) = send(Method::POST, "/local/api-keys", 201).await else {
            return;
        };
        let value = text(&made["key"]);
        answers.add_permits(1);
        if number % 2 == 0 {
            answered.live.push(value);
            continue;
        }
        let path = format!("/local/api-keys/{}", text(&made["id"]));
        if send(Method::DELETE, &path, 200).await.is_none() {
            answered.open.push(value);
            return;
        }
        answers.add_permits(1);
        answered.revoked.push(value);
    }
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Whether a file is one that a death left, with a whole table in it; the next start removes it.
pub fn is_unpublished(path: &Path) -> bool {
    path.to_string_lossy().contains("/.new-")
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_loses_no_key_that_was_told_and_none_that_was_revoked() {
    let mut server = Server::new(&[]).await;
    server.stop().await;
    let log = server.folder.path().join("log");
    let table = server.data().join("keys.json");
    let mut answered: Vec<Answered> = (0..WRITERS).map(|_| Answered::default()).collect();
    for round in 0..=ROUNDS {
        let (program, base) = Program::start(&server.data(), &log);
        server.base = base;
        let mode = fs::metadata(&table).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let files = files(&server.data());
        assert!(!files.iter().any(|path| is_unpublished(path)));
        let mut known = BTreeSet::new();
        for (values, status) in answered.iter().flat_map(|one| {
            let open = one.open.iter().map(|value| (value, None));
            let revoked = one.revoked.iter().map(|value| (value, Some(401)));
            let live = one.live.iter().map(|value| (value, Some(200)));
            open.chain(revoked).chain(live)
        }) {
            let answer = server
                .with(values, Method::GET, "/whoami", Value::Null)
                .await;
            let found = answer.status.as_u16();
            assert!(found == status.unwrap_or(found), "{found}, not {status:?}");
            if found == 401 {
                assert_eq!(answer.json()["error"]["code"], "KEY_REVOKED");
            }
            known.insert(values.clone());
        }
        // Beyond these, and the first key, each death may have left one per writer that was made
        // and not told.
        let rows: Value = serde_json::from_slice(&fs::read(&table).unwrap()).unwrap();
        let rows = rows["keys"].as_array().unwrap().len();
        let unknown = rows - known.len() - 1;
        assert!(unknown <= WRITERS * round as usize, "{unknown}");
        if round == ROUNDS {
            drop(program);
            break;
        }
        let answers = Semaphore::new(0);
        let killer = async {
            let wanted = answers.acquire_many(8 + round as u32);
            let wanted = tokio::time::timeout(Duration::from_secs(60), wanted);
            drop(wanted.await.unwrap().unwrap());
            tokio::time::sleep(Duration::from_micros(700 * round)).await;
            drop(program);
        };
        let writers = answered
            .iter_mut()
            .map(|one| work_until_death(&server, one, &answers));
        tokio::join!(killer, futures_util::future::join_all(writers));
    }
    let values: Vec<String> = answered
        .into_iter()
        .flat_map(|one| [one.live, one.revoked, one.open].concat())
        .collect();
    assert!(values.len() >= ROUNDS as usize * 4, "{}", values.len());
    let log_text = fs::read_to_string(&log).unwrap();
    assert!(log_text.contains("an API key was made"), "{log_text}");
    let kept = files(&server.data());
    let kept: Vec<(PathBuf, Vec<u8>)> = kept
        .into_iter()
        .filter(|path| *path != table && !is_unpublished(path))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    let table_text = fs::read_to_string(&table).unwrap();
    for value in &values {
        let secret = SigningSecret::of_api_key(value).expose().to_owned();
        assert!(table_text.contains(&secret) && !table_text.contains(value));
        for hidden in [value, &secret] {
            assert!(!log_text.contains(hidden));
            for (path, bytes) in &kept {
                let text = String::from_utf8_lossy(bytes);
                assert!(!text.contains(hidden), "{}", path.display());
            }
        }
    }
    assert!(!log_text.contains(&server.key));
}
