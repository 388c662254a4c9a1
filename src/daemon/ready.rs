//! The ready pipe: how a daemon in the background tells the process that started it how it goes.
//!
//! The write end is the child's standard output, so that nothing has to be inherited by number.
//! The first line through it is `{"ready":…}` or `{"failed":…}`; a child that dies before it wrote
//! one closes the pipe, and that is an answer too. A supervisor keeps reading: `"ending"` comes before
//! an end on purpose, `"staying"` takes it back.

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

/// A line that goes through the pipe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Line {
    /// The mount answers.
    Ready(Ready),
    /// It will never answer.
    Failed(Failure),
    /// Somebody wants it to end; what follows is no death.
    Ending,
    /// The mount is in use, and stays.
    Staying,
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
    say(pipe, &line)
}

/// Writes one line.
///
/// # Errors
///
/// The reader is gone.
pub(super) fn say(pipe: &mut dyn Write, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    pipe.write_all(&text)?;
    pipe.flush()
}

/// Lines out of pieces as they come.
#[derive(Debug, Default)]
pub(super) struct Lines {
    unread: Vec<u8>,
}

impl Lines {
    /// Reads everything that is there now, of a pipe that does not block; gives the whole lines, and
    /// whether the writer is gone. What is no line, or too long to be one, is passed over.
    pub(super) fn read(&mut self, mut pipe: impl Read) -> (Vec<Line>, bool) {
        let mut piece = [0; 4096];
        let is_over = loop {
            match pipe.read(&mut piece) {
                Ok(0) => break true,
                Ok(count) => self.unread.extend(piece.iter().take(count)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
            if self.unread.len() as u64 > LINE_BYTES_MAX {
                self.unread.clear();
            }
        };
        let Some(end) = self.unread.iter().rposition(|byte| *byte == b'\n') else {
            return (Vec::new(), is_over);
        };
        let rest = self.unread.split_off(end + 1);
        let whole = std::mem::replace(&mut self.unread, rest);
        let lines = whole.split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| serde_json::from_slice(line).ok());
        (lines.collect(), is_over)
    }
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
        Ok(Line::Ending | Line::Staying) | Err(_) => Start::Died,
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
    fn lines_come_whole_whatever_the_pieces() {
        let mut text = Vec::new();
        let said = [Line::Ready(Ready { pid: 7 }), Line::Ending, Line::Staying];
        for line in &said {
            say(&mut text, line).unwrap();
        }
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            let mut lines = Lines::default();
            let (mut heard, is_over) = lines.read(first);
            assert!(is_over, "the end of the piece");
            heard.extend(lines.read(second).0);
            assert_eq!(heard, said, "cut at {cut}");
        }
        let mut lines = Lines::default();
        assert_eq!(lines.read(&vec![b'x'; 200_000][..]).0, []);
        let (heard, _) = lines.read(&b"\nnonsense\n\"ending\"\n"[..]);
        assert_eq!(heard, [Line::Ending]);
    }

    #[test]
    fn a_death_is_heard() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"{\"ready\":{\"pi").unwrap();
        drop(writer);
        assert_eq!(wait(reader).unwrap(), Start::Died);
    }
}
