//! Reading: the tree as it is, what the kernel keeps, and the network in between.

use super::*;

#[test]
fn the_mounted_tree_is_the_repository() {
    let fixture = Fixture::new();
    let mut found = BTreeMap::new();
    walk(&fixture.root, "", &mut found);
    assert!(found == example(), "{:?}", found.keys());
    let root = fs::metadata(&fixture.root).unwrap();
    assert_eq!(root.ino(), 7 << 48 | 1);
    assert_eq!(
        fs::metadata(fixture.at("README.md")).unwrap().mtime(),
        1_700_000_000
    );
    assert_eq!(fs::metadata(fixture.at("..")).unwrap().ino() >> 48, 0);
    let ran = Command::new(fixture.at("run.sh")).output().unwrap();
    assert_eq!(ran.stdout, b"ran\n");
}

#[test]
fn what_the_kernel_knows_is_not_asked_again() {
    let fixture = Fixture::new();
    let mut found = BTreeMap::new();
    walk(&fixture.root, "", &mut found);
    let touch = || {
        for path in found.keys() {
            fs::symlink_metadata(fixture.at(path)).unwrap();
            assert_eq!(
                errno(fs::metadata(fixture.at(path).with_extension("no"))),
                libc::ENOENT
            );
        }
        for folder in ["", "src", "src/deep", "many"] {
            names(&fixture.at(folder));
        }
    };
    touch();
    let (requests, readdirs) = (fixture.requests(), fixture.count(RequestKind::Readdirplus));
    touch();
    touch();
    let all: Vec<_> = fixture
        .mounted
        .counters()
        .all()
        .filter(|(_, count)| *count > 0)
        .collect();
    // Reading a directory moves its atime, for which the kernel asks at its next opening.
    assert!(fixture.requests() - requests <= 8, "{all:?}");
    assert_eq!(fixture.count(RequestKind::Readdirplus), readdirs);
    assert_eq!(fixture.count(RequestKind::Opendir), 1);
    assert!(fixture.count(RequestKind::Flush) <= 1);
}

#[test]
fn offline_is_said_at_once_and_local_work_goes_on() {
    let fixture = Fixture::new();
    assert_eq!(fs::read(fixture.at("README.md")).unwrap(), b"# tool\n");
    names(&fixture.at("src"));
    fixture.memory.offline.store(true, Ordering::SeqCst);
    assert_eq!(
        errno(fs::read(fixture.at("src/main.rs"))),
        libc::ENETUNREACH
    );
    assert_eq!(
        errno(fs::read_dir(fixture.at("many")).unwrap().next().unwrap()),
        libc::ENETUNREACH
    );
    assert_eq!(fs::read(fixture.at("README.md")).unwrap(), b"# tool\n");
    fs::write(fixture.at("README.md"), b"changed").unwrap();
    fs::write(
        fixture.at("src/main.rs"),
        b"replaced, so nothing is fetched",
    )
    .unwrap();
    fs::rename(fixture.at("src"), fixture.at("moved")).unwrap();
    fixture.memory.offline.store(false, Ordering::SeqCst);
    assert_eq!(
        fs::read(fixture.at("moved/main.rs")).unwrap(),
        b"replaced, so nothing is fetched"
    );
    assert_eq!(
        fs::read(fixture.at("run.sh")).unwrap(),
        b"#!/bin/sh\necho ran\n"
    );
}

#[test]
fn readers_that_wait_for_the_network_hold_up_nobody() {
    let fixture = Fixture::new();
    names(&fixture.at("many"));
    fs::read(fixture.at("README.md")).unwrap();
    fixture.memory.hold(true);
    let readers: Vec<_> = (0..8)
        .map(|number| {
            let path = fixture.at(&format!("many/file-{number:04}"));
            std::thread::spawn(move || fs::read(path).unwrap())
        })
        .collect();
    let writer = {
        let path = fixture.at("big.bin");
        std::thread::spawn(move || {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.write_all_at(&[1; 1000], 2_000_000).unwrap();
        })
    };
    let calls = || fixture.memory.object_calls.load(Ordering::SeqCst);
    let before = calls();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while calls() < before + 9 && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    // More readers wait than the event loop has threads.
    fs::write(fixture.at("local"), b"local").unwrap();
    let file = File::open(fixture.at("local")).unwrap();
    file.sync_all().unwrap();
    assert_eq!(fs::read(fixture.at("local")).unwrap(), b"local");
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    fixture.memory.hold(false);
    for (number, reader) in readers.into_iter().enumerate() {
        assert_eq!(
            reader.join().unwrap(),
            format!("content {number}").as_bytes()
        );
    }
    writer.join().unwrap();
    let mut bytes = [0; 1001];
    File::open(fixture.at("big.bin"))
        .unwrap()
        .read_exact_at(&mut bytes, 1_999_999)
        .unwrap();
    assert_eq!(bytes[1..], [1; 1000]);
}
