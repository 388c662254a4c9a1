//! Recovery: what a crash or a bad disk leaves, and what becomes of it. The cases are those of the
//! table in `FORMAT.md`.
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

use journal::{Damage, Error, Journal, Record, Sequence};
use support::{files, fill, large, numbered, open, quiet, small_segments, write};

const HEADER_BYTES: usize = 64;

fn three() -> Vec<Record> {
    (1..=3).map(write).collect()
}

/// A folder with one segment of these records, and where each of them begins and the last one ends.
fn one_segment(records: &[Record]) -> (tempfile::TempDir, PathBuf, Vec<u8>, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path(), quiet(), records);
    let segment = files(folder.path(), ".log").remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let mut edges = vec![HEADER_BYTES];
    for _ in records {
        let at = edges[edges.len() - 1];
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        edges.push(at + length.next_multiple_of(8));
    }
    bytes.truncate(edges[edges.len() - 1] + 64); // less zeroes to go through
    (folder, segment, bytes, edges)
}

/// Opens, appends one record and opens again: what came back each time.
fn survive(folder: &FilePath) -> Result<Vec<(Sequence, Record)>, Error> {
    let recovered = Journal::open(folder, quiet())?;
    let sequence = recovered.journal.append(&write(99)).unwrap();
    assert_eq!(
        sequence,
        recovered
            .records
            .last()
            .map_or(Sequence(1), |(last, _)| last.next())
    );
    let mut expected = recovered.records.clone();
    expected.push((sequence, write(99)));
    drop(recovered);
    assert_eq!(open(folder, quiet()).records, expected);
    expected.pop();
    Ok(expected)
}

#[test]
fn a_tail_torn_at_any_byte_ends_the_log() {
    let (folder, segment, bytes, edges) = one_segment(&three());
    let (from, to) = (edges[2], edges[3]);
    for cut in from..to {
        for rest in [0x00, 0x5a, 0xff] {
            let mut torn = bytes.clone();
            torn[cut..to].fill(rest);
            let expected = if torn == bytes { 3 } else { 2 };
            fs::write(&segment, &torn).unwrap();
            assert_eq!(
                survive(folder.path()).unwrap(),
                numbered(&three()[..expected], 1),
                "{cut}"
            );
        }
        fs::write(&segment, &bytes[..cut]).unwrap();
        assert_eq!(
            survive(folder.path()).unwrap(),
            numbered(&three()[..2], 1),
            "cut off at {cut}"
        );
    }
}

#[test]
fn unsynced_records_behind_a_torn_one_go_with_it() {
    let (folder, segment, mut bytes, edges) = one_segment(&three());
    bytes[edges[1] + 40] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    assert_eq!(survive(folder.path()).unwrap(), numbered(&three()[..1], 1));
}

#[test]
fn damage_before_a_record_that_knew_it_to_be_durable_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), quiet()).journal;
    let first = journal.append(&write(1)).unwrap();
    journal.sync(first).unwrap();
    journal.append(&write(2)).unwrap();
    drop(journal);
    let segment = files(folder.path(), ".log").remove(0);
    let intact = fs::read(&segment).unwrap();
    for (at, bit) in [
        (HEADER_BYTES, 0xff),
        (HEADER_BYTES + 5, 1),
        (HEADER_BYTES + 33, 128),
    ] {
        let mut bytes = intact.clone();
        bytes[at] ^= bit;
        fs::write(&segment, &bytes).unwrap();
        match Journal::open(folder.path(), quiet()) {
            Err(Error::Damaged {
                path,
                offset,
                damage: Damage::Record,
            }) => {
                assert_eq!((path, offset), (segment.clone(), HEADER_BYTES as u64));
            }
            other => panic!("{:?}", other.map(|recovered| recovered.records)),
        }
        assert_eq!(
            fs::read(&segment).unwrap(),
            bytes,
            "a refused journal is not touched"
        );
    }
}

