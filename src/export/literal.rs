//! `literal` hunks of Git's binary patches: the bytes, deflated, in base 85, 52 to a line.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::error::Error;

const ALPHABET: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Bytes in a line, whose first letter tells their number: a to z end at 52.
const LINE_BYTES: usize = 52;

/// Writes a hunk of `size` bytes, which `fill` writes into what it is given.
pub(super) fn literal(
    size: u64,
    out: &mut impl Write,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    writeln!(out, "literal {size}").map_err(Error::Output)?;
    let mut deflated = ZlibEncoder::new(Lines::new(out), Compression::default());
    fill(&mut deflated)?;
    let lines = deflated.finish().map_err(Error::Output)?;
    lines.finish().map_err(Error::Output)
}

struct Lines<'a, W> {
    out: &'a mut W,
    line: Vec<u8>,
}

impl<'a, W: Write> Lines<'a, W> {
    fn new(out: &'a mut W) -> Lines<'a, W> {
        Lines {
            out,
            line: Vec::with_capacity(LINE_BYTES),
        }
    }

    fn end_line(&mut self) -> io::Result<()> {
        let count = u8::try_from(self.line.len()).unwrap_or_default();
        let mut text = vec![match count {
            0 => return Ok(()),
            1..=26 => b'A' + count - 1,
            _ => b'a' + count - 27,
        }];
        for group in self.line.chunks(4) {
            let padded = group.iter().chain(&[0; 4]).take(4);
            let mut word = padded.fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
            let mut letters = [0; 5];
            for letter in letters.iter_mut().rev() {
                let digit = (word % 85) as usize;
                *letter = ALPHABET.get(digit).copied().unwrap_or_default();
                word /= 85;
            }
            text.extend_from_slice(&letters);
        }
        text.push(b'\n');
        self.line.clear();
        self.out.write_all(&text)
    }

    fn finish(mut self) -> io::Result<()> {
        self.end_line()?;
        self.out.write_all(b"\n")
    }
}

impl<W: Write> Write for Lines<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = LINE_BYTES - self.line.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.line.extend_from_slice(taken);
        if self.line.len() == LINE_BYTES {
            self.end_line()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_52_bytes_and_an_empty_one_ends_them() {
        let mut text = Vec::new();
        let noise: Vec<u8> = (0..100_u32)
            .flat_map(|n| (n * n * 77).to_le_bytes())
            .collect();
        literal(400, &mut text, |out| {
            out.write_all(&noise).map_err(Error::Output)
        })
        .unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(lines[0], "literal 400");
        assert!(
            lines[1].starts_with('z') && lines[1].len() == 1 + 65,
            "{text}"
        );
        assert_eq!(lines[lines.len() - 2..], ["", ""]);
    }
}
