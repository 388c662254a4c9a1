//! Any bytes as an export: opening says no, or gives something whose import stays inside its folder,
//! and of which a second import changes nothing.
//!
//! The fuzzer cannot make checksums, so bytes that ask for it are the list of changes in a tar that is
//! otherwise sound.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use mesa::export::{Archive, Folder, Overwrite};

fn wrapped(list: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(list.len() as u64);
    tar.append_data(&mut header, "mesa-export.json", list).expect("memory");
    tar.into_inner().expect("memory")
}

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let bytes = match choice % 4 {
        0 => bytes.to_vec(),
        _ => wrapped(bytes),
    };
    let Ok(mut archive) = Archive::open(Cursor::new(bytes)) else {
        return;
    };
    let around = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let inside = around.path().join("inside");
    std::fs::create_dir(&inside).expect("room");
    let folder = Folder::open(&inside).expect("it is there");
    let Ok(applied) = archive.apply(&folder, Overwrite::Never) else {
        return;
    };
    assert_eq!(std::fs::read_dir(around.path()).expect("it is there").count(), 1);
    if applied.contradicting.is_empty() {
        let again = archive.apply(&folder, Overwrite::Never).expect("it worked before");
        assert_eq!(again.changed, 0);
    }
});
