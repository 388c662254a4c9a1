//! Many small blobs in one request, and which of them the server lacks.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Server, git, sample_server, text};

const BATCH: &str = "/local/app/ext/blobs/batch";
const MISSING: &str = "/local/app/ext/blobs/missing";

fn batch(blobs: &[&[u8]]) -> Vec<u8> {
    let mut body = Vec::new();
    for blob in blobs {
        writeln!(body, "blob {}", blob.len()).unwrap();
        body.extend_from_slice(blob);
        body.push(b'\n');
    }
    body
}

async fn send(server: &Server, coding: &str, body: Vec<u8>) -> Answer {
    let request = server.request(Method::POST, BATCH);
    let request = request.header("content-encoding", coding);
    server.send(request.body(body)).await
}

async fn missing(server: &Server, objects: &[String]) -> Value {
    let answer = server.post(MISSING, json!({"objects": objects})).await;
    answer.expect(200)["missing"].clone()
}

#[tokio::test]
async fn a_batch_is_stored_whole_however_it_is_compressed() {
    let (_source, server) = sample_server().await;
    let large = vec![b'l'; 4 << 20];
    let blobs: [&[u8]; 4] = [b"one", b"", b"blob 3\nnot a head\n", &large];
    let body = batch(&blobs);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&body).unwrap();
    for (coding, body) in [
        ("zstd", zstd::bulk::compress(&body, 1).unwrap()),
        ("gzip", gzip.finish().unwrap()),
        ("identity", body),
    ] {
        let stored = send(&server, coding, body).await.expect(201)["blobs"].clone();
        let stored = stored.as_array().unwrap();
        assert_eq!(stored.len(), blobs.len());
        for (stored, blob) in stored.iter().zip(blobs) {
            assert_eq!(stored["size"], blob.len());
            let sha = text(&stored["sha"]);
            let read = server.get(&format!("/local/app/ext/blobs/{sha}")).await;
            assert!(read.bytes == blob, "{sha} in {coding}");
            assert_eq!(missing(&server, &[sha]).await, json!([]));
        }
    }
    assert_eq!(
        send(&server, "identity", Vec::new()).await.expect(201)["blobs"],
        json!([])
    );
}

#[tokio::test]
async fn a_batch_that_is_wrong_stores_nothing() {
    let (source, server) = sample_server().await;
    let good = batch(&[b"a blob that nobody has"]);
    let with = |rest: &[u8]| [&good[..], rest].concat();
    let too_large = format!("blob {}\n", (4 << 20) + 1);
    for wrong in [
        with(b"blob 5\nfour"),
        with(b"blob 4\nfour"),
        with(b"blob 4\nfour+"),
        with(b"blob -1\n\n"),
        with(b"blob x\n\n"),
        with(b"tree 0\n\n"),
        with(b"blob 99999999999999999999999999999999999999\n"),
        with(b"blob 4"),
        with(b"\n"),
        with(too_large.as_bytes()),
        with(&batch(&vec![&b""[..]; 10_000])),
    ] {
        send(&server, "identity", wrong).await.expect(400);
    }
    send(&server, "zstd", good.clone()).await.expect(400);
    send(&server, "br", good.clone()).await.expect(400);
    // What unpacks to too much is refused while it is unpacked.
    let bomb = zstd::bulk::compress(&vec![0; 80 << 20], 1).unwrap();
    assert!(bomb.len() < 1 << 20);
    send(&server, "zstd", bomb).await.expect(413);
    let never = send(&server, "identity", batch(&[b"other"]))
        .await
        .expect(201);
    let stored = text(&never["blobs"][0]["sha"]);
    std::fs::write(source.path().join("never"), "a blob that nobody has").unwrap();
    let sha = git(source.path(), &["hash-object", "never"]);
    let sha = sha.trim().to_owned();
    let known = git(source.path(), &["rev-parse", "HEAD:README.md"]);
    let known = known.trim().to_owned();
    let asked = [stored, sha.clone(), known];
    assert_eq!(missing(&server, &asked).await, json!([sha]));
}
