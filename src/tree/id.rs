//! Identifiers of contents: Git's object ids, blake3 content hashes, and Mesa's change ids.

use std::fmt;
use std::str::FromStr;

/// Why some text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A Git object id is 40 hexadecimal digits in lower case.
    #[error("not a Git object id: want 40 hexadecimal digits in lower case")]
    GitOid,
    /// A content hash is 64 hexadecimal digits in lower case.
    #[error("not a blake3 hash: want 64 hexadecimal digits in lower case")]
    ContentHash,
    /// A change id is 32 letters from k to z.
    #[error("not a change id: want 32 letters from k to z")]
    ChangeId,
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn write_hex(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

/// A Git SHA-1 object id: of a blob, a tree or a commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GitOid(pub [u8; 20]);

impl GitOid {
    /// The tree without entries.
    pub const EMPTY_TREE: GitOid = GitOid([
        0x4b, 0x82, 0x5d, 0xc6, 0x42, 0xcb, 0x6e, 0xb9, 0xa0, 0x60, 0xe5, 0x4b, 0xf8, 0xd6, 0x92,
        0x88, 0xfb, 0xee, 0x49, 0x04,
    ]);
}

impl FromStr for GitOid {
    type Err = IdError;

    fn from_str(text: &str) -> Result<GitOid, IdError> {
        hex(text).map(GitOid).ok_or(IdError::GitOid)
    }
}

impl fmt::Display for GitOid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Debug for GitOid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

/// The blake3 hash of an object's bytes: its name in the local store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 32]);

impl FromStr for ContentHash {
    type Err = IdError;

    fn from_str(text: &str) -> Result<ContentHash, IdError> {
        hex(text).map(ContentHash).ok_or(IdError::ContentHash)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, formatter)
    }
}

/// A Mesa change id: 16 bytes, written as 32 letters in Jujutsu's reverse hexadecimal, where
/// 0 to f are the letters z down to k.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeId(pub [u8; 16]);

impl ChangeId {
    /// The virtual root: the empty tree that every history starts from, 32 times `z`.
    pub const ROOT: ChangeId = ChangeId([0; 16]);
}

impl FromStr for ChangeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<ChangeId, IdError> {
        let letters = text.as_bytes();
        if letters.len() != 32 || !letters.iter().all(|letter| (b'k'..=b'z').contains(letter)) {
            return Err(IdError::ChangeId);
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(letters.chunks_exact(2)) {
            if let [high, low] = pair {
                *byte = (b'z' - high) << 4 | (b'z' - low);
            }
        }
        Ok(ChangeId(bytes))
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| {
            let letter = |digit: u8| char::from(b'z' - digit);
            write!(formatter, "{}{}", letter(byte >> 4), letter(byte & 15))
        })
    }
}

impl fmt::Debug for ChangeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_what_they_write() {
        let text = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        assert_eq!(text.parse::<GitOid>(), Ok(GitOid::EMPTY_TREE));
        assert_eq!(GitOid::EMPTY_TREE.to_string(), text);
        assert_eq!(ChangeId::ROOT.to_string(), "z".repeat(32));
        let change = "zyxwvutsrqponmlkzyxwvutsrqponmlk";
        let id: ChangeId = change.parse().unwrap();
        assert_eq!(id.0[..3], [0x01, 0x23, 0x45]);
        assert_eq!(id.to_string(), change);
    }

    #[test]
    fn near_misses_are_refused() {
        for text in ["", "4B825DC642CB6EB9A060E54BF8D69288FBEE4904", "4b825d"] {
            assert_eq!(text.parse::<GitOid>(), Err(IdError::GitOid));
        }
        for text in ["a".repeat(32), "z".repeat(31), "Z".repeat(32)] {
            assert_eq!(text.parse::<ChangeId>(), Err(IdError::ChangeId));
        }
    }
}
