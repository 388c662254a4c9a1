//! Workloads over many files, and the hashes by which outcomes are compared.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::workloads::Place;

/// Files that are made one by one.
const CREATED: usize = 2_000;
/// Bytes of each.
const CREATED_BYTES: usize = 500;

/// Runs a program to its end.
#[track_caller]
pub fn program(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// An empty directory.
pub fn fresh(place: &Place<'_>, name: &str) {
    crate::clear(&place.at(name));
    fs::create_dir(place.at(name)).unwrap();
}

pub fn stat_walk(place: &Place<'_>) -> Vec<u8> {
    let mut find = Command::new("find");
    find.arg(".").args(["-type", "f", "-printf", "%s %p\\n"]);
    program(find.current_dir(place.at("tree"))).stdout
}

pub fn grep(place: &Place<'_>) -> Vec<u8> {
    let mut grep = Command::new("grep");
    grep.args(["-r", "needle", "."]);
    program(grep.current_dir(place.at("tree"))).stdout
}

pub fn read_all(place: &Place<'_>) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut sum = 0;
    read_below(&place.at("tree"), &mut buffer, &mut sum);
    u64::to_le_bytes(sum).to_vec()
}

fn read_below(folder: &Path, buffer: &mut Vec<u8>, sum: &mut u64) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            read_below(&entry.path(), buffer, sum);
        } else {
            buffer.clear();
            File::open(entry.path())
                .unwrap()
                .read_to_end(buffer)
                .unwrap();
            *sum = sum.wrapping_add(sum_of(buffer));
        }
    }
}

/// As cheap as a look at every byte can be: what is measured is the reading.
pub fn sum_of(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8);
    let rest = words.remainder().iter().map(|byte| u64::from(*byte));
    let words = words.map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    words.chain(rest).fold(0, u64::wrapping_add)
}

pub fn untar(place: &Place<'_>) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(&place.inputs.archive);
    program(tar.arg("-C").arg(place.at("unpacked"))).stdout
}

pub fn copy(place: &Place<'_>) -> Vec<u8> {
    program(
        Command::new("cp")
            .args(["-r", "tree", "copied"])
            .current_dir(&place.root),
    )
    .stdout
}

pub fn remove(place: &Place<'_>) -> Vec<u8> {
    program(
        Command::new("rm")
            .args(["-rf", "unpacked"])
            .current_dir(&place.root),
    )
    .stdout
}

pub fn create(place: &Place<'_>) -> Vec<u8> {
    let folder = place.at("created");
    let bytes = vec![b'x'; CREATED_BYTES];
    for number in 0..CREATED {
        let mut file = File::create(folder.join(format!("file-{number}"))).unwrap();
        file.write_all(&bytes).unwrap();
    }
    Vec::new()
}

pub fn unlink(place: &Place<'_>) -> Vec<u8> {
    let folder = place.at("created");
    for number in 0..CREATED {
        fs::remove_file(folder.join(format!("file-{number}"))).unwrap();
    }
    Vec::new()
}

/// What was read, as it is.
pub fn as_read(_: &Place<'_>, read: &[u8]) -> blake3::Hash {
    blake3::hash(read)
}

/// What was read, in any order of lines.
pub fn lines(_: &Place<'_>, read: &[u8]) -> blake3::Hash {
    let mut lines: Vec<&[u8]> = read.split(|byte| *byte == b'\n').collect();
    assert!(lines.len() > 100, "only {} lines", lines.len());
    lines.sort_unstable();
    blake3::hash(&lines.join(&b'\n'))
}

/// Nothing is there.
pub fn gone(path: &Path) -> blake3::Hash {
    assert!(!path.exists(), "{path:?} is still there");
    blake3::hash(b"")
}
