//! The ready pipe: how a daemon in the background tells the command that started it how it went.
//!
//! The write end is the child's standard output, so that nothing has to be inherited by number.
//! One line goes through it: `{"ready":…}` or `{"failed":…}`. A child that dies before it wrote
//! one closes the pipe, and that is an answer too.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};

use super::Failure;

/// Longest line that is read: a failure is a few sentences.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What the daemon says when it is up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Its process.
    pub pid: u32,
}

/// The one line that goes through the pipe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Ready(Ready),
    Failed(Failure),
}

/// What came of a start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// The mount answers.
    Ready(Ready),
    /// The daemon said why not.
    Failed(Failure),
    /// The daemon ended without a word.
    Died,
}

/// Says how the start went.
///
/// # Errors
///
/// The reader is gone: the daemon may go on all the same.
pub fn tell(pipe: &mut dyn Write, outcome: Result<Ready, Failure>) -> io::Result<()> {
    let line = match outcome {
        Ok(ready) => Line::Ready(ready),
        Err(failure) => Line::Failed(failure),
    };
    let mut text = serde_json::to_vec(&line)?;
    text.push(b'\n');
    pipe.write_all(&text)?;
    pipe.flush()
}

/// Waits for the daemon's line, or its death.
///
/// # Errors
///
/// The pipe cannot be read.
pub fn wait(pipe: impl Read) -> io::Result<Start> {
    let mut line = Vec::new();
    BufReader::new(pipe.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line)?;
    Ok(match serde_json::from_slice(&line) {
        Ok(Line::Ready(ready)) => Start::Ready(ready),
        Ok(Line::Failed(failure)) => Start::Failed(failure),
        Err(_) => Start::Died,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;

    #[test]
    fn both_outcomes_cross_a_real_pipe() {
        let failure = Failure {
            reason: Reason::Credential,
            message: "no credential".into(),
            causes: vec!["401".into()],
            hint: None,
        };
        for (told, heard) in [
            (Ok(Ready { pid: 7 }), Start::Ready(Ready { pid: 7 })),
            (Err(failure.clone()), Start::Failed(failure)),
        ] {
            let (reader, mut writer) = io::pipe().unwrap();
            tell(&mut writer, told).unwrap();
            // The daemon keeps the pipe open: the line alone must do.
            assert_eq!(wait(reader).unwrap(), heard);
        }
    }

    #[test]
    fn a_death_is_heard() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"{\"ready\":{\"pi").unwrap();
        drop(writer);
        assert_eq!(wait(reader).unwrap(), Start::Died);
    }
}
