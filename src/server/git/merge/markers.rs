//! Conflicts as text, for a commit that records them: each clash between markers, both sides and
//! what was before them in full, as Jujutsu writes its snapshots.

use super::text::Piece;

/// Shortest marker, as everybody has it.
const MARKER_BYTES_MIN: usize = 7;
/// What markers are made of; a line that begins like one makes them longer.
const MARKERS: &[u8] = b"<>+-%\\|=";

/// The pieces as one text.
pub(super) fn write(pieces: &[Piece<'_>]) -> Vec<u8> {
    let length = length(pieces);
    let count = pieces.iter().filter(|piece| is_clash(piece)).count();
    let mut text = Vec::new();
    let mut number = 0;
    for piece in pieces {
        match piece {
            Piece::Settled(bytes) => text.extend_from_slice(bytes),
            Piece::Clash {
                base,
                target,
                source,
            } => {
                number += 1;
                end_line(&mut text);
                let about = format!("conflict {number} of {count}");
                mark(&mut text, b'<', length, &about);
                for (marker, label, span) in [
                    (b'+', "target", target),
                    (b'-', "base", base),
                    (b'+', "source", source),
                ] {
                    mark(&mut text, marker, length, label);
                    text.extend_from_slice(span.bytes);
                    end_line(&mut text);
                }
                mark(&mut text, b'>', length, &format!("{about} ends"));
            }
        }
    }
    text
}

fn is_clash(piece: &Piece<'_>) -> bool {
    matches!(piece, Piece::Clash { .. })
}

fn mark(text: &mut Vec<u8>, marker: u8, length: usize, label: &str) {
    text.extend(std::iter::repeat_n(marker, length));
    text.extend_from_slice(format!(" {label}\n").as_bytes());
}

fn end_line(text: &mut Vec<u8>) {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
}

/// One more than what any line begins with.
fn length(pieces: &[Piece<'_>]) -> usize {
    let all = pieces.iter().flat_map(|piece| match piece {
        Piece::Settled(bytes) => vec![*bytes],
        Piece::Clash {
            base,
            target,
            source,
        } => vec![base.bytes, target.bytes, source.bytes],
    });
    let runs = all
        .flat_map(|bytes| bytes.split(|byte| *byte == b'\n'))
        .map(run);
    let longest = runs.max().unwrap_or(0);
    match longest < MARKER_BYTES_MIN {
        true => MARKER_BYTES_MIN,
        false => longest + 1,
    }
}

/// How many equal marker letters a line begins with.
fn run(line: &[u8]) -> usize {
    match line.first() {
        Some(first) if MARKERS.contains(first) => {
            line.iter().take_while(|byte| *byte == first).count()
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::git::merge::text;

    fn shown(base: &str, target: &str, source: &str) -> String {
        let pieces = text::merge(base.as_bytes(), target.as_bytes(), source.as_bytes());
        String::from_utf8(write(&pieces)).unwrap()
    }

    #[test]
    fn a_clash_is_between_markers() {
        assert_eq!(
            shown("a\nb\nc\n", "a\nX\nc\n", "a\nY\nc\n"),
            "a\n<<<<<<< conflict 1 of 1\n+++++++ target\nX\n------- base\nb\n\
             +++++++ source\nY\n>>>>>>> conflict 1 of 1 ends\nc\n"
        );
        assert_eq!(shown("a\n", "a\n", "b"), "b");
    }

    #[test]
    fn markers_stand_out_from_the_text() {
        let text = shown("a\n", "========= x", "<<<<<<< y\n");
        assert!(text.starts_with("<<<<<<<<<< conflict 1 of 1\n"), "{text}");
        assert!(text.contains("\n========= x\n----------"), "{text}");
    }
}
