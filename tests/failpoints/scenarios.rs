//! How each point is reached, and which times of reaching it are tried.
//!
//! The first time is mostly while a repository is opened for the first time, later ones are in the
//! middle of things.

/// A point, and the way to it.
#[derive(Debug)]
pub struct Scenario {
    /// The point's name.
    pub point: &'static str,
    /// How it is reached.
    pub way: Way,
    /// The daemon dies the nth time, for each of these, in a world of its own.
    pub times: &'static [u64],
}

/// How a point is reached.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// By the story.
    Driven,
    /// By the story and what people decide about what is pending.
    Decided,
    /// By a start over what an earlier daemon left.
    Restarted {
        /// Where the earlier one died; otherwise it is killed.
        first: Option<&'static str>,
        /// What is found besides.
        plant: Plant,
    },
    /// By publishing to a bookmark that stayed.
    Forward,
    /// By publishing to a bookmark that somebody else moved.
    Merged,
    /// By publishing to a bookmark that contradicts, and settling that.
    Refused,
    /// By somebody else's edit of another path of our change.
    Beside,
    /// By somebody else's edit of the same path of our change.
    Forked,
    /// By a command that repairs a journal.
    Repaired,
    /// By a command that takes an export in.
    Imported,
}

/// What a start finds besides what an earlier daemon left.
#[derive(Clone, Copy, Debug)]
pub enum Plant {
    Nothing,
    /// A file of the journal that was being written.
    Leftover,
    /// A body that belongs to nothing.
    Orphan,
    /// An index that cannot be opened: junk in its files may pass for an empty one.
    DoubtfulIndex,
}

const fn driven(point: &'static str, times: &'static [u64]) -> Scenario {
    let way = Way::Driven;
    Scenario { point, way, times }
}

const fn decided(point: &'static str, times: &'static [u64]) -> Scenario {
    let way = Way::Decided;
    Scenario { point, way, times }
}

const fn restarted(point: &'static str, plant: Plant, times: &'static [u64]) -> Scenario {
    let first = None;
    let way = Way::Restarted { first, plant };
    Scenario { point, way, times }
}

const fn after(first: &'static str, point: &'static str) -> Scenario {
    let (first, plant) = (Some(first), Plant::Nothing);
    let way = Way::Restarted { first, plant };
    let times = &[1];
    Scenario { point, way, times }
}

const fn by(way: Way, point: &'static str, times: &'static [u64]) -> Scenario {
    Scenario { point, way, times }
}

/// All of them; the test fails when a registered point is missing.
pub const SCENARIOS: &[Scenario] = &[
    // Append.
    driven("journal.append.begun", &[1, 7, 40]),
    driven("journal.append.written", &[1, 7, 40]),
    // A new segment: the first one, then one because the old is full or was compacted.
    driven("journal.segment.written", &[1, 2]),
    driven("journal.segment.synced", &[1, 2]),
    driven("journal.segment.old-synced", &[1, 2]),
    driven("journal.segment.renamed", &[1, 2]),
    driven("journal.segment.published", &[1, 2]),
    // Commit.
    driven("journal.commit.begun", &[1, 4]),
    driven("journal.commit.barred", &[1, 4]),
    driven("journal.commit.synced", &[1, 4]),
    // Compaction.
    driven("journal.snapshot.written", &[1, 2]),
    driven("journal.snapshot.renamed", &[1, 2]),
    driven("journal.snapshot.published", &[1, 2]),
    driven("journal.compact.old-deleted", &[1, 2]),
    driven("journal.compact.closed-deleted", &[1, 2]),
    driven("journal.compact.rotated", &[1, 2]),
    driven("journal.compact.done", &[1, 2]),
    // Bytes.
    driven("overlay.copy.prepared", &[1, 3]),
    driven("overlay.copy.installed", &[1, 3]),
    driven("overlay.copy.told", &[1, 3]),
    driven("overlay.bodies.synced", &[1, 2]),
    driven("overlay.bodies.noted", &[1, 2]),
    driven("overlay.bytes.told", &[1, 2]),
    driven("overlay.copy.marked", &[1, 3]),
    driven("overlay.write.marked", &[1, 5]),
    driven("overlay.write.done", &[1, 5]),
    driven("overlay.grave.due", &[1, 2]),
    driven("overlay.grave.swept", &[1, 2]),
    // Checkpoint.
    driven("overlay.checkpoint.taken", &[1, 3]),
    driven("overlay.checkpoint.journaled", &[1, 3]),
    driven("upper.checkpoint.applied", &[1, 3]),
    driven("upper.checkpoint.flushed", &[1, 3]),
    driven("upper.checkpoint.synced", &[1, 3]),
    // Decisions.
    decided("decision.hold.recorded", &[1, 2]),
    decided("decision.drop.recorded", &[1, 2]),
    decided("decision.release.recorded", &[1, 2]),
    // Replay.
    driven("overlay.capture.taken", &[1, 2]),
    driven("replay.fork.intended", &[1]),
    driven("replay.fork.answered", &[1]),
    driven("replay.fork.recorded", &[1]),
    driven("replay.push.intended", &[1, 2]),
    driven("replay.blob.uploaded", &[1, 2]),
    driven("replay.push.answered", &[1, 2]),
    driven("replay.push.recorded", &[1, 2]),
    after("replay.push.answered", "replay.push.settled"),
    after("replay.push.intended", "replay.push.settled"),
    // Publishing.
    by(Way::Forward, "publish.intended", &[1]),
    by(Way::Forward, "publish.moved", &[1]),
    by(Way::Forward, "publish.recorded", &[1]),
    by(Way::Merged, "publish.intended", &[1]),
    by(Way::Merged, "publish.named", &[1]),
    by(Way::Merged, "publish.merged", &[1]),
    by(Way::Merged, "publish.recorded", &[1]),
    // Conflicts.
    by(Way::Refused, "conflict.part.recorded", &[1, 2]),
    by(Way::Refused, "conflict.recorded", &[1]),
    by(Way::Refused, "publish.merged", &[1]),
    by(Way::Refused, "conflict.resolved", &[1]),
    by(Way::Beside, "conflict.recorded", &[1]),
    by(Way::Forked, "conflict.part.recorded", &[1, 2]),
    by(Way::Forked, "conflict.recorded", &[1]),
    by(Way::Forked, "replay.fork.intended", &[2]),
    by(Way::Forked, "replay.fork.answered", &[2]),
    by(Way::Forked, "replay.fork.recorded", &[2]),
    // Repair.
    by(Way::Repaired, "repair.bodies.settled", &[1]),
    by(Way::Repaired, "repair.index.removed", &[1]),
    by(Way::Repaired, "journal.rebuild.published", &[1]),
    by(Way::Repaired, "journal.rebuild.set-aside", &[1]),
    by(Way::Repaired, "journal.segment.renamed", &[1]),
    by(Way::Repaired, "journal.rebuild.named", &[1]),
    // Import.
    by(Way::Imported, "import.removed", &[1, 2]),
    by(Way::Imported, "import.put", &[1, 3]),
    // Start. A repository with pending work is opened twice: first to see whether it has any.
    driven("overlay.pin.recorded", &[1]),
    restarted("journal.open.read", Plant::Leftover, &[1, 2]),
    restarted("journal.open.repaired", Plant::Leftover, &[1]),
    restarted("overlay.open.journal", Plant::Nothing, &[1, 2]),
    restarted("overlay.open.index", Plant::Nothing, &[1, 2]),
    restarted("upper.body.swept", Plant::Orphan, &[1]),
    restarted("upper.index.set-aside", Plant::DoubtfulIndex, &[1]),
];
