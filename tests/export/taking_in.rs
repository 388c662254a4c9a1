//! Imports of tars: onto what they were made on, onto something else, and of what no export of ours
//! would be.

use std::fs;
use std::io::Cursor;

use mesa::export::{Archive, Error, Folder, Format, Overwrite};
use mesa::tree::Edit;
use sha1::{Digest, Sha1};

use crate::fixture::{Fixture, git, git_text, path};

#[test]
fn an_import_that_contradicts_changes_nothing_unless_forced() {
    let fixture = Fixture::new();
    let edits = [
        fixture.file("README.md", b"ours\n"),
        Edit::Remove {
            path: path("src/deep"),
        },
        fixture.file("new", b"new\n"),
        fixture.file("fine", b"fine\n"),
    ];
    let (bytes, _) = fixture.export(&edits, Format::Tar).unwrap();
    let mut archive = Archive::open(Cursor::new(bytes)).unwrap();
    let (_folder, clone) = fixture.clone();
    let folder = Folder::open(&clone).unwrap();
    fs::write(clone.join("README.md"), "theirs\n").unwrap();
    fs::write(clone.join("src/deep/other"), "theirs\n").unwrap();
    fs::write(clone.join("new"), "theirs\n").unwrap();
    let applied = archive.apply(&folder, Overwrite::Never).unwrap();
    assert_eq!(
        applied.contradicting,
        [path("README.md"), path("new"), path("src/deep/other")]
    );
    assert_eq!(applied.changed, 0);
    assert!(!clone.join("fine").exists());
    assert_eq!(fs::read(clone.join("README.md")).unwrap(), b"theirs\n");

    archive.apply(&folder, Overwrite::Always).unwrap();
    assert_eq!(fs::read(clone.join("README.md")).unwrap(), b"ours\n");
    assert!(!clone.join("src/deep").exists());
    assert_eq!(fs::read(clone.join("fine")).unwrap(), b"fine\n");
}

#[test]
fn an_import_that_was_cut_short_at_any_step_is_finished_by_the_next() {
    let fixture = Fixture::new();
    let edits = [
        Edit::Remove { path: path("a") },
        fixture.file("a/b", b"below\n"),
        Edit::Remove { path: path("src") },
        fixture.file("src", b"a file now\n"),
        Edit::Remove { path: path("docs") },
        Edit::Directory { path: path("docs") },
        Edit::Remove { path: path("tool") },
        Edit::Directory { path: path("tool") },
        Edit::Symlink {
            path: path("empty"),
            target: b"a".to_vec(),
        },
    ];
    let (bytes, _) = fixture.export(&edits, Format::Tar).unwrap();
    let whole = fixture.by_tar(&edits);
    // Whatever subset of the removals was done, in the order in which they are done.
    let steps = [
        "src/main.rs",
        "src/link",
        "src/deep",
        "src",
        "docs",
        "tool",
        "a",
    ];
    for done in 0..=steps.len() {
        let (_folder, clone) = fixture.clone();
        for step in &steps[..done] {
            let at = clone.join(step);
            match at.is_dir() && !at.is_symlink() {
                true => fs::remove_dir_all(at).unwrap(),
                false => fs::remove_file(at).unwrap(),
            }
        }
        let mut archive = Archive::open(Cursor::new(&bytes)).unwrap();
        let applied = archive
            .apply(&Folder::open(&clone).unwrap(), Overwrite::Never)
            .unwrap();
        assert_eq!(applied.contradicting, [], "{done} steps");
        assert!(clone.join("docs").is_dir() && clone.join("tool").is_dir());
        git(&clone, &["add", "-A"]);
        assert_eq!(
            Some(git_text(&clone, &["write-tree"])),
            whole,
            "{done} steps"
        );
    }
}

/// The id that Git gives a blob.
fn blob(bytes: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tar of a list and of files, as a stranger could make it.
fn crafted(list: &serde_json::Value, files: &[&[u8]]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut append = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    append("mesa-export.json", list.to_string().as_bytes());
    for (index, bytes) in files.iter().enumerate() {
        append(&format!("files/{index}"), bytes);
    }
    tar.into_inner().unwrap()
}

fn list(changes: serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "mesa_export": 1, "org": "local", "repo": "app",
        "base": {"bookmark": null, "change_id": "", "commit_oid": ""},
        "changes": changes, "left_out": [],
    })
}

fn file_at(path: impl Into<serde_json::Value>, bytes: &[u8]) -> serde_json::Value {
    let oid = blob(bytes);
    serde_json::json!({
        "path": path.into(), "base": null,
        "now": {"mode": "100644", "oid": oid, "size": bytes.len()},
    })
}

