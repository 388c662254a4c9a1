//! Memory that was needed for a while goes back to the system.
//!
//! A burst of edits takes memory for its records, its captures and its compactions. It is all freed, but
//! glibc keeps it for the next burst, in pieces between what lives on: 100 MiB and more, in a sandbox
//! that others pay for by the gigabyte.

/// Gives back what is free. It takes milliseconds, and malloc's own locks one after the other.
#[cfg(target_env = "gnu")]
pub(super) fn give_back() {
    // SAFETY: it touches nothing but what malloc holds free, under malloc's locks.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give it back by themselves.
#[cfg(not(target_env = "gnu"))]
pub(super) fn give_back() {}
