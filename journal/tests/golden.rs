//! Version 1 of the format is final: a journal that was checked in as bytes is read for ever, and the
//! same records give the same bytes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod support;

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use journal::disk::sim::SimDisk;
use journal::{
    AttributeChange, ConflictKind, Effect, Error, Journal, Node, NodeKind, Origin, Path, Problem,
    Record, RenameMode, Sequence, Time, verify,
};
use support::{numbered, smallest_segments};

/// What the snapshot stands for: records 1 and 2.
const THROUGH: Sequence = Sequence(2);

fn golden() -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn path(text: &str) -> Path {
    Path(text.as_bytes().to_vec())
}

fn time(seconds: i64) -> Time {
    Time {
        seconds,
        nanoseconds: 999_999_999,
    }
}

fn node(kind: NodeKind, target: &str) -> Node {
    Node {
        kind,
        permissions: 0o7654,
        uid: 1000,
        gid: 0xffff_fffe,
        rdev: 0x0501,
        target: target.as_bytes().to_vec(),
        atime: time(-1),
        mtime: time(1),
        ctime: time(i64::MAX),
    }
}

/// Records that make and change names.
fn names() -> Vec<Record> {
    let origin = Origin {
        path: path("lower/file"),
        oid: [0xa1; 20],
        size: 77,
    };
    let rename = |kind, mode| Record::Rename {
        from: path("from"),
        to: path("a/to"),
        kind,
        mode,
        time: time(6),
    };
    let replaced = Some(NodeKind::Symlink);
    let other = NodeKind::BlockDevice;
    vec![
        Record::Adopt {
            path: path("a/file"),
            inode: 2,
            node: node(NodeKind::File, ""),
            origin,
        },
        Record::Create {
            path: path("b"),
            inode: 3,
            node: node(NodeKind::Symlink, "../target"),
        },
        Record::Create {
            path: Path(vec![0xff, b'/', 0xfe]),
            inode: u64::MAX,
            node: node(NodeKind::CharDevice, ""),
        },
        Record::Link {
            from: path("b"),
            to: path("c"),
            inode: 3,
            time: time(4),
        },
        Record::Remove {
            path: path("c"),
            kind: NodeKind::Fifo,
            time: time(5),
        },
        rename(NodeKind::Directory, RenameMode::Replace { replaced: None }),
        rename(NodeKind::Socket, RenameMode::Replace { replaced }),
        rename(NodeKind::File, RenameMode::Exchange { other }),
    ]
}

/// Records that change nodes in place.
fn nodes() -> Vec<Record> {
    let all = AttributeChange {
        permissions: Some(0o7777),
        uid: Some(1),
        gid: Some(2),
        atime: Some(time(7)),
        mtime: Some(time(8)),
        ctime: Some(time(9)),
    };
    let set = |change| Record::SetAttributes {
        path: path("b"),
        inode: 3,
        change,
    };
    vec![
        Record::Write {
            path: path("b"),
            inode: 3,
            time: time(10),
        },
        set(all),
        set(AttributeChange::default()),
        Record::SetXattr {
            path: path("b"),
            name: b"user.name".to_vec(),
            value: vec![0xee; 1500],
        },
        Record::RemoveXattr {
            path: path("b"),
            name: b"user.name".to_vec(),
        },
        Record::InodesTaken { next: 4 },
    ]
}

/// Records of the way to the remote.
fn pushes() -> Vec<Record> {
    let effects = [
        Effect::Remove { path: path("r") },
        Effect::Copy {
            from: path("f"),
            to: path("t"),
        },
        Effect::Put {
            path: path(""),
            inode: 1,
        },
    ];
    let since = time(11);
    let mut records = vec![
        Record::Pin {
            bookmark: Some("main".to_owned()),
            change: [1; 16],
            commit: [2; 20],
            tree: [3; 20],
            time: time(12),
        },
        Record::ForkIntended {
            transaction: [4; 16],
            continues: None,
        },
        Record::ForkIntended {
            transaction: [4; 16],
            continues: Some([5; 16]),
        },
        Record::Forked {
            change: [6; 16],
            commit: [7; 20],
        },
        Record::PushIntended {
            through: Sequence(8),
            batch: [9; 16],
        },
        Record::Pushed {
            through: Sequence(8),
            commit: [10; 20],
        },
    ];
    for effect in effects {
        let later = effect.clone();
        records.push(Record::Pending { since, effect });
        records.push(Record::PendingLater {
            since,
            effect: later,
        });
    }
    records
}