#[test]
fn a_list_that_leads_outside_is_refused() {
    use serde_json::json;
    let link = |target: &str| {
        let oid = blob(target.as_bytes());
        json!({"path": "l", "base": null, "now": {"mode": "120000", "oid": oid, "target": target}})
    };
    for (changes, what) in [
        (json!([file_at("../escape", b"x")]), "impossible path"),
        (json!([file_at("/etc/passwd", b"x")]), "impossible path"),
        (json!([file_at("a/../../b", b"x")]), "impossible path"),
        (json!([file_at("", b"x")]), "the root"),
        (json!([file_at("a//b", b"x")]), "impossible path"),
        (json!([file_at(".git/hooks/pre-commit", b"x")]), ".git"),
        (json!([file_at("sub/.GIT/config", b"x")]), ".git"),
        (json!([file_at("a", b"x"), file_at("a", b"x")]), "twice"),
        (
            json!([file_at("a", b"x"), file_at("a/b", b"x")]),
            "below a file",
        ),
        (
            json!([link("/etc"), file_at("l/passwd", b"x")]),
            "below a file",
        ),
        (
            json!([{"path": "l", "base": null, "now": {"mode": "120000", "oid": "1".repeat(40), "target": "x"}}]),
            "not its object",
        ),
        (
            json!([{"path": "m", "base": null, "now": {"mode": "160000", "oid": "1".repeat(40)}}]),
            "no import",
        ),
        (
            json!([file_at(json!({"base64": "Li4="}), b"x")]),
            "impossible path",
        ),
    ] {
        let refused = Archive::open(Cursor::new(crafted(&list(changes.clone()), &[b"x", b"x"])));
        let error = refused.expect_err(what);
        assert!(
            matches!(error, Error::Hostile { .. }),
            "{changes}: {error:?}"
        );
        assert!(error.to_string().contains(what), "{error}");
    }
}

#[test]
fn a_symbolic_link_in_the_folder_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    std::os::unix::fs::symlink(&outside, inside.join("l")).unwrap();
    let removal = serde_json::json!({
        "path": "l/kept", "now": null,
        "base": {"mode": "100644", "oid": blob(b"kept")},
    });
    let changes = serde_json::json!([file_at("l/new", b"x"), removal]);
    let mut archive = Archive::open(Cursor::new(crafted(&list(changes), &[b"x"]))).unwrap();
    let target = Folder::open(&inside).unwrap();
    let applied = archive.apply(&target, Overwrite::Never).unwrap();
    assert_eq!(applied.contradicting, [path("l/kept"), path("l/new")]);
    archive.apply(&target, Overwrite::Always).unwrap_err();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("kept")).unwrap(), b"kept");
}

#[test]
fn damaged_and_foreign_files_are_refused_before_anything_is_written() {
    let fixture = Fixture::new();
    let edits = [
        fixture.file("one", &[7; 5000]),
        fixture.file("two", b"two\n"),
    ];
    let (whole, _) = fixture.export(&edits, Format::Tar).unwrap();
    assert!(Archive::open(Cursor::new(&whole)).is_ok());
    for end in (0..whole.len() - 1024).step_by(256) {
        assert!(
            Archive::open(Cursor::new(&whole[..end])).is_err(),
            "cut at {end}"
        );
    }
    let mut flipped = whole.clone();
    let at = flipped
        .windows(5000)
        .position(|bytes| bytes == [7; 5000])
        .unwrap();
    flipped[at + 4321] ^= 1;
    let damaged = Archive::open(Cursor::new(&flipped)).unwrap_err();
    assert!(matches!(damaged, Error::Damaged { .. }), "{damaged:?}");
    assert!(damaged.to_string().contains("one"), "{damaged}");

    let other = {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        tar.append_data(&mut header, "README", &b"x"[..]).unwrap();
        tar.into_inner().unwrap()
    };
    let mut later = list(serde_json::json!([]));
    later["mesa_export"] = 2.into();
    let extra = crafted(&list(serde_json::json!([])), &[b"x"]);
    for (bytes, what) in [
        (Vec::new(), "it has no file"),
        (b"no tar at all".repeat(100), "it is no tar"),
        (other, "not the list of changes"),
        (crafted(&later, &[]), "version 2"),
        (extra, "does not name"),
    ] {
        let error = Archive::open(Cursor::new(bytes)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}, not {what}");
    }
}

#[test]
fn no_changed_byte_makes_an_import_panic_or_write_outside() {
    let fixture = Fixture::new();
    let edits = [
        fixture.file("one", b"one\n"),
        fixture.file("sub/two", b"two\n"),
        Edit::Remove { path: path("a") },
    ];
    let (whole, _) = fixture.export(&edits, Format::Tar).unwrap();
    let around = tempfile::tempdir().unwrap();
    let inside = around.path().join("inside");
    let mut opened = 0;
    for (round, at) in (0..whole.len()).step_by(7).enumerate() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (round % 8);
        let Ok(mut archive) = Archive::open(Cursor::new(changed)) else {
            continue;
        };
        opened += 1;
        fs::create_dir(&inside).unwrap();
        let folder = Folder::open(&inside).unwrap();
        let _either = archive.apply(&folder, Overwrite::Always);
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 1, "byte {at}");
        fs::remove_dir_all(&inside).unwrap();
    }
    assert!(opened > 0, "padding is nobody's business");
}
