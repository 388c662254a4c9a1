//! What a server is sent of some edits, and what it is not.

use super::*;
use crate::lower::ListingEntry;
use crate::tree::{Name, PATH_BYTES_MAX};

fn path(text: &str) -> TreePath {
    TreePath::try_from(text).unwrap()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.path.as_str()).collect()
}

fn tree(_: &TreePath, oid: GitOid) -> Result<Arc<Listing>, lower::Error> {
    let entry = |name: &str, kind, size| ListingEntry {
        name: Name::try_from(name).unwrap(),
        kind,
        size,
        oid: GitOid([2; 20]),
    };
    let entries = match oid {
        GitOid([1, ..]) => vec![
            entry("file", EntryKind::File, 3),
            entry("large", EntryKind::Executable, INLINE_ONLY_BYTES_MAX + 1),
            entry("link", EntryKind::Symlink, 3),
            entry("module", EntryKind::Submodule, 0),
            entry("below", EntryKind::Directory, 0),
        ],
        GitOid([2, ..]) => vec![entry("deep", EntryKind::File, 3)],
        _ => vec![],
    };
    Ok(Arc::new(Listing::new(entries)?))
}

fn graft() -> Edit {
    Edit::Graft {
        path: path("to"),
        tree: GitOid([1; 20]),
        from: path("from"),
    }
}

#[test]
fn a_graft_is_one_step_or_every_file_below_it() {
    let one = plan(&[graft()], Extensions::ALL, &mut tree).unwrap();
    assert_eq!(names(&one), ["to"]);
    let expanded = plan(&[graft()], Extensions::default(), &mut tree).unwrap();
    let mut paths = names(&expanded);
    paths.sort_unstable();
    assert_eq!(paths, ["to/below/deep", "to/file"]);
    let froms: Vec<_> = expanded
        .steps
        .iter()
        .map(|step| match &step.action {
            Action::Put(_, Bytes::Lower { from, .. }) => from.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(froms.contains(&"from/below/deep".to_owned()));
    let mut kept: Vec<_> = expanded
        .kept_local
        .iter()
        .map(|kept| (kept.path.to_string(), kept.reason))
        .collect();
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        kept,
        [
            ("to/large".into(), KeptReason::TooLarge),
            ("to/link".into(), KeptReason::Symlink),
            ("to/module".into(), KeptReason::Submodule),
        ]
    );
}

#[test]
fn below_a_graft_links_and_empty_directories_go_where_they_are_taken() {
    let takes = Extensions {
        graft: false,
        ..Extensions::ALL
    };
    let links = plan(&[graft()], takes, &mut tree).unwrap();
    let link = links.steps.iter().find(|step| step.path == "to/link");
    let Some(Action::Put(FileMode::Symlink, Bytes::Lower { from, .. })) =
        link.map(|step| &step.action)
    else {
        panic!("{link:?}")
    };
    assert_eq!(*from, path("from/link"));
    let empty = Edit::Graft {
        path: path("to"),
        tree: GitOid::EMPTY_TREE,
        from: path("from"),
    };
    for extensions in [takes, Extensions::ALL] {
        let made = plan(std::slice::from_ref(&empty), extensions, &mut tree).unwrap();
        let [step] = made.steps.as_slice() else {
            panic!("{:?}", made.steps)
        };
        assert!(matches!(step.action, Action::Mkdir) && step.path == "to");
    }
    let stock = plan(&[empty], Extensions::default(), &mut tree).unwrap();
    let reasons: Vec<_> = stock.kept_local.iter().map(|kept| kept.reason).collect();
    assert_eq!(
        (reasons, stock.steps.len()),
        (vec![KeptReason::Directory], 0)
    );
}

#[test]
fn a_tree_that_never_ends_is_followed_as_far_as_a_path_can_go() {
    let mut listings = 0;
    let mut endless = |_: &TreePath, _| {
        listings += 1;
        let entry = |name: &str, kind| ListingEntry {
            name: Name::try_from(name).unwrap(),
            kind,
            size: 1,
            oid: GitOid([2; 20]),
        };
        let (file, below) = (EntryKind::File, EntryKind::Directory);
        Ok(Arc::new(Listing::new(vec![
            entry("f", file),
            entry("d", below),
        ])?))
    };
    let graft = Edit::Graft {
        path: path("to"),
        tree: GitOid([1; 20]),
        from: path("of"),
    };
    let deep = plan(&[graft], Extensions::default(), &mut endless).unwrap();
    // "to", and so many times "/d".
    assert_eq!(listings, 1 + (PATH_BYTES_MAX - 2) / 2);
    let longest = deep.steps.iter().map(|step| step.path.len()).max();
    assert_eq!(longest, Some(PATH_BYTES_MAX));
    assert!(
        deep.kept_local
            .iter()
            .all(|it| it.reason == KeptReason::PathTooLong)
    );
    assert_eq!(
        deep.kept_local.len(),
        2,
        "the file and the directory of the last"
    );
}

#[test]
fn sixteen_mebibytes_go_to_a_server_that_stores_no_blobs_and_a_byte_more_does_not() {
    let file = |size| Edit::File {
        path: path("f"),
        content: Content::Lower {
            oid: GitOid([1; 20]),
            size,
            from: path("f"),
        },
        executable: false,
    };
    let planned = |size, extensions| {
        let plan = plan(&[file(size)], extensions, &mut tree).unwrap();
        let kept: Vec<_> = plan.kept_local.iter().map(|kept| kept.reason).collect();
        (plan.steps.len(), kept)
    };
    let stock = Extensions::default();
    let most = INLINE_ONLY_BYTES_MAX;
    assert_eq!(planned(most, stock), (1, vec![]));
    assert_eq!(planned(most + 1, stock), (0, vec![KeptReason::TooLarge]));
    assert_eq!(planned(most + 1, Extensions::ALL), (1, vec![]));
}

#[test]
fn what_a_stock_server_cannot_take_is_named() {
    let edits = [
        Edit::Symlink {
            path: path("l"),
            target: b"t".to_vec(),
        },
        Edit::Directory { path: path("d") },
        Edit::Remove {
            path: TreePath::try_from(&b"\xff"[..]).unwrap(),
        },
    ];
    let stock = plan(&edits, Extensions::default(), &mut tree).unwrap();
    assert!(stock.steps.is_empty());
    let reasons: Vec<_> = stock.kept_local.iter().map(|kept| kept.reason).collect();
    assert_eq!(
        reasons,
        [
            KeptReason::Symlink,
            KeptReason::Directory,
            KeptReason::PathNotText
        ]
    );
    let ours = plan(&edits, Extensions::ALL, &mut tree).unwrap();
    assert_eq!(names(&ours), ["l", "d"]);
}

#[test]
fn a_removed_path_forbids_itself_and_what_is_above_and_below() {
    let mut removed = Removed::default();
    removed.add("a/b");
    for text in ["a/b", "a/b/c/d", "a"] {
        assert!(removed.forbids(text), "{text}");
    }
    for text in ["a/bc", "a/c", "b", "a!"] {
        assert!(!removed.forbids(text), "{text}");
    }
    removed.clear();
    assert!(!removed.forbids("a/b"));
}
