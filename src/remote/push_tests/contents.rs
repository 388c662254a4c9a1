//! How contents get into a push: from the snapshot, from bodies, and in how many requests.

use super::*;

/// Two of these are within one request to a server that stores no blobs, three are not.
const LARGE_BYTES: usize = 3 << 20;

/// A stock server whose snapshot has a directory `at-from`, of this tree, and a large file `at-large`.
const TREE: GitOid = GitOid([6; 20]);

fn snapshot(seen: &Seen) -> Response {
    let is_at = |path: &str| seen.query.split('&').any(|it| it == format!("path={path}"));
    let file = |name: &str| {
        let path = format!("at-from/{name}");
        let sha = blob(b"below").to_string();
        json!({"type": "file", "name": name, "path": path, "sha": sha, "size": 5, "mode": "100644"})
    };
    match seen.method {
        Method::PATCH => change(CHANGE, NEXT, ""),
        _ if is_at("at-from") => ok(json!({
            "type": "dir", "name": "at-from", "path": "at-from", "sha": TREE.to_string(),
            "child_count": 1, "entries": [file("file")],
        })),
        _ if seen.query.contains("at-from") => raw("below"),
        _ if is_at("at-large") => raw(vec![b'l'; LARGE_BYTES]),
        _ => error(404, "NOT_FOUND"),
    }
}

#[test]
fn contents_of_the_snapshot_and_of_bodies_fill_a_request_alike() {
    let setup = setup_with(&[], snapshot);
    let lower = |path: &str| Edit::File {
        path: path_of(path),
        content: Content::Lower {
            oid: blob(&vec![b'l'; LARGE_BYTES]),
            size: LARGE_BYTES as u64,
            from: path_of("at-large"),
        },
        executable: false,
    };
    let body = |name: &str| setup.body(name, &vec![b'b'; LARGE_BYTES]).0;
    let edits = [lower("l1"), lower("l2"), body("b1"), body("b2"), body("b3")];
    setup.push(&edits).unwrap();
    let sent: Vec<Vec<String>> = setup.patches().iter().map(paths).collect();
    let expected = [
        &["put l1", "put l2"][..],
        &["put b1", "put b2"],
        &["put b3"],
    ];
    assert_eq!(sent, expected);
}

#[test]
fn a_moved_directory_is_read_from_the_snapshot_for_a_server_that_has_no_grafts() {
    let setup = setup_with(&[], snapshot);
    let moved = Edit::Graft {
        path: path_of("to"),
        tree: TREE,
        from: path_of("at-from"),
    };
    let pushed = setup.push(&[moved]).unwrap();
    assert!(pushed.kept_local.is_empty());
    let [patch] = &setup.patches()[..] else {
        panic!("{:?}", setup.patches())
    };
    assert_eq!(paths(patch), ["put to/file"]);
    assert_eq!(patch["files"][0]["content"], "YmVsb3c=");
}

/// A file that opens and cannot be read.
#[derive(Debug)]
struct Unreadable(PathBuf);

impl ContentSource for Unreadable {
    fn size(&self) -> u64 {
        fs::metadata(&self.0).unwrap().len()
    }

    fn open(&self) -> io::Result<File> {
        File::options().write(true).open(&self.0)
    }

    fn is_unchanged(&self) -> bool {
        true
    }
}

/// Captured again, it would be as it is: that would go on for ever.
#[test]
fn a_body_that_cannot_be_read_is_not_called_torn() {
    // Within the PATCH, and ahead of it.
    for size in [100, 300 * 1024] {
        let setup = setup(&extension::ALL);
        setup.body("unreadable", &vec![b'x'; size]);
        let body = Unreadable(setup.folder.path().join("unreadable"));
        let edit = Edit::File {
            path: path_of("unreadable"),
            content: Content::Body(Arc::new(body)),
            executable: false,
        };
        let result = setup.push(&[edit]);
        let Err(PushError::Body { path, source }) = result else {
            panic!("{size}: {result:?}")
        };
        assert_eq!(path, path_of("unreadable"));
        assert_eq!(source.raw_os_error(), Some(libc::EBADF));
        assert!(setup.patches().is_empty());
    }
}

#[test]
fn a_large_body_goes_on_where_an_earlier_attempt_ended() {
    const ALL: usize = 6 << 20;
    const THERE: usize = 5 << 20;
    let bytes: Vec<u8> = (0..ALL).map(|index| (index / 1000 % 251) as u8).collect();
    let sha = blob(&bytes).to_string();
    let state = {
        let sha = sha.clone();
        move |offset: usize| json!({"id": "u 1", "offset": offset, "size": ALL, "sha": sha, "is_complete": offset == ALL})
    };
    let setup = setup_with(&extension::ALL, move |seen| match seen.path.as_str() {
        "/v1/acme/app/ext/uploads" => ok(state(THERE)),
        "/v1/acme/app/ext/uploads/u%201" => ok(state(THERE + seen.body.len())),
        _ => change(CHANGE, NEXT, ""),
    });
    setup.push(&[setup.body("large", &bytes).0]).unwrap();
    let seen = setup.fake.seen();
    let part = seen
        .iter()
        .find(|seen| seen.path.ends_with("u%201"))
        .unwrap();
    assert_eq!(part.query, format!("offset={THERE}"));
    assert!(part.body == bytes[THERE..]);
    let patch = seen.last().unwrap().json();
    assert_eq!(patch["files"][0]["blob"], sha);
}
