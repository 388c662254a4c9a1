//! Exports of edits of a real repository, with Git as the judge: what the bundle, the patch and the tar
//! make of a clone is one and the same tree.

use std::fs;
use std::io::Cursor;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use mesa::export::{Archive, Error, Folder, Format, Needed, Overwrite};
use mesa::lower::Want;
use mesa::tree::{Content, Edit, TreePath};

use crate::fixture::{Body, Fixture, path};

/// Lists of random edits; each costs some fifteen processes of Git.
const SEEDS: u64 = 12;

#[test]
fn every_kind_of_change_arrives_by_bundle_patch_and_tar() {
    let fixture = Fixture::new();
    let link = |at: &str, target: &[u8]| Edit::Symlink {
        path: path(at),
        target: target.to_vec(),
    };
    let gone = |at: &str| Edit::Remove { path: path(at) };
    let raw = Edit::File {
        path: TreePath::try_from(&b"new/\xfe\n\ttab \\ raw"[..]).unwrap(),
        content: fixture.body(b"raw\n"),
        executable: true,
    };
    let edits = [
        gone("docs/one two.md"),
        gone("src/deep"),
        fixture.graft("src/deep", "lib/moved"),
        fixture.file("lib/moved/er/leaf", b"edited\n"),
        fixture.graft("docs", "papers"),
        fixture.file("README.md", b"one\n2\nthree\nfour"),
        fixture.file("no-end", b"one\ntwo\n"),
        fixture.file("crlf.txt", b"one\r\n2\r\n"),
        fixture.file("every", &[0; 3000]),
        fixture.file("empty", b"not any more\n"),
        fixture.file("new/empty", b""),
        fixture.file("new/From here", b"From here\nFrom: there\n--- \n"),
        gone("a"),
        fixture.file("a/below", b"a directory now\n"),
        gone("a-b"),
        link("a-b", b"a/below"),
        link("src/link", b"no\nend"),
        fixture.moved("tool", "bin/tool", true),
        fixture.moved("tool", "tool", false),
        fixture.moved("src/main.rs", "copy.rs", true),
        raw,
    ];
    let tree = fixture.check(&edits);
    assert!(tree.is_some());
    assert_eq!(fixture.by_tar(&edits), tree);
}

#[test]
fn random_edits_make_one_tree_by_every_format() {
    let fixture = Fixture::new();
    const NAMES: [&str; 12] = [
        "README.md",
        "a",
        "a/b",
        "a/b/c",
        "a-b",
        "src",
        "src/deep",
        "src/deep/er/leaf",
        "docs",
        "x",
        "x/y",
        "tool",
    ];
    const FILES: [&str; 6] = [
        "README.md",
        "every",
        "src/main.rs",
        "tool",
        "a",
        "src/deep/other",
    ];
    const FOLDERS: [&str; 4] = ["src", "src/deep", "docs", "src/deep/er"];
    let mut different = 0;
    for seed in 0..SEEDS {
        let mut random = StdRng::seed_from_u64(seed);
        let mut edits = Vec::new();
        for _ in 0..random.random_range(1..7) {
            let at = *NAMES.choose(&mut random).unwrap();
            let executable = random.random();
            edits.push(match random.random_range(0..7) {
                0 => Edit::Remove { path: path(at) },
                1 => fixture.file(at, b"one\n2\nthree\n"),
                2 => fixture.file(at, &[random.random(), 0, 13]),
                3 => Edit::Symlink {
                    path: path(at),
                    target: b"target".to_vec(),
                },
                4 => fixture.graft(FOLDERS.choose(&mut random).unwrap(), at),
                5 => Edit::Directory { path: path(at) },
                _ => fixture.moved(FILES.choose(&mut random).unwrap(), at, executable),
            });
        }
        let tree = fixture.check(&edits);
        let has_module =
            |edit: &Edit| matches!(edit, Edit::Graft { from, .. } if *from == path("src"));
        if tree.is_some() && !edits.iter().any(has_module) {
            assert_eq!(fixture.by_tar(&edits), tree, "seed {seed}: {edits:#?}");
        }
        different += usize::from(tree.is_some());
    }
    assert!(different > SEEDS as usize / 2, "{different}");
}

