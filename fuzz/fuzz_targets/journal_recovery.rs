//! Any bytes as a journal's file: opening says no, or gives records after which appending works and
//! after which everything is found again.
//!
//! The fuzzer cannot make checksums, so bytes that ask for it get a real segment as their base, over
//! which they are written.
#![no_main]

use std::fs;
use std::time::Duration;

use journal::{Journal, Options, Path, Record};
use libfuzzer_sys::fuzz_target;

fn options() -> Options {
    Options {
        commit_interval: Duration::from_secs(3600),
        segment_bytes_max: 0,
    }
}

fn record(inode: u64) -> Record {
    let path = Path(b"path".to_vec());
    Record::Write { path, inode, time: journal::Time::default() }
}

fuzz_target!(|input: &[u8]| {
    let Some(([choice, at], bytes)) = input.split_first_chunk::<2>() else {
        return;
    };
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let name = match choice % 4 {
        0 => "0000000000000001.log",
        1 => "0000000000000007.snapshot",
        _ => {
            let journal = Journal::open(folder.path(), options()).expect("a new journal").journal;
            for inode in 0..u64::from(choice % 7) {
                let sequence = journal.append(&record(inode)).expect("room");
                if choice % 3 == 0 {
                    journal.sync(sequence).expect("a sync");
                }
            }
            "0000000000000001.log"
        }
    };
    let path = folder.path().join(name);
    let mut file = fs::read(&path).unwrap_or_default();
    let at = usize::from(*at) * 2;
    file.resize(file.len().max(at + bytes.len()), 0);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(&path, &file).expect("room");

    let Ok(recovered) = Journal::open(folder.path(), options()) else {
        return;
    };
    let mut expected = recovered.records;
    let sequence = recovered.journal.append(&record(99)).expect("room");
    expected.push((sequence, record(99)));
    drop(recovered.journal);
    let again = Journal::open(folder.path(), options()).expect("a repaired journal opens");
    assert_eq!(again.records, expected);
});
