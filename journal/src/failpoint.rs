//! Named points at which a debug build can be made to die, for tests of what a crash leaves behind.
//!
//! `MESA_FAILPOINT=<name>[:<nth>]` ends the process the nth time that the point is reached (the
//! first, unless told): it says so on standard error and aborts, so no destructor runs, nothing is
//! flushed, and every other thread stops where it is, as with `kill -9`. Without the variable a
//! point costs a debug build one atomic load. A release build has no point, no name of one, and
//! does not look at the variable.
//!
//! Points exist only as constants in a list that [`failpoints!`](crate::failpoints) makes, one list
//! for a crate, so that a test can go through all of them.

use crate::segment::{FileKind, FileName};

/// A place in the code, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Point(&'static str);

impl Point {
    /// For [`failpoints!`](crate::failpoints) alone: a point that is in no list is never tested.
    #[doc(hidden)]
    #[must_use]
    pub const fn new(name: &'static str) -> Point {
        Point(name)
    }

    /// The name that `MESA_FAILPOINT` knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// Says that the program is there; returns unless it was told to die there.
    #[inline]
    pub fn reach(self) {
        #[cfg(debug_assertions)]
        armed::reach(self.0);
    }
}

/// A limit that the program has, or the smaller one that a test sets by an environment variable so
/// that what happens at the limit happens soon. A release build has its own.
#[must_use]
#[inline]
pub fn limit(variable: &str, default: u64) -> u64 {
    if cfg!(debug_assertions)
        && let Ok(text) = std::env::var(variable)
        && let Ok(limit) = text.parse()
    {
        return limit;
    }
    default
}

/// Declares points, and `ALL`, the list of them.
#[macro_export]
macro_rules! failpoints {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)*) => {
        $($(#[$doc])* pub const $constant: $crate::failpoint::Point =
            $crate::failpoint::Point::new($name);)*
        /// Every point of this crate.
        pub const ALL: &[$crate::failpoint::Point] = &[$($constant),*];
    };
}

failpoints! {
    /// A record is about to be written.
    APPEND_BEGUN = "journal.append.begun";
    /// A record is in the page cache, and nobody has applied it.
    APPEND_WRITTEN = "journal.append.written";
    /// A new segment is written under its temporary name.
    SEGMENT_WRITTEN = "journal.segment.written";
    /// A new segment is synced; the old one is not.
    SEGMENT_SYNCED = "journal.segment.synced";
    /// The old segment is synced; the new one has no name.
    SEGMENT_OLD_SYNCED = "journal.segment.old-synced";
    /// A new segment has its name, which a power cut may take back.
    SEGMENT_RENAMED = "journal.segment.renamed";
    /// A new segment has its name for good; nothing was appended to it.
    SEGMENT_PUBLISHED = "journal.segment.published";
    /// A sync is wanted; nothing was done for it.
    COMMIT_BEGUN = "journal.commit.begun";
    /// What the records name is durable; they are not.
    COMMIT_BARRED = "journal.commit.barred";
    /// Records are durable, and nobody who waits for that knows.
    COMMIT_SYNCED = "journal.commit.synced";
    /// A snapshot is written under its temporary name.
    SNAPSHOT_WRITTEN = "journal.snapshot.written";
    /// A snapshot has its name, which a power cut may take back.
    SNAPSHOT_RENAMED = "journal.snapshot.renamed";
    /// A snapshot has its name for good; what it replaces is there as well.
    SNAPSHOT_PUBLISHED = "journal.snapshot.published";
    /// The older snapshot is deleted; the segments are not.
    COMPACT_OLD_DELETED = "journal.compact.old-deleted";
    /// Segments that were closed before are deleted; the one that is appended to is as it was.
    COMPACT_CLOSED_DELETED = "journal.compact.closed-deleted";
    /// The segment that was appended to is closed.
    COMPACT_ROTATED = "journal.compact.rotated";
    /// Everything that the snapshot replaces is deleted.
    COMPACT_DONE = "journal.compact.done";
    /// The files are read; no repair was made.
    OPEN_READ = "journal.open.read";
    /// Leftovers of a crash are deleted; the log is as it was.
    OPEN_REPAIRED = "journal.open.repaired";
    /// The snapshot that takes a damaged journal's place is there for good; all else is as it was.
    REBUILD_PUBLISHED = "journal.rebuild.published";
    /// The damaged files are aside; there is no log.
    REBUILD_SET_ASIDE = "journal.rebuild.set-aside";
    /// The rebuilt journal is complete.
    REBUILD_NAMED = "journal.rebuild.named";
}

/// The point behind the renaming of a new file.
pub(crate) fn renamed(file: &str) {
    match FileName::parse(file).map(|name| name.kind) {
        Some(FileKind::Log) => SEGMENT_RENAMED.reach(),
        Some(FileKind::Snapshot) => SNAPSHOT_RENAMED.reach(),
        None => {}
    }
}

#[cfg(debug_assertions)]
mod armed {
    use std::io::Write;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The point to die at, and how many times it is still to be passed.
    struct Armed {
        name: String,
        left: AtomicU64,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    pub(super) fn reach(name: &'static str) {
        if let Some(armed) = ARMED.get_or_init(read)
            && armed.name == name
            && armed.left.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // In one write: other threads of a dying daemon write to the same place.
            let line = format!("failpoint reached: {name}\n");
            let _nobody_reads = std::io::stderr().write_all(line.as_bytes());
            std::process::abort();
        }
    }

    fn read() -> Option<Armed> {
        let text = std::env::var("MESA_FAILPOINT").ok()?;
        let (name, nth) = match text.rsplit_once(':') {
            Some((name, nth)) => (name, nth.parse().unwrap_or(1)),
            None => (text.as_str(), 1),
        };
        Some(Armed {
            name: name.to_owned(),
            left: AtomicU64::new(nth),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ALL;

    #[test]
    fn names_are_told_apart_and_begin_with_the_crate() {
        let names: HashSet<&str> = ALL.iter().map(|point| point.name()).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(names.iter().all(|name| name.starts_with("journal.")));
    }

    #[test]
    fn without_the_variable_every_point_is_passed() {
        assert!(std::env::var_os("MESA_FAILPOINT").is_none());
        for point in ALL {
            point.reach();
        }
    }
}
