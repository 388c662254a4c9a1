//! What the fuzzer may see of a pushed change's description.

use uuid::Uuid;

use super::message::{Mark, describe, mark_of};

/// Whatever was there before it, a batch's trailer at the end is found; without it there is a mark
/// only if the text has one.
pub(in super::super) fn mark_is_known_again(text: &str, batch: Uuid) {
    let before = mark_of(text, batch);
    let named = text.to_lowercase().contains(&batch.simple().to_string())
        || text.to_lowercase().contains(&batch.to_string());
    assert!(before.is_none() || named);
    let described = describe(batch, Some((Mark::Batch, batch)));
    assert_eq!(
        mark_of(&format!("{text}\n{described}"), batch),
        Some(Mark::Batch)
    );
}