#[test]
fn a_patch_needs_neither_old_content_nor_that_of_what_only_moved() {
    let fixture = Fixture::new();
    // Listings are here, contents are not.
    let lower = fixture.lower();
    for at in ["", "src", "src/deep", "src/deep/er", "docs"] {
        let oid = match at {
            "" => fixture.pin.tree,
            at => fixture.entry(at).oid,
        };
        let path = path(at);
        lower.fetch(&Want::Listing { path, oid }).unwrap();
    }
    let edits = [
        Edit::Remove {
            path: path("src/deep"),
        },
        fixture.graft("src/deep", "moved"),
        Edit::Remove { path: path("docs") },
        fixture.file("README.md", b"edited\n"),
        fixture.file("new.txt", b"new\n"),
    ];
    let offline = fixture.offline();
    let tree = fixture.by_patch(&offline, &edits);
    assert_eq!(tree, fixture.by_bundle(&edits));
    let (text, _) = fixture
        .export_from(&offline, &edits, Format::Patch)
        .unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        text.contains("rename from src/deep/er/leaf\nrename to moved/er/leaf\n"),
        "{text}"
    );
    assert!(text.contains("+new\n"), "{text}");

    let missing = fixture.export_from(&offline, &edits, Format::Tar);
    let Err(error @ Error::Missing { needed, .. }) = missing else {
        panic!("{missing:?}");
    };
    assert_eq!(needed, Needed::Content);
    assert!(error.to_string().contains("src/deep/"), "{error}");
    assert!(error.hint().unwrap().contains("--format bundle"));
}

#[test]
fn a_bundle_needs_listings_on_the_way_to_changes_alone() {
    let fixture = Fixture::new();
    let lower = fixture.lower();
    let edits = [
        Edit::Remove { path: path("src") },
        fixture.graft("src", "source"),
        fixture.file("new", b"new\n"),
    ];
    let offline = fixture.offline();
    let root = fixture.export_from(&offline, &edits, Format::Bundle);
    let said = root.unwrap_err().to_string();
    assert!(
        said.starts_with("the listing of the root directory is not here"),
        "{said}"
    );
    let (root, oid) = (TreePath::ROOT, fixture.pin.tree);
    lower.fetch(&Want::Listing { path: root, oid }).unwrap();
    let below = [fixture.file("src/new", b"new\n")];
    let error = fixture
        .export_from(&offline, &below, Format::Bundle)
        .unwrap_err();
    let listing = Needed::Listing;
    assert!(
        matches!(&error, Error::Missing { needed, from, .. } if *needed == listing && *from == path("src")),
        "{error:?}"
    );
    let (_, exported) = fixture
        .export_from(&offline, &edits, Format::Bundle)
        .unwrap();
    // The blob, the root, the commit.
    assert_eq!(exported.count, 3);
}

#[test]
fn what_git_cannot_hold_is_left_out_by_name_and_a_tar_carries_it() {
    let fixture = Fixture::new();
    let edits = [Edit::Directory {
        path: path("void/inner"),
    }];
    for format in [Format::Bundle, Format::Patch] {
        assert!(matches!(
            fixture.export(&edits, format),
            Err(Error::Nothing)
        ));
    }
    let with_file = [edits[0].clone(), fixture.file("f", b"f")];
    for format in [Format::Bundle, Format::Patch] {
        let (_, exported) = fixture.export(&with_file, format).unwrap();
        assert_eq!(exported.left_out.len(), 1);
        assert_eq!(exported.left_out[0].path, "void/inner");
    }
    let (bytes, _) = fixture.export(&edits, Format::Tar).unwrap();
    let (_folder, clone) = fixture.clone();
    let mut archive = Archive::open(Cursor::new(bytes)).unwrap();
    archive
        .apply(&Folder::open(&clone).unwrap(), Overwrite::Never)
        .unwrap();
    assert!(clone.join("void/inner").is_dir());
}

#[test]
fn a_body_that_changed_meanwhile_spoils_the_export() {
    let fixture = Fixture::new();
    let body = fixture.folder.path().join("body");
    fs::write(&body, "bytes").unwrap();
    let edit = Edit::File {
        path: path("f"),
        content: Content::Body(Arc::new(Body(body, false))),
        executable: false,
    };
    for format in [Format::Bundle, Format::Patch, Format::Tar] {
        let exported = fixture.export(std::slice::from_ref(&edit), format);
        assert!(matches!(exported, Err(Error::Torn)), "{exported:?}");
    }
}

/// What the daemon gives an export, too.
const STACK_BYTES: usize = 32 << 20;

#[test]
fn the_deepest_path_that_a_kernel_takes_is_exported() {
    let fixture = Fixture::new();
    let deep = vec!["d"; 2030].join("/");
    let edits = [
        fixture.file(&format!("{deep}/file"), b"deep\n"),
        fixture.graft("src", &format!("{deep}/graft")),
    ];
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || {
                for format in [Format::Bundle, Format::Patch, Format::Tar] {
                    let (bytes, _) = fixture.export(&edits, format).unwrap();
                    assert!(bytes.len() > 2030, "{format:?}");
                    if format == Format::Tar {
                        Archive::open(Cursor::new(bytes)).unwrap();
                    }
                }
            })
            .unwrap();
    });
}
