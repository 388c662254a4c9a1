//! The judges themselves: a comparison that sees nothing, or a proxy that counts nothing, would let
//! everything pass.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::thread;

use crate::support::fixture;
use crate::support::proxy::Proxy;
use crate::support::tree::{GitFolder, Tree};

#[test]
fn a_commit_and_its_working_tree_are_equal() {
    let folder = tempfile::tempdir().unwrap();
    let small = fixture::small(folder.path());
    for repository in [small.as_path(), fixture::real()] {
        let commit = Tree::of_commit(repository, "HEAD");
        commit.assert_equals(
            &Tree::walk(repository, GitFolder::LeftOut),
            "commit and files",
        );
    }
}

#[test]
fn every_kind_of_difference_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let root = fixture::small(folder.path());
    let before = Tree::walk(&root, GitFolder::LeftOut);
    let seen_at = |path: &str| {
        let after = Tree::walk(&root, GitFolder::LeftOut);
        let difference = before.difference(&after).expect("no difference is seen");
        assert_eq!(difference.path, Path::new(path));
        assert_eq!(after.difference(&before).unwrap().path, Path::new(path));
    };
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
    };
    fs::write(root.join("docs/one.md"), "One\n").unwrap();
    seen_at("docs/one.md");
    fs::write(root.join("docs/one.md"), "one\n").unwrap();
    mode("bin/tool", 0o644);
    seen_at("bin/tool");
    mode("bin/tool", 0o755);
    fs::create_dir(root.join("hollow")).unwrap();
    seen_at("hollow");
    fs::remove_dir(root.join("hollow")).unwrap();
    fs::remove_file(root.join("empty")).unwrap();
    seen_at("empty");
    symlink("README.md", root.join("empty")).unwrap();
    seen_at("empty");
    fs::remove_file(root.join("empty")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::remove_file(root.join("src/link")).unwrap();
    symlink("../docs/two.md", root.join("src/link")).unwrap();
    seen_at("src/link");
}

/// A server that answers each request of four bytes of body with two.
fn answering(listener: &TcpListener, connections: usize) {
    for _ in 0..connections {
        let (mut client, _) = listener.accept().unwrap();
        let mut seen = Vec::new();
        let mut buffer = [0; 1024];
        while let Ok(count) = client.read(&mut buffer) {
            if count == 0 {
                break;
            }
            seen.extend_from_slice(&buffer[..count]);
            while let Some(end) = seen.windows(4).position(|window| window == b"END.") {
                seen.drain(..end + 4);
                client
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .unwrap();
            }
        }
    }
}

#[test]
fn the_proxy_counts_requests_and_not_bodies() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap());
    let server = thread::spawn(move || answering(&listener, 2));
    let ask = |client: &mut TcpStream, request: &str| {
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 40];
        client.read_exact(&mut answer)
    };
    let body = "GET /inside HTTP/1.1\r\n\r\nEND.";
    let length = body.len();
    let mut client = TcpStream::connect(proxy.address()).unwrap();
    let sized = format!("POST /one HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}");
    ask(&mut client, &sized).unwrap();
    let chunked = format!(
        "PATCH /two HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
    );
    ask(&mut client, &chunked).unwrap();
    ask(&mut client, &sized.replace("POST /one", "PUT /three")).unwrap();
    assert_eq!(proxy.take(), ["POST /one", "PATCH /two", "PUT /three"]);
    drop(client);

    let mut client = TcpStream::connect(proxy.address()).unwrap();
    proxy.lose_answers();
    ask(&mut client, &sized).unwrap_err();
    assert_eq!(proxy.lost(), 1);
    assert_eq!(proxy.requests(), ["POST /one"]);
    drop(client);
    server.join().unwrap();
}
