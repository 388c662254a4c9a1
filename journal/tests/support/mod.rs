//! Records to write, folders to write them in, and random ones of every kind.
#![allow(dead_code)] // each test file uses its own part

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use journal::{
    AttributeChange, ConflictKind, Effect, Journal, Node, NodeKind, Options, Origin, Path, Record,
    Recovered, RenameMode, Sequence, Time,
};
use proptest::prelude::*;

/// Nothing is synced but on demand.
pub(crate) fn quiet() -> Options {
    Options {
        commit_interval: Duration::from_secs(3600),
        ..Options::default()
    }
}

/// So small that a few large records fill a segment.
pub(crate) fn small_segments() -> Options {
    Options {
        segment_bytes_max: 262_144,
        ..quiet()
    }
}

pub(crate) fn write(inode: u64) -> Record {
    Record::Write {
        path: Path(format!("directory/file{inode}").into_bytes()),
        inode,
        time: Time::default(),
    }
}

/// As small as segments get.
pub(crate) fn smallest_segments() -> Options {
    Options {
        segment_bytes_max: 0,
        ..quiet()
    }
}

/// A record of so many bytes and some.
pub(crate) fn sized(inode: u64, bytes: usize) -> Record {
    Record::SetXattr {
        path: Path(format!("sized{inode}").into_bytes()),
        name: b"user.sized".to_vec(),
        value: vec![inode as u8 | 1; bytes],
    }
}

/// A record of about 60 KiB.
pub(crate) fn large(inode: u64) -> Record {
    Record::SetXattr {
        path: Path(format!("large{inode}").into_bytes()),
        name: b"user.large".to_vec(),
        value: vec![inode as u8 | 1; 60_000],
    }
}

pub(crate) fn open(folder: &FilePath, options: Options) -> Recovered {
    Journal::open(folder, options).expect("the journal opens")
}

/// Appends `records` and closes the journal.
pub(crate) fn fill(folder: &FilePath, options: Options, records: &[Record]) {
    let journal = open(folder, options).journal;
    for record in records {
        journal.append(record).expect("there is room");
    }
}

pub(crate) fn numbered(records: &[Record], from: u64) -> Vec<(Sequence, Record)> {
    let numbers = (from..).map(Sequence);
    numbers.zip(records.iter().cloned()).collect()
}

/// The files whose names end so, oldest first.
pub(crate) fn files(folder: &FilePath, suffix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(suffix))
        .collect();
    files.sort();
    files
}

fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Path)
}

fn time() -> impl Strategy<Value = Time> {
    (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanoseconds)| Time {
        seconds,
        nanoseconds,
    })
}

fn kind() -> impl Strategy<Value = NodeKind> {
    prop::sample::select(vec![
        NodeKind::File,
        NodeKind::Directory,
        NodeKind::Symlink,
        NodeKind::Fifo,
        NodeKind::Socket,
        NodeKind::CharDevice,
        NodeKind::BlockDevice,
    ])
}

fn node() -> impl Strategy<Value = Node> {
    let ids = (any::<u32>(), any::<u32>(), any::<u32>());
    let target = prop::collection::vec(any::<u8>(), 0..40);
    (
        kind(),
        0..0o10000_u16,
        ids,
        (time(), time(), time()),
        target,
    )
        .prop_map(
            |(kind, permissions, (uid, gid, rdev), (atime, mtime, ctime), target)| Node {
                kind,
                permissions,
                uid,
                gid,
                rdev,
                target,
                atime,
                mtime,
                ctime,
            },
        )
}

fn change() -> impl Strategy<Value = AttributeChange> {
    let ids = (
        prop::option::of(any::<u32>()),
        prop::option::of(any::<u32>()),
    );
    let times = (
        prop::option::of(time()),
        prop::option::of(time()),
        prop::option::of(time()),
    );
    (prop::option::of(0..0o10000_u16), ids, times).prop_map(
        |(permissions, (uid, gid), (atime, mtime, ctime))| AttributeChange {
            permissions,
            uid,
            gid,
            atime,
            mtime,
            ctime,
        },
    )
}

fn mode() -> impl Strategy<Value = RenameMode> {
    prop_oneof![
        prop::option::of(kind()).prop_map(|replaced| RenameMode::Replace { replaced }),
        kind().prop_map(|other| RenameMode::Exchange { other }),
    ]
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        path().prop_map(|path| Effect::Remove { path }),
        (path(), path()).prop_map(|(from, to)| Effect::Copy { from, to }),
        (path(), any::<u64>()).prop_map(|(path, inode)| Effect::Put { path, inode }),
    ]
}

