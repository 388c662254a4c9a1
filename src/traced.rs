//! What a trace shows: spans of this target, and nothing else.

/// The target of every span that is worth a trace: what takes time, or goes to the server.
pub const TRACED: &str = "mesa::trace";
