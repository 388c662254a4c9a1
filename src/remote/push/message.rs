//! The description of a pushed change: a line for people, and trailers by which a push is known again.

use uuid::Uuid;

use super::super::api::trailer;

/// In place of the batch's trailer while a series of PATCHes is not at its end.
const PART: &str = "Mesa-Part";

/// How far a batch got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Some of it, as the start of a series.
    Part,
    /// All of it.
    Batch,
}

impl Mark {
    fn trailer(self) -> &'static str {
        match self {
            Mark::Part => PART,
            Mark::Batch => trailer::BATCH,
        }
    }
}

/// The description for a change forked by `transaction`, after the batch if there is one.
pub(super) fn describe(transaction: Uuid, batch: Option<(Mark, Uuid)>) -> String {
    let mut text = format!(
        "Edits from a Mesa mount\n\n{}: {transaction}\n",
        trailer::TRANSACTION
    );
    if let Some((mark, batch)) = batch {
        text.push_str(&format!("{}: {batch}\n", mark.trailer()));
    }
    text
}

/// Whether the description names this batch, and as what.
pub(super) fn mark_of(message: &str, batch: Uuid) -> Option<Mark> {
    let has = |mark: Mark| {
        message.lines().any(|line| {
            let value = line
                .strip_prefix(mark.trailer())
                .and_then(|rest| rest.strip_prefix(':'));
            value.is_some_and(|value| Uuid::try_parse(value.trim()) == Ok(batch))
        })
    };
    [Mark::Batch, Mark::Part]
        .into_iter()
        .find(|mark| has(*mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_known_again_by_its_own_trailer_only() {
        let (transaction, batch) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let forked = describe(transaction, None);
        assert_eq!(mark_of(&forked, transaction), None);
        let partly = describe(transaction, Some((Mark::Part, batch)));
        assert_eq!(mark_of(&partly, batch), Some(Mark::Part));
        let pushed = describe(transaction, Some((Mark::Batch, batch)));
        assert_eq!(mark_of(&pushed, batch), Some(Mark::Batch));
        assert_eq!(mark_of(&pushed, transaction), None);
        assert_eq!(mark_of(pushed.trim_end(), batch), Some(Mark::Batch));
    }
}