/// Any record.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..60);
    let sequence = || any::<u64>().prop_map(Sequence);
    prop_oneof![
        (
            path(),
            any::<u64>(),
            node(),
            (path(), any::<[u8; 20]>(), any::<u64>())
        )
            .prop_map(|(path, inode, node, (origin, oid, size))| {
                let origin = Origin {
                    path: origin,
                    oid,
                    size,
                };
                Record::Adopt {
                    path,
                    inode,
                    node,
                    origin,
                }
            }),
        (path(), any::<u64>(), node()).prop_map(|(path, inode, node)| Record::Create {
            path,
            inode,
            node
        }),
        (path(), path(), any::<u64>(), time()).prop_map(|(from, to, inode, time)| Record::Link {
            from,
            to,
            inode,
            time
        }),
        (path(), kind(), time()).prop_map(|(path, kind, time)| Record::Remove { path, kind, time }),
        (path(), path(), kind(), mode(), time()).prop_map(|(from, to, kind, mode, time)| {
            Record::Rename {
                from,
                to,
                kind,
                mode,
                time,
            }
        }),
        (path(), any::<u64>(), time()).prop_map(|(path, inode, time)| Record::Write {
            path,
            inode,
            time
        }),
        (path(), any::<u64>(), change()).prop_map(|(path, inode, change)| Record::SetAttributes {
            path,
            inode,
            change
        }),
        (path(), bytes(), bytes()).prop_map(|(path, name, value)| Record::SetXattr {
            path,
            name,
            value
        }),
        (path(), bytes()).prop_map(|(path, name)| Record::RemoveXattr { path, name }),
        any::<u64>().prop_map(|next| Record::InodesTaken { next }),
        (
            any::<Option<String>>(),
            any::<[u8; 16]>(),
            any::<[u8; 20]>(),
            any::<[u8; 20]>(),
            time()
        )
            .prop_map(|(bookmark, change, commit, tree, time)| Record::Pin {
                bookmark,
                change,
                commit,
                tree,
                time
            }),
        (any::<[u8; 16]>(), any::<Option<[u8; 16]>>()).prop_map(|(transaction, continues)| {
            Record::ForkIntended {
                transaction,
                continues,
            }
        }),
        (any::<[u8; 16]>(), any::<[u8; 20]>())
            .prop_map(|(change, commit)| Record::Forked { change, commit }),
        (sequence(), any::<[u8; 16]>())
            .prop_map(|(through, batch)| Record::PushIntended { through, batch }),
        (sequence(), any::<[u8; 20]>())
            .prop_map(|(through, commit)| Record::Pushed { through, commit }),
        (time(), effect()).prop_map(|(since, effect)| Record::Pending { since, effect }),
        (time(), effect()).prop_map(|(since, effect)| Record::PendingLater { since, effect }),
        decision(),
    ]
}

/// Records of what people decided, and of what was published.
fn decision() -> impl Strategy<Value = Record> {
    let id = any::<[u8; 16]>;
    let kind = prop::sample::select(vec![ConflictKind::Foreign, ConflictKind::Publish]);
    let commits = (any::<[u8; 20]>(), any::<[u8; 20]>());
    prop_oneof![
        time().prop_map(|time| Record::Held { time }),
        time().prop_map(|time| Record::Released { time }),
        (path(), time()).prop_map(|(path, time)| Record::Dropped { path, time }),
        (
            (id(), id(), any::<Option<[u8; 16]>>()),
            kind,
            commits,
            any::<Option<String>>(),
            time()
        )
            .prop_map(
                |((conflict, change, sibling), kind, (base, theirs), bookmark, time)| {
                    Record::ConflictFound {
                        conflict,
                        kind,
                        change,
                        base,
                        theirs,
                        bookmark,
                        sibling,
                        time,
                    }
                }
            ),
        (id(), path()).prop_map(|(conflict, path)| Record::ConflictPath { conflict, path }),
        (id(), time()).prop_map(|(conflict, time)| Record::ConflictResolved { conflict, time }),
        (id(), id(), any::<[u8; 20]>(), any::<String>()).prop_map(
            |(publish, change, commit, bookmark)| Record::PublishIntended {
                publish,
                change,
                commit,
                bookmark
            }
        ),
        (id(), any::<String>())
            .prop_map(|(change, bookmark)| Record::Published { change, bookmark }),
        any::<u64>().prop_map(|inode| Record::CopyUp { inode }),
        any::<u64>().prop_map(|through| Record::BodiesDurable {
            through: Sequence(through)
        }),
        any::<u64>().prop_map(|inode| Record::CopyUpUndone { inode }),
        (any::<[u64; 4]>(), time(), any::<Vec<u8>>()).prop_map(|(numbers, time, data)| {
            let [inode, kept, size, offset] = numbers;
            Record::Bytes {
                inode,
                kept,
                size,
                offset,
                time,
                data,
            }
        }),
    ]
}
