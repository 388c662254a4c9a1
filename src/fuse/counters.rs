//! How many requests of each kind the kernel has sent.
//!
//! A round trip is the unit of cost of a FUSE file system, so tests assert these numbers instead of
//! times. Requests to the virtual root and its organization directories count as one kind of their
//! own: their attributes expire by the clock, so their number is not a function of the workload.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! kinds {
    ($($kind:ident => $name:literal),* $(,)?) => {
        /// A kind of request.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum RequestKind {
            $(#[doc = concat!("`", $name, "` of the FUSE protocol.")] $kind),*
        }

        impl RequestKind {
            /// Every kind, in the order of their declaration.
            pub const ALL: &[RequestKind] = &[$(RequestKind::$kind),*];

            /// The kind's name in logs and reports.
            pub fn name(self) -> &'static str {
                match self { $(RequestKind::$kind => $name),* }
            }
        }

        const KINDS: usize = [$($name),*].len();
    };
}

kinds! {
    Virtual => "virtual",
    Lookup => "lookup",
    Forget => "forget",
    Getattr => "getattr",
    Setattr => "setattr",
    Readlink => "readlink",
    Mknod => "mknod",
    Mkdir => "mkdir",
    Unlink => "unlink",
    Rmdir => "rmdir",
    Symlink => "symlink",
    Rename => "rename",
    Link => "link",
    Open => "open",
    Read => "read",
    Write => "write",
    Flush => "flush",
    Release => "release",
    Fsync => "fsync",
    Opendir => "opendir",
    Readdir => "readdir",
    Readdirplus => "readdirplus",
    Fsyncdir => "fsyncdir",
    Statfs => "statfs",
    Setxattr => "setxattr",
    Getxattr => "getxattr",
    Listxattr => "listxattr",
    Removexattr => "removexattr",
    Create => "create",
}

/// The counts of one mount, from its start.
#[derive(Debug)]
pub struct Counters([AtomicU64; KINDS]);

impl Default for Counters {
    fn default() -> Counters {
        Counters([const { AtomicU64::new(0) }; KINDS])
    }
}

impl Counters {
    /// Counts one request.
    pub(super) fn count(&self, kind: RequestKind) {
        if let Some(counter) = self.0.get(kind as usize) {
            // Only the total matters; nothing is published through it.
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests of one kind so far.
    pub fn of(&self, kind: RequestKind) -> u64 {
        self.0
            .get(kind as usize)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Every kind with its count.
    pub fn all(&self) -> impl Iterator<Item = (RequestKind, u64)> + '_ {
        RequestKind::ALL.iter().map(|kind| (*kind, self.of(*kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for kind in RequestKind::ALL {
            counters.count(*kind);
        }
        assert!(counters.all().all(|(_, count)| count == 1));
    }
}
