//! Who opens files: the kernel by itself, or we, each time.

use super::*;

/// Opens and reads every regular file, and asks the open file for its attributes.
fn pass(fixture: &Fixture, files: &[PathBuf]) {
    for path in files {
        let mut file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, size, "{}", path.display());
    }
    // Attributes are asked for again after what was read: see `what_the_kernel_knows_is_not_asked_again`.
    names(&fixture.at("many"));
}

/// The regular files of a folder.
fn files(fixture: &Fixture) -> Vec<PathBuf> {
    let names = names(&fixture.at("many")).into_iter();
    names.map(|name| fixture.at("many").join(name)).collect()
}

#[test]
fn a_file_that_the_kernel_opens_and_has_read_costs_no_request() {
    let fixture = Fixture::opening(Opens::Kernel);
    let files = files(&fixture);
    let count = files.len() as u64;
    assert!(count >= 100);
    pass(&fixture, &files);
    let of = |kind| fixture.count(kind);
    // The one open that is needed comes with the mount, and is none of the repository.
    assert_eq!(of(RequestKind::Open), 0);
    assert!(of(RequestKind::Read) >= count);
    // A kernel that is short of memory gives pages up.
    let few = count / 50;
    let reads = of(RequestKind::Read);
    // A read moves the time of access, which the kernel asks for once.
    pass(&fixture, &files);
    let requests = fixture.requests();
    pass(&fixture, &files);
    assert!(of(RequestKind::Read) - reads <= few);
    assert!(fixture.requests() - requests <= few);
    assert_eq!((of(RequestKind::Open), of(RequestKind::Release)), (0, 0));
}

#[test]
fn plain_opens_are_told_and_counted() {
    let fixture = Fixture::opening(Opens::Plain);
    let files = files(&fixture);
    pass(&fixture, &files);
    pass(&fixture, &files);
    let count = files.len() as u64;
    assert_eq!(fixture.count(RequestKind::Open), 2 * count);
    assert!(fixture.count(RequestKind::Read) < 2 * count);
}

#[test]
fn what_has_lost_its_name_lives_as_long_as_somebody_has_it() {
    for opens in [Opens::Kernel, Opens::Plain] {
        let fixture = Fixture::opening(opens);
        let folder = fixture.repository().join("bodies");
        let left = || {
            // What is not needed any more goes when it is durable that it was removed.
            File::open(&fixture.root).unwrap().sync_all().unwrap();
            let shelves = names(&folder).into_iter();
            let left = shelves.flat_map(|shelf| names(&folder.join(shelf)));
            left.collect::<Vec<_>>()
        };
        let bodies = || left().len();
        let none = bodies();
        fs::write(fixture.at("linked"), b"linked").unwrap();
        fs::hard_link(fixture.at("linked"), fixture.at("src/link")).unwrap();
        fs::remove_file(fixture.at("linked")).unwrap();
        let by_link = File::open(fixture.at("src/link")).unwrap();
        fs::remove_file(fixture.at("src/link")).unwrap();

        fs::write(fixture.at("old"), b"old").unwrap();
        let replaced = File::open(fixture.at("old")).unwrap();
        fs::write(fixture.at("new"), b"new").unwrap();
        fs::rename(fixture.at("new"), fixture.at("old")).unwrap();

        let removed = OpenOptions::new()
            .read(true)
            .append(true)
            .open(fixture.at("README.md"))
            .unwrap();
        fs::remove_file(fixture.at("README.md")).unwrap();
        (&removed).write_all(b"more\n").unwrap();

        let made = File::create_new(fixture.at("mapped")).unwrap();
        made.write_all_at(b"mapped", 0).unwrap();
        // More pages than the kernel has.
        made.set_len(1 << 20).unwrap();
        drop(made);
        let mapped = map(&File::open(fixture.at("mapped")).unwrap());
        fs::remove_file(fixture.at("mapped")).unwrap();

        let read = |file: &File, size| {
            let mut bytes = vec![0; size];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        assert_eq!(bodies(), none + 5, "{opens:?}");
        assert_eq!(read(&by_link, 6), b"linked");
        assert_eq!(read(&replaced, 3), b"old");
        assert_eq!(read(&removed, 12), b"# tool\nmore\n");
        assert_eq!(removed.metadata().unwrap().nlink(), 0);
        assert_eq!(fs::read(fixture.at("old")).unwrap(), b"new");
        assert_eq!(mapped.byte(0), b'm');
        assert_eq!(mapped.byte(1 << 19), 0);
        drop((by_link, replaced, removed, mapped));
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while bodies() != none + 1 {
            let is_late = std::time::Instant::now() >= deadline;
            assert!(!is_late, "{opens:?}: {:?}", left());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn a_file_that_is_read_and_written_in_turns_is_one_file() {
    for opens in [Opens::Kernel, Opens::Plain] {
        let fixture = Fixture::opening(opens);
        // Read before it is copied up, by one who keeps it open.
        let reader = File::open(fixture.at("src/main.rs")).unwrap();
        let before = fs::read(fixture.at("src/main.rs")).unwrap();
        let mut writer = OpenOptions::new()
            .append(true)
            .open(fixture.at("src/main.rs"))
            .unwrap();
        let mut expected = before;
        // More files than descriptors are kept for.
        for number in 0..100 {
            let other = fixture.at(&format!("other-{number}"));
            fs::write(&other, number.to_string()).unwrap();
            writer.write_all(b"line\n").unwrap();
            expected.extend_from_slice(b"line\n");
            let mut bytes = vec![0; expected.len() + 1];
            let count = reader.read_at(&mut bytes, 0).unwrap();
            assert!(bytes[..count] == expected, "{opens:?} after {number}");
            assert_eq!(fs::read(&other).unwrap(), number.to_string().as_bytes());
        }
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(fixture.at("src/main.rs"))
            .unwrap();
        assert_eq!(reader.read_at(&mut [0; 10], 0).unwrap(), 0);
        writer.write_all(b"new").unwrap();
        assert_eq!(fs::read(fixture.at("src/main.rs")).unwrap(), b"new");
    }
}

/// A memory map of a file, for reading.
struct Map(*const u8, usize);

impl Map {
    fn byte(&self, at: usize) -> u8 {
        assert!(at < self.1);
        // SAFETY: it is within the map, which lives as long as `self`.
        unsafe { self.0.add(at).read_volatile() }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody has a reference into it.
        unsafe { libc::munmap(self.0.cast_mut().cast(), self.1) };
    }
}

fn map(file: &File) -> Map {
    use std::os::fd::AsRawFd;
    let bytes = usize::try_from(file.metadata().unwrap().len()).unwrap();
    // SAFETY: a new map of a file that is open.
    let start = unsafe {
        let (prot, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            prot,
            flags,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(start, libc::MAP_FAILED);
    Map(start.cast(), bytes)
}
