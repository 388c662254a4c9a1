//! How much a store may take of the disk and of memory.

/// How much a store may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Whether what was fetched outlives this process.
    pub is_kept: bool,
    /// Bytes on disk, with 5 % of slack below; `None` is no limit.
    pub disk_bytes_max: Option<u64>,
    /// Bytes of memory: a quarter for listings, a sixteenth for what is known of objects, and a quarter
    /// for objects that a full disk does not take. Another quarter is not this store's: it is for what the
    /// kernel keeps in mind.
    pub memory_bytes_max: u64,
}

impl Default for Limits {
    /// No limit on disk, and what a daemon has by default in memory.
    fn default() -> Limits {
        Limits {
            is_kept: true,
            disk_bytes_max: None,
            memory_bytes_max: 320_000_000,
        }
    }
}
