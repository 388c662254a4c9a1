//! What went wrong, in the shape in which it crosses a process boundary: the ready pipe and the
//! control socket carry it, and the command line prints it.

use std::error::Error;

use serde::{Deserialize, Serialize};

/// Deepest chain of causes that is kept: longer ones are loops or noise.
const CAUSES_MAX: usize = 8;

/// The class of a failure; the command line has one exit code for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The user can act: the message says on what.
    Failed,
    /// A bug of ours.
    Bug,
    /// It ended in order, and work remains that the remote does not have.
    Unpushed,
    /// A credential is needed, or a better one.
    Credential,
}

/// A failure as text, with its class.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// Its class.
    pub reason: Reason,
    /// What happened, to what.
    pub message: String,
    /// Why, from the nearest cause to the deepest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    /// Describes an error and the chain of its sources; a source that repeats what stands above it
    /// is left out.
    pub fn of(error: &dyn Error, reason: Reason, hint: Option<String>) -> Failure {
        let message = error.to_string();
        let mut causes: Vec<String> = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if causes.last().unwrap_or(&message) != &text && causes.len() < CAUSES_MAX {
                causes.push(text);
            }
            source = cause.source();
        }
        Failure {
            reason,
            message,
            causes,
            hint,
        }
    }

    /// The message and its causes in one line.
    pub(super) fn in_a_line(self) -> String {
        let mut line = self.message;
        for cause in self.causes {
            line.push_str(": ");
            line.push_str(&cause);
        }
        line
    }
}

/// An error and its causes in one line, for logs and for reasons in a status.
pub(super) fn in_a_line(error: &dyn Error) -> String {
    Failure::of(error, Reason::Failed, None).in_a_line()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the upper thing")]
    struct Upper(#[source] Middle);
    #[derive(Debug, thiserror::Error)]
    #[error("the upper thing")]
    struct Middle(#[source] std::io::Error);

    #[test]
    fn causes_are_listed_once_and_in_order() {
        let failure = Failure::of(
            &Upper(Middle(std::io::Error::other("the disk"))),
            Reason::Failed,
            None,
        );
        let middle = Middle(std::io::Error::other("the disk"));
        assert_eq!(in_a_line(&Upper(middle)), "the upper thing: the disk");
        assert_eq!(failure.message, "the upper thing");
        assert_eq!(failure.causes, ["the disk"]);
        let text = serde_json::to_string(&failure).unwrap();
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure);
    }
}
