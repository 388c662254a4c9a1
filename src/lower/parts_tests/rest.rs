//! A whole that is wanted when some of it is here, and what never comes in parts.

use super::*;

/// 40 chunks, and some bytes.
const SIZE: u64 = 40 * CHUNK_BYTES + 5;

impl Setup {
    /// Has the chunks of some bytes, and nothing that was fetched ahead of their reader.
    fn begun(bytes: Range<u64>) -> Setup {
        let mut setup = setup(Ranged::new(SIZE));
        setup.lower = setup.lower.as_asked();
        setup.check(bytes);
        setup
    }

    fn fetch_whole(&self) -> Result<(), Error> {
        self.lower.fetch(&self.source.want())
    }

    fn wholes(&self) -> usize {
        *self.source.wholes.lock()
    }
}

#[test]
fn of_what_is_half_here_the_rest_comes() {
    let setup = Setup::begun(CHUNK_BYTES * 5..CHUNK_BYTES * 26);
    setup.fetch_whole().unwrap();
    assert!(setup.is_whole());
    assert_eq!(setup.wholes(), 0);
    assert_eq!(setup.source.asked(), [1; 41]);
    setup.check(0..SIZE);
}

#[test]
fn of_what_is_hardly_here_all_comes_in_one_request() {
    let setup = Setup::begun(0..CHUNK_BYTES * 20);
    setup.fetch_whole().unwrap();
    assert!(setup.is_whole());
    assert_eq!(setup.wholes(), 1);
    assert_eq!(
        setup.source.ranges.lock().last().unwrap().end,
        CHUNK_BYTES * 20
    );
}

#[test]
fn what_does_not_come_in_parts_comes_whole() {
    for manner in [Manner::Unknown, Manner::Damaged(9), Manner::Lying] {
        let setup = Setup::begun(0..CHUNK_BYTES * 30);
        setup.source.set(manner);
        setup.fetch_whole().unwrap();
        assert!(setup.is_whole());
        assert_eq!(setup.wholes(), 1);
        setup.check(0..SIZE);
    }
    let setup = Setup::begun(0..CHUNK_BYTES * 30);
    setup.source.set(Manner::Offline);
    let failed = setup.fetch_whole();
    assert!(matches!(failed, Err(Error::Source(SourceError::Offline))));
    assert_eq!(setup.wholes(), 0);
    setup.source.set(Manner::Sound);
    setup.fetch_whole().unwrap();
    assert!(setup.is_whole());
    assert_eq!(setup.wholes(), 0);
}

#[test]
fn whoever_wants_the_whole_while_another_hashes_the_last_of_it_waits_for_that() {
    let setup = Setup::begun(0..CHUNK_BYTES * 30);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| setup.check(CHUNK_BYTES * 30..SIZE));
        }
        scope.spawn(|| setup.fetch_whole().unwrap());
    });
    setup.becomes_whole();
    assert_eq!((setup.wholes(), setup.source.asked()), (0, vec![1; 41]));
}

#[test]
fn small_objects_and_sources_without_ranges_are_as_ever() {
    let small = setup(Ranged::new(WHOLE_BYTES_MAX));
    small.check(0..10);
    assert_eq!(small.source.ranges.lock().len(), 0);
    assert_eq!(*small.source.wholes.lock(), 1);
    let plain = setup(Ranged::new(WHOLE_BYTES_MAX + 1));
    plain.source.set(Manner::Unknown);
    plain.check(0..10);
    plain.check(WHOLE_BYTES_MAX - 10..WHOLE_BYTES_MAX + 1);
    assert_eq!(plain.source.ranges.lock().len(), 1, "it is asked once");
    assert_eq!((*plain.source.wholes.lock(), plain.is_whole()), (1, true));
}
