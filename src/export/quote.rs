//! Paths in patches, quoted as Git does.

/// A path behind `prefix` (`a/`, `b/`, or nothing): in quotes, with C escapes, if it has bytes that
/// need them.
pub(super) fn quoted(prefix: &str, path: &[u8]) -> Vec<u8> {
    let strange = |byte: &u8| *byte < b' ' || *byte >= 0x7f || matches!(byte, b'"' | b'\\');
    if !path.iter().any(strange) {
        return [prefix.as_bytes(), path].concat();
    }
    let mut text = vec![b'"'];
    text.extend_from_slice(prefix.as_bytes());
    for byte in path {
        match byte {
            b'"' | b'\\' => text.extend([b'\\', *byte]),
            b'\t' => text.extend(b"\\t"),
            b'\n' => text.extend(b"\\n"),
            byte if strange(byte) => text.extend(format!("\\{byte:03o}").bytes()),
            byte => text.push(*byte),
        }
    }
    text.push(b'"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strange_bytes_need_quotes() {
        assert_eq!(quoted("a/", b"plain name.rs"), b"a/plain name.rs");
        assert_eq!(
            quoted("b/", "ü\"\\\t\n\x7f".as_bytes()),
            br#""b/\303\274\"\\\t\n\177""#
        );
    }
}
