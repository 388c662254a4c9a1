//! A simulated disk as it was at a moment, and what a crash would have left of it then.

use super::SimDisk;
use super::media::{Effect, Media};
use super::random::Random;

/// The disk at one moment.
#[derive(Clone)]
pub struct Moment {
    operations: u64,
    media: Media,
}

impl Moment {
    pub(super) fn new(operations: u64, media: Media) -> Moment {
        Moment { operations, media }
    }

    /// How many operations there had been: compare with [`SimDisk::operations`] at the time.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// What another program finds after the first one's death: everything, but what was not synced
    /// still is not.
    pub fn after_kill(&self) -> SimDisk {
        SimDisk::with(self.media.clone(), self.operations)
    }

    /// What is found after a power cut: what was synced; of what was not, any part that the seed
    /// picks. Writes survive whole, torn at any byte, or not at all, and where they overlap in any
    /// order; names that were made, moved or removed since the folder's last sync are so or are not,
    /// each for itself.
    pub fn after_power_cut(&self, seed: u64) -> SimDisk {
        let mut random = Random(seed ^ self.operations.rotate_left(32));
        SimDisk::with(self.media.after_power_cut(&mut random), seed)
    }
}

/// Goes through the states that a disk has been in.
pub struct Moments {
    next: Option<Moment>,
    effects: std::vec::IntoIter<(u64, Effect)>,
}

impl Moments {
    pub(super) fn new(origin: Media, effects: Vec<(u64, Effect)>) -> Moments {
        Moments {
            next: Some(Moment::new(0, origin)),
            effects: effects.into_iter(),
        }
    }
}

impl Iterator for Moments {
    type Item = Moment;

    fn next(&mut self) -> Option<Moment> {
        let current = self.next.take()?;
        if let Some((operations, effect)) = self.effects.next() {
            let mut media = current.media.clone();
            media.apply(&effect);
            self.next = Some(Moment { operations, media });
        }
        Some(current)
    }
}
