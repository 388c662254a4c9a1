//! The workloads, and the table of what each is measured against.
//!
//! Targets are multiples of the time on the disk itself, from figures of bare pass-through file systems
//! without overlay or journal. Workloads build on each other within a round: what one unpacks, a later
//! one removes.

use std::path::PathBuf;

use crate::inputs::Inputs;
use crate::support::tree;
use crate::{content, programs, trees};

/// Where a workload runs.
pub struct Place<'a> {
    /// A directory with everything of the lower layer in it.
    pub root: PathBuf,
    pub inputs: &'a Inputs,
    /// Counts from 0, the warm-up.
    pub round: usize,
}

impl Place<'_> {
    /// A path below the root.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

/// Something that an agent does.
pub struct Workload {
    pub name: &'static str,
    /// At most so many times native's time.
    pub target: f64,
    /// Not measured.
    pub prepare: fn(&Place<'_>),
    /// Measured; gives what it read.
    pub run: fn(&Place<'_>) -> Vec<u8>,
    /// A hash of what was read and of what was left behind; not measured.
    pub check: fn(&Place<'_>, &[u8]) -> blake3::Hash,
}

/// For what goes on with what another workload left, when that one was not chosen.
fn unless_there(place: &Place<'_>, folder: &str, make: fn(&Place<'_>) -> Vec<u8>) {
    if !place.at(folder).exists() {
        trees::fresh(place, folder);
        make(place);
    }
}

fn nothing(_: &Place<'_>) {}

/// In the order of a round.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "stat walk, 3,000 files",
        target: 1.2,
        prepare: nothing,
        run: trees::stat_walk,
        check: trees::lines,
    },
    Workload {
        name: "grep -r",
        target: 1.5,
        prepare: nothing,
        run: trees::grep,
        check: trees::lines,
    },
    Workload {
        name: "read all",
        target: 1.3,
        prepare: nothing,
        run: trees::read_all,
        check: trees::as_read,
    },
    Workload {
        name: "git init, add, commit",
        target: 2.3,
        prepare: programs::git_clean,
        run: programs::git_commit,
        check: trees::as_read,
    },
    Workload {
        name: "git status",
        target: 1.2,
        prepare: programs::git_warm,
        run: programs::git_status,
        check: programs::git_gone,
    },
    Workload {
        name: "untar, 3,000 files",
        target: 6.0,
        prepare: |place| trees::fresh(place, "unpacked"),
        run: trees::untar,
        check: |place, _| tree::hash_all(&place.at("unpacked")),
    },
    Workload {
        name: "cp -r",
        target: 5.0,
        prepare: |place| {
            programs::git_clean(place);
            crate::clear(&place.at("copied"));
        },
        run: trees::copy,
        check: |place, _| tree::hash_all(&place.at("copied")),
    },
    Workload {
        name: "rm -rf",
        target: 4.5,
        prepare: |place| unless_there(place, "unpacked", trees::untar),
        run: trees::remove,
        check: |place, _| trees::gone(&place.at("unpacked")),
    },
    Workload {
        name: "create 2,000",
        target: 4.5,
        prepare: |place| trees::fresh(place, "created"),
        run: trees::create,
        check: |place, _| tree::hash_all(&place.at("created")),
    },
    Workload {
        name: "unlink 2,000",
        target: 3.7,
        prepare: |place| unless_there(place, "created", trees::create),
        run: trees::unlink,
        check: |place, _| tree::hash_all(&place.at("created")),
    },
    Workload {
        name: "500 editor saves",
        target: 1.5,
        prepare: |place| trees::fresh(place, "edited"),
        run: content::editor_saves,
        check: |place, _| tree::hash_all(&place.at("edited")),
    },
    Workload {
        name: "200 appends with fsync",
        target: 1.3,
        prepare: |place| trees::fresh(place, "appended"),
        run: content::appends,
        check: |place, _| tree::hash_all(&place.at("appended")),
    },
    Workload {
        name: "first append to 100 lower files",
        target: 5.0,
        prepare: content::warm_lower,
        run: content::first_appends,
        check: |place, _| tree::hash_all(&place.at(&content::lower_folder(place.round))),
    },
    Workload {
        name: "write 256 MiB, fsync",
        target: 1.1,
        prepare: |place| trees::fresh(place, "large"),
        run: content::write_large,
        check: |place, _| tree::hash_all(&place.at("large")),
    },
    Workload {
        name: "read 256 MiB",
        target: 1.1,
        prepare: |place| unless_there(place, "large", content::write_large),
        run: content::read_large,
        check: trees::as_read,
    },
    Workload {
        name: "random 4k reads",
        target: 1.1,
        prepare: |place| unless_there(place, "large", content::write_large),
        run: content::random_reads,
        check: trees::as_read,
    },
    Workload {
        name: "random mmap reads",
        target: 1.1,
        prepare: |place| unless_there(place, "large", content::write_large),
        run: content::random_map,
        check: trees::as_read,
    },
    Workload {
        name: "sqlite, rollback journal",
        target: 1.6,
        prepare: |place| trees::fresh(place, "database"),
        run: |place| programs::sqlite(place, "delete"),
        check: trees::as_read,
    },
    Workload {
        name: "sqlite, WAL",
        target: 1.15,
        prepare: |place| trees::fresh(place, "database"),
        run: |place| programs::sqlite(place, "wal"),
        check: trees::as_read,
    },
    Workload {
        name: "cargo build",
        target: 1.1,
        prepare: |place| crate::clear(&place.at("crate/target")),
        run: programs::cargo_build,
        check: trees::as_read,
    },
    Workload {
        name: "make",
        target: 1.05,
        prepare: programs::make_clean,
        run: programs::make,
        check: trees::as_read,
    },
];