/// Records of decisions.
fn decisions() -> Vec<Record> {
    let found = |kind, bookmark, sibling| Record::ConflictFound {
        conflict: [11; 16],
        kind,
        change: [12; 16],
        base: [13; 20],
        theirs: [14; 20],
        bookmark,
        sibling,
        time: time(13),
    };
    let bookmark = "b\u{e4}".to_owned();
    vec![
        Record::Held { time: time(14) },
        Record::Released { time: time(15) },
        Record::Dropped {
            path: path("d"),
            time: time(16),
        },
        found(ConflictKind::Foreign, None, Some([15; 16])),
        found(ConflictKind::Publish, Some(bookmark.clone()), None),
        Record::ConflictPath {
            conflict: [11; 16],
            path: path("p"),
        },
        Record::ConflictResolved {
            conflict: [11; 16],
            time: time(17),
        },
        Record::PublishIntended {
            publish: [16; 16],
            change: [17; 16],
            commit: [18; 20],
            bookmark: bookmark.clone(),
        },
        Record::Published {
            change: [17; 16],
            bookmark,
        },
    ]
}

/// Records of bodies.
fn bodies() -> Vec<Record> {
    vec![
        Record::CopyUp {
            inode: 0x0102_0304_0506_0708,
        },
        Record::BodiesDurable {
            through: Sequence(26),
        },
        Record::CopyUpUndone { inode: u64::MAX },
        Record::Bytes {
            inode: 1,
            kept: 2,
            size: 3,
            offset: 4,
            time: time(18),
            data: vec![0xb0, 0, 0xff],
        },
    ]
}

fn snapshot() -> Vec<Record> {
    vec![
        Record::InodesTaken { next: 9 },
        Record::Create {
            path: path("kept"),
            inode: 8,
            node: node(NodeKind::Directory, ""),
        },
    ]
}

fn log() -> Vec<Record> {
    [names(), nodes(), pushes(), decisions(), bodies()].concat()
}

fn expected() -> Vec<(Sequence, Record)> {
    let snapshot = snapshot().into_iter().map(|record| (THROUGH, record));
    snapshot.chain(numbered(&log(), THROUGH.0 + 1)).collect()
}

/// The journal that is checked in, written anew: a snapshot, a closed segment, and one that ends in a
/// torn record.
fn written_today() -> SimDisk {
    let disk = SimDisk::new(1);
    let journal = Journal::open_on(Arc::new(disk.clone()), smallest_segments());
    let journal = journal.unwrap().journal;
    for _ in 0..THROUGH.0 {
        journal.append(&Record::InodesTaken { next: 2 }).unwrap();
    }
    journal.sync(THROUGH).unwrap();
    journal
        .compact(THROUGH, &mut snapshot().into_iter())
        .unwrap();
    for record in log() {
        let sequence = journal.append(&record).unwrap();
        if sequence.0.is_multiple_of(5) {
            journal.sync(sequence).unwrap();
        }
    }
    journal
        .append(&Record::InodesTaken { next: u64::MAX })
        .unwrap();
    drop(journal);
    let newest = disk
        .files()
        .into_iter()
        .rfind(|name| name.ends_with(".log"));
    let newest = newest.unwrap();
    let mut bytes = disk.bytes(&newest).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last - 4..].fill(0);
    disk.put(&newest, bytes);
    disk
}

fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in support::files(&golden(), "") {
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    folder
}

#[test]
fn a_journal_of_version_1_is_read() {
    let folder = copy();
    let report = verify(folder.path()).unwrap();
    let problems: Vec<&Problem> = report.findings.iter().map(|it| &it.problem).collect();
    assert_eq!(problems, [&Problem::Torn]);
    assert_eq!(report.files.len(), 3, "a snapshot and two segments");
    let recovered = support::open(folder.path(), smallest_segments());
    assert_eq!(recovered.records, expected());
    let last = recovered
        .journal
        .append(&Record::InodesTaken { next: 1 })
        .unwrap();
    assert_eq!(last.0, THROUGH.0 + log().len() as u64 + 1);
}

#[test]
fn the_same_records_give_the_same_bytes() {
    let disk = written_today();
    let golden = support::files(&golden(), "");
    let names = golden
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), disk.files());
    for file in golden {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            fs::read(&file).unwrap() == disk.bytes(name).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn every_kind_is_in_it() {
    let mut kinds: Vec<u16> = expected()
        .iter()
        .map(|(_, record)| journal::codec::encode(record, &mut Vec::new()).unwrap())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (1..=29).collect::<Vec<u16>>());
}

#[test]
fn version_2_is_refused_by_name_whichever_file_has_it() {
    for file in support::files(&golden(), "") {
        let folder = copy();
        let mut bytes = fs::read(&file).unwrap();
        bytes[8] = 2;
        fs::write(folder.path().join(file.file_name().unwrap()), bytes).unwrap();
        let error = Journal::open(folder.path(), smallest_segments())
            .err()
            .unwrap();
        assert!(
            matches!(error, Error::UnknownVersion { version: 2, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("version 2"), "{error}");
    }
}
