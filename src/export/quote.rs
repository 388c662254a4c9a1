//! Paths in patches and lists, quoted as Git does.

/// A path behind `prefix` (`a/`, `b/`, or nothing): in quotes, with C escapes, if it has bytes that
/// need them.
pub fn quoted(prefix: &str, path: &[u8]) -> Vec<u8> {
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

/// What a line stands for that is quoted so, or not at all; `None` when its quotes make no sense.
pub fn unquoted(line: &[u8]) -> Option<Vec<u8>> {
    let Some(quoted) = line.strip_prefix(b"\"") else {
        return Some(line.to_vec());
    };
    let mut path = Vec::new();
    let mut bytes = quoted.iter();
    loop {
        match bytes.next()? {
            b'"' if bytes.as_slice().is_empty() => return Some(path),
            b'"' => return None,
            b'\\' => path.push(escaped(&mut bytes)?),
            byte => path.push(*byte),
        }
    }
}

fn escaped(bytes: &mut std::slice::Iter<'_, u8>) -> Option<u8> {
    Some(match bytes.next()? {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        same @ (b'"' | b'\\') => *same,
        first @ b'0'..=b'3' => {
            let mut digit = || bytes.next().filter(|digit| (b'0'..=b'7').contains(digit));
            let (second, third) = (digit()?, digit()?);
            (first - b'0') << 6 | (second - b'0') << 3 | (third - b'0')
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_strange_bytes_need_quotes() {
        assert_eq!(quoted("a/", b"plain name.rs"), b"a/plain name.rs");
        assert_eq!(
            quoted("b/", "ü\"\\\t\n\x7f".as_bytes()),
            br#""b/\303\274\"\\\t\n\177""#
        );
    }

    #[test]
    fn every_escape_of_git_is_known_and_nothing_else() {
        assert_eq!(
            unquoted(br#""\a\b\t\n\v\f\r\"\\\377""#).unwrap(),
            b"\x07\x08\t\n\x0b\x0c\r\"\\\xff"
        );
        let broken = [
            r#"""#,
            r#""a"#,
            r#""a"b"#,
            r#""\x41""#,
            r#""\40""#,
            r#""\400""#,
            r#""\"#,
        ];
        for broken in broken {
            assert_eq!(unquoted(broken.as_bytes()), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_was_quoted_is_read_again(path in proptest::collection::vec(any::<u8>(), 0..30)) {
            prop_assert_eq!(unquoted(&quoted("", &path)), Some(path));
        }

        #[test]
        fn any_line_is_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..30)) {
            let _total = unquoted(&[b"\"", &*line].concat());
        }
    }
}
