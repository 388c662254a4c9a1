//! Workloads over the bytes of single files.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;

use crate::support::syscall::Map;
use crate::trees::sum_of;
use crate::workloads::Place;

const SAVES: usize = 500;
const SAVED_BYTES: usize = 20_000;
const APPENDS: usize = 200;
/// Lower files that get their first append in one round.
pub const APPENDED_FILES: usize = 100;
const LARGE_MIB: usize = 256;
const MIB: usize = 1 << 20;
const PAGE: usize = 4096;
const RANDOM_READS: u64 = 50_000;

/// A new file under another name, made durable and renamed over the old one.
pub fn editor_saves(place: &Place<'_>) -> Vec<u8> {
    let folder = place.at("edited");
    for number in 0..SAVES {
        let text = vec![b'a' + u8::try_from(number % 26).unwrap(); SAVED_BYTES];
        let fresh = folder.join(".source.rs.swp");
        let mut file = File::create(&fresh).unwrap();
        file.write_all(&text).unwrap();
        file.sync_all().unwrap();
        drop(file);
        fs::rename(&fresh, folder.join("source.rs")).unwrap();
    }
    Vec::new()
}

pub fn appends(place: &Place<'_>) -> Vec<u8> {
    let path = place.at("appended").join("log");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    for number in 0..APPENDS {
        writeln!(file, "line {number} of a log that is synced").unwrap();
        file.sync_data().unwrap();
    }
    Vec::new()
}

/// The lower files that are written in a round, and in no other.
pub fn lower_folder(round: usize) -> String {
    format!("logs/round-{round}")
}

/// What is measured is the copy, not the way here.
pub fn warm_lower(place: &Place<'_>) {
    crate::support::tree::hash_all(&place.at(&lower_folder(place.round)));
}

pub fn first_appends(place: &Place<'_>) -> Vec<u8> {
    let folder = place.at(&lower_folder(place.round));
    for number in 0..APPENDED_FILES {
        let path = folder.join(format!("log-{number}"));
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"one more line\n").unwrap();
    }
    Vec::new()
}

pub fn write_large(place: &Place<'_>) -> Vec<u8> {
    let mut file = File::create(place.at("large").join("file")).unwrap();
    let mut bytes = vec![0; MIB];
    for number in 0..LARGE_MIB {
        let word = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes[..8].copy_from_slice(&word.to_le_bytes());
        file.write_all(&bytes).unwrap();
    }
    file.sync_all().unwrap();
    Vec::new()
}

pub fn read_large(place: &Place<'_>) -> Vec<u8> {
    let mut file = File::open(place.at("large").join("file")).unwrap();
    let mut bytes = vec![0; MIB];
    let mut sum = 0;
    for _ in 0..LARGE_MIB {
        file.read_exact(&mut bytes).unwrap();
        sum = u64::wrapping_add(sum, sum_of(&bytes));
    }
    sum.to_le_bytes().to_vec()
}

/// Pages in an order that no readahead foresees, the same for everybody.
fn pages() -> impl Iterator<Item = usize> {
    let pages = (LARGE_MIB * MIB / PAGE) as u64;
    // Multiplying by an odd constant modulo a power of two visits every page.
    (0..RANDOM_READS).map(move |number| (number.wrapping_mul(0x9e37_79b1) % pages) as usize)
}

pub fn random_reads(place: &Place<'_>) -> Vec<u8> {
    let file = File::open(place.at("large").join("file")).unwrap();
    let mut page = [0; PAGE];
    let mut sum = 0;
    for number in pages() {
        file.read_exact_at(&mut page, (number * PAGE) as u64)
            .unwrap();
        sum = u64::wrapping_add(sum, sum_of(&page));
    }
    sum.to_le_bytes().to_vec()
}

pub fn random_map(place: &Place<'_>) -> Vec<u8> {
    let path = place.at("large").join("file");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut map = Map::of(&file, LARGE_MIB * MIB);
    let bytes = map.bytes();
    let mut sum = 0;
    for number in pages() {
        sum = u64::wrapping_add(sum, sum_of(&bytes[number * PAGE..][..PAGE]));
    }
    sum.to_le_bytes().to_vec()
}
