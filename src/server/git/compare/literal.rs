//! Data in a patch: deflated, and in letters that every mail and every text survives.
//!
//! Git's form: a line for every 52 bytes, begun by a letter for their number, four bytes to five
//! letters; an empty line at the end.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

const LETTERS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
const LINE_BYTES: usize = 52;

/// Appends a `literal` hunk that says what a file is.
pub(super) fn write(bytes: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    let deflated = encoder.finish()?;
    writeln!(out, "literal {}", bytes.len())?;
    for line in deflated.chunks(LINE_BYTES) {
        out.push(length(line.len()));
        for group in line.chunks(4) {
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(group) {
                *to = *from;
            }
            out.extend_from_slice(&letters(u32::from_be_bytes(word)));
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    Ok(())
}

/// A to Z are 1 to 26, a to z the rest.
fn length(bytes: usize) -> u8 {
    let bytes = u8::try_from(bytes).unwrap_or(u8::MAX);
    match bytes {
        0..=26 => b'@' + bytes,
        _ => b'`' + (bytes - 26),
    }
}

fn letters(mut word: u32) -> [u8; 5] {
    let mut letters = [0; 5];
    for letter in letters.iter_mut().rev() {
        let digit = LETTERS.get((word % 85) as usize);
        *letter = digit.copied().unwrap_or(b'0');
        word /= 85;
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_how_long_they_are() {
        assert_eq!([1, 26, 27, 52].map(length), [b'A', b'Z', b'a', b'z']);
        assert_eq!(&letters(0), b"00000");
        assert_eq!(&letters(u32::MAX), b"|NsC0");
        let mut out = Vec::new();
        write(b"", &mut out).unwrap();
        assert!(out.starts_with(b"literal 0\n") && out.ends_with(b"\n\n"));
    }
}
