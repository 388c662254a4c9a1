//! Any bytes as a journal's files: opening says no, or gives records after which appending works and
//! after which everything is found again. Verifying says beforehand which of the two it will be, and
//! of what is salvaged a rebuilt journal holds all.
//!
//! The fuzzer cannot make checksums, so bytes that ask for it get a real journal as their base, with
//! or without a snapshot, over one of whose files they are written.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use journal::disk::sim::SimDisk;
use journal::{
    Error, Journal, Options, Path, Record, Recovered, Salvaged, Sequence, Verdict, rebuild_on,
    salvage_on, verify_on,
};
use libfuzzer_sys::fuzz_target;

fn open(disk: &SimDisk) -> Result<Recovered, Error> {
    let options = Options {
        commit_interval: Duration::from_secs(3600),
        segment_bytes_max: 0,
    };
    Journal::open_on(Arc::new(disk.clone()), options)
}

fn record(inode: u64) -> Record {
    // Three of them to a segment and a bit.
    let path = Path(vec![b'a'; 1200]);
    Record::Write { path, inode, time: journal::Time::default() }
}

/// Records 1 to `count`; those up to a third of them are in a snapshot if `choice` says so.
fn base(disk: &SimDisk, choice: u8) {
    let count = u64::from(choice % 11);
    let journal = open(disk).expect("a new journal").journal;
    for inode in 1..=count {
        let sequence = journal.append(&record(inode)).expect("room");
        if choice.is_multiple_of(3) {
            journal.sync(sequence).expect("a sync");
        }
    }
    if choice >= 128 {
        let through = Sequence(count / 3);
        journal.sync(journal.head()).expect("a sync");
        journal.compact(through, &mut (1..=through.0).map(record)).expect("a snapshot");
    }
}

/// Opens, appends, and opens again.
fn survive(disk: &SimDisk) -> Result<Vec<Record>, Error> {
    let recovered = open(disk)?;
    let mut expected = recovered.records;
    let sequence = recovered.journal.append(&record(99)).expect("room");
    expected.push((sequence, record(99)));
    drop(recovered.journal);
    let again = open(disk).expect("a repaired journal opens");
    assert_eq!(again.records, expected);
    expected.pop();
    Ok(expected.into_iter().map(|(_, record)| record).collect())
}

fuzz_target!(|input: &[u8]| {
    let Some(([choice, file, at, step], bytes)) = input.split_first_chunk::<4>() else {
        return;
    };
    let disk = SimDisk::new(1);
    let name = match choice % 8 {
        0 => "0000000000000001.log".to_owned(),
        1 => "0000000000000007.snapshot".to_owned(),
        2 => "damaged-1.rebuild".to_owned(),
        _ => {
            base(&disk, *choice);
            let files = disk.files();
            files[usize::from(*file) % files.len()].clone()
        }
    };
    let mut content = disk.bytes(&name).unwrap_or_default();
    let at = usize::from(*at) * (usize::from(*step) + 1);
    content.resize(content.len().max(at + bytes.len()), 0);
    content[at..at + bytes.len()].copy_from_slice(bytes);
    disk.put(&name, content);

    let report = verify_on(Arc::new(disk.clone())).expect("a report");
    let refused = report.findings.iter().any(|finding| finding.verdict == Verdict::Refused);
    assert_eq!(refused, report.refusal.is_some());
    let salvaged = salvage_on(Arc::new(disk.clone()));
    let opened = survive(&disk.after_kill());
    assert_eq!(opened.is_err(), refused, "{:#?}", report.findings);
    let Ok(Salvaged { records, head, .. }) = salvaged else {
        return;
    };
    let records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
    if let Ok(opened) = opened {
        assert!(records.starts_with(&opened));
    }
    rebuild_on(Arc::new(disk.clone()), head, &mut records.iter().cloned()).expect("a rebuild");
    assert_eq!(survive(&disk).expect("a rebuilt journal opens"), records);
});
