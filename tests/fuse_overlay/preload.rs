//! Files that the kernel is given before it asks for them.

use std::time::Instant;

use super::*;

const FILES: usize = 1_500;

/// A mount at which everything was read, and of which the kernel has nothing.
fn known() -> Fixture {
    let fixture = Fixture::new();
    for name in names(&fixture.at("many")) {
        fs::read(fixture.at("many").join(name)).unwrap();
    }
    fixture.mounted_again(asked_for())
}

/// Files in the order in which their directory shows them.
fn listed(fixture: &Fixture) -> Vec<PathBuf> {
    let listed = fs::read_dir(fixture.at("many")).unwrap();
    listed.map(|entry| entry.unwrap().path()).collect()
}

fn content(path: &Path) -> Vec<u8> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let number: usize = name.trim_start_matches("file-").parse().unwrap();
    format!("content {number}").into_bytes()
}

fn preloaded(fixture: &Fixture) -> u64 {
    fixture.mounted.counters().preloaded().0
}

/// Waits until no more files are given.
fn settled(fixture: &Fixture) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut before = preloaded(fixture);
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let now = preloaded(fixture);
        if now == before {
            return now;
        }
        assert!(Instant::now() < deadline, "files are given without end");
        before = now;
    }
}

#[test]
fn who_reads_file_after_file_is_given_most_of_them() {
    let fixture = known();
    let files = listed(&fixture);
    assert_eq!(files.len(), FILES);
    for path in &files[..3] {
        assert_eq!(fs::read(path).unwrap(), content(path));
    }
    assert!(settled(&fixture) > 10, "after three of them");
    for path in &files {
        assert!(fs::read(path).unwrap() == content(path), "{path:?}");
    }
    let (reads, given) = (fixture.count(RequestKind::Read), preloaded(&fixture));
    // No file is given that was read, and none is read that was given.
    assert_eq!(reads + given, FILES as u64, "{reads} were read");
    // What was not given has no atime of ours, so that nobody asks for it again.
    let attributes = fixture.count(RequestKind::Getattr);
    for path in &files {
        fs::metadata(path).unwrap();
    }
    let asked = fixture.count(RequestKind::Getattr) - attributes;
    assert!(asked <= reads, "{asked} attributes after {reads} reads");
}

#[test]
fn who_reads_two_files_is_given_none() {
    let fixture = known();
    let files = listed(&fixture);
    for path in &files[..2] {
        fs::read(path).unwrap();
    }
    assert_eq!(settled(&fixture), 0);
}

#[test]
fn what_is_not_here_is_not_given_and_comes_when_it_is_read() {
    let fixture = Fixture::new();
    let files = listed(&fixture);
    fixture.memory.offline.store(true, Ordering::SeqCst);
    for path in &files[..5] {
        assert_eq!(errno(fs::read(path)), libc::ENETUNREACH);
    }
    assert_eq!(settled(&fixture), 0);
    fixture.memory.offline.store(false, Ordering::SeqCst);
    for path in &files {
        assert!(fs::read(path).unwrap() == content(path), "{path:?}");
    }
}

#[test]
fn what_somebody_looked_up_before_is_not_given() {
    let fixture = known();
    let all: Vec<PathBuf> = (0..FILES)
        .map(|number| fixture.at(&format!("many/file-{number:04}")))
        .collect();
    for path in &all {
        fs::metadata(path).unwrap();
    }
    for path in listed(&fixture) {
        assert!(fs::read(&path).unwrap() == content(&path), "{path:?}");
    }
    assert_eq!(
        (settled(&fixture), fixture.count(RequestKind::Read)),
        (0, FILES as u64)
    );
}