#[test]
fn any_flipped_bit_is_found_or_ends_the_log() {
    let records = three();
    let (folder, segment, bytes, _) = one_segment(&records);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&segment, &flipped).unwrap();
        match Journal::open(folder.path(), quiet()) {
            Ok(recovered) => {
                let count = recovered.records.len();
                assert_eq!(
                    recovered.records,
                    numbered(&records[..count], 1),
                    "bit {bit}"
                );
                assert!(
                    bit >= HEADER_BYTES * 8,
                    "a header is believed in full or not at all"
                );
            }
            Err(Error::Damaged { .. } | Error::UnknownVersion { .. }) => {}
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn an_unknown_version_is_refused_by_name() {
    let (folder, segment, mut bytes, _) = one_segment(&three());
    bytes[8] = 2;
    fs::write(&segment, &bytes).unwrap();
    let error = Journal::open(folder.path(), quiet()).err().unwrap();
    assert!(
        matches!(error, Error::UnknownVersion { version: 2, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("version 2"), "{error}");
}

/// Several segments, in order; each record is one of about 60 KiB.
fn many_segments() -> (tempfile::TempDir, Vec<Record>, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let records: Vec<Record> = (1..=20).map(large).collect();
    fill(folder.path(), small_segments(), &records);
    let segments = files(folder.path(), ".log");
    assert!(segments.len() >= 4);
    assert_eq!(
        open(folder.path(), small_segments()).records,
        numbered(&records, 1)
    );
    (folder, records, segments)
}

#[test]
fn damage_in_a_closed_segment_is_an_error_that_names_its_place() {
    let (folder, _, segments) = many_segments();
    let mut bytes = fs::read(&segments[1]).unwrap();
    bytes[HEADER_BYTES + 1000] ^= 4;
    fs::write(&segments[1], &bytes).unwrap();
    match Journal::open(folder.path(), small_segments()) {
        Err(Error::Damaged {
            path,
            offset: 64,
            damage: Damage::Record,
        }) => assert_eq!(path, segments[1]),
        other => panic!("{:?}", other.map(|recovered| recovered.records.len())),
    }
}

#[test]
fn a_closed_segment_that_ends_early_is_an_error() {
    let (folder, _, segments) = many_segments();
    let mut bytes = fs::read(&segments[1]).unwrap();
    bytes[HEADER_BYTES..].fill(0);
    fs::write(&segments[1], &bytes).unwrap();
    let error = Journal::open(folder.path(), small_segments())
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            Error::Damaged {
                damage: Damage::Short { .. },
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_missing_segment_is_an_error() {
    for lost in 0..2 {
        let (folder, _, segments) = many_segments();
        fs::remove_file(&segments[lost]).unwrap();
        let error = Journal::open(folder.path(), small_segments())
            .err()
            .unwrap();
        match lost {
            0 => assert!(
                matches!(
                    error,
                    Error::MissingSegment {
                        first: Sequence(1),
                        ..
                    }
                ),
                "{error}"
            ),
            _ => assert!(
                matches!(
                    error,
                    Error::Damaged {
                        damage: Damage::Short { .. },
                        ..
                    }
                ),
                "{error}"
            ),
        }
    }
}

#[test]
fn a_segment_of_another_journal_or_under_another_name_is_an_error() {
    let (folder, _, segments) = many_segments();
    let (other, _, _) = many_segments();
    let name = segments[1].file_name().unwrap();
    fs::copy(other.path().join(name), &segments[1]).unwrap();
    let error = Journal::open(folder.path(), small_segments())
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            Error::Damaged {
                damage: Damage::Foreign,
                ..
            }
        ),
        "{error}"
    );
    fs::copy(&segments[2], &segments[1]).unwrap();
    let error = Journal::open(folder.path(), small_segments())
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            Error::Damaged {
                damage: Damage::HeaderName,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_crash_before_the_new_segment_has_a_record_leaves_an_empty_one() {
    let (folder, records, segments) = many_segments();
    let newest = segments.last().unwrap();
    let first = u64::from_str_radix(newest.file_stem().unwrap().to_str().unwrap(), 16).unwrap();
    let mut bytes = fs::read(newest).unwrap();
    bytes[HEADER_BYTES..].fill(0);
    fs::write(newest, &bytes).unwrap();
    let expected = numbered(&records[..first as usize - 1], 1);
    assert_eq!(survive(folder.path()).unwrap(), expected);
}

#[test]
fn files_that_were_never_published_are_deleted_and_strangers_are_left_alone() {
    let (folder, _, _, _) = one_segment(&three());
    let temporary = folder.path().join("0000000000000009.log.temp");
    let stranger = folder.path().join("notes.temp");
    fs::write(&temporary, b"half").unwrap();
    fs::write(&stranger, b"mine").unwrap();
    assert_eq!(survive(folder.path()).unwrap(), numbered(&three(), 1));
    assert!(!temporary.exists() && stranger.exists());
}

#[test]
fn a_first_segment_that_never_got_its_name_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0000000000000001.log.temp"), b"half").unwrap();
    assert_eq!(survive(folder.path()).unwrap(), []);
}

#[test]
fn a_file_without_a_header_is_an_error() {
    let (folder, segment, bytes, _) = one_segment(&[]);
    fs::write(&segment, &bytes[..HEADER_BYTES - 1]).unwrap();
    let error = Journal::open(folder.path(), quiet()).err().unwrap();
    assert!(
        matches!(
            error,
            Error::Damaged {
                damage: Damage::HeaderCut,
                offset: 0,
                ..
            }
        ),
        "{error}"
    );
    fs::write(&segment, vec![0; 4096]).unwrap();
    let error = Journal::open(folder.path(), quiet()).err().unwrap();
    assert!(
        matches!(
            error,
            Error::Damaged {
                damage: Damage::Magic,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn opening_many_times_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for inode in 1..=30 {
        let recovered = open(folder.path(), small_segments());
        assert_eq!(recovered.records, expected);
        assert_eq!(recovered.journal.head(), Sequence(inode - 1));
        let record = if inode % 2 == 0 {
            write(inode)
        } else {
            large(inode)
        };
        expected.push((recovered.journal.append(&record).unwrap(), record));
    }
    let bytes = |_| -> Vec<(PathBuf, Vec<u8>)> {
        files(folder.path(), "")
            .into_iter()
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    };
    let before = bytes(());
    drop(open(folder.path(), small_segments()));
    assert_eq!(bytes(()), before);
}

#[test]
fn state_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/journal");
    fill(&folder, quiet(), &three());
    let mode = |path: &FilePath| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&files(&folder, ".log")[0]), 0o600);
}

#[test]
fn a_journal_keeps_its_identity_and_shares_it_with_none() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let epoch = |folder: &FilePath| open(folder, quiet()).journal.epoch();
    assert_eq!(epoch(one.path()), epoch(one.path()));
    assert_ne!(epoch(one.path()), epoch(other.path()));
}
