//! Unified hunks between two texts.

use std::io::{self, Write};
use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

/// Unchanged lines around a change, as Git shows.
const CONTEXT: u32 = 3;

/// Whether bytes are text that survives a mail: no NUL, and no carriage return, which programs that
/// split mails take away.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| matches!(byte, 0 | b'\r'))
}

/// Writes the hunks that turn one text into the other.
pub(super) fn write(old: &[u8], new: &[u8], out: &mut impl Write) -> io::Result<()> {
    let (old, new) = (lines(old), lines(new));
    let mut input = InternedInput::default();
    input.update_before(old.iter().copied());
    input.update_after(new.iter().copied());
    let diff = Diff::compute(Algorithm::Histogram, &input);
    let mut group: Vec<(Range<u32>, Range<u32>)> = Vec::new();
    for hunk in diff.hunks() {
        if let Some((last, _)) = group.last()
            && hunk.before.start > last.end.saturating_add(2 * CONTEXT)
        {
            write_group(&group, &old, &new, out)?;
            group.clear();
        }
        group.push((hunk.before, hunk.after));
    }
    write_group(&group, &old, &new, out)
}

fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

fn count(lines: &[&[u8]]) -> u32 {
    u32::try_from(lines.len()).unwrap_or(u32::MAX)
}

fn write_group(
    group: &[(Range<u32>, Range<u32>)],
    old: &[&[u8]],
    new: &[&[u8]],
    out: &mut impl Write,
) -> io::Result<()> {
    let (Some((first, first_new)), Some((last, last_new))) = (group.first(), group.last()) else {
        return Ok(());
    };
    let before = first.start.min(CONTEXT);
    let after = (count(old) - last.end).min(CONTEXT);
    let shown = first.start - before..last.end + after;
    let shown_new = first_new.start - before..last_new.end + after;
    let place = |range: &Range<u32>| {
        let length = range.end - range.start;
        // A side without lines is told by the line before it.
        let start = range.start + u32::from(length > 0);
        format!("{start},{length}")
    };
    writeln!(out, "@@ -{} +{} @@", place(&shown), place(&shown_new))?;
    let mut at = shown.start;
    for (removed, added) in group {
        put(out, b' ', old, at..removed.start)?;
        put(out, b'-', old, removed.clone())?;
        put(out, b'+', new, added.clone())?;
        at = removed.end;
    }
    put(out, b' ', old, at..shown.end)
}

fn put(out: &mut impl Write, mark: u8, lines: &[&[u8]], range: Range<u32>) -> io::Result<()> {
    let shown = lines.get(range.start as usize..range.end as usize);
    for line in shown.unwrap_or_default() {
        out.write_all(&[mark])?;
        out.write_all(line)?;
        if !line.ends_with(b"\n") {
            out.write_all(b"\n\\ No newline at end of file\n")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunks(old: &str, new: &str) -> String {
        let mut out = Vec::new();
        write(old.as_bytes(), new.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sides_without_lines_and_ends_without_newline_are_told() {
        assert_eq!(hunks("", "a\n"), "@@ -0,0 +1,1 @@\n+a\n");
        assert_eq!(
            hunks("a", ""),
            "@@ -1,1 +0,0 @@\n-a\n\\ No newline at end of file\n"
        );
        assert_eq!(hunks("a\n", "a\n"), "");
    }

    #[test]
    fn changes_far_apart_are_hunks_of_their_own() {
        let old: String = (0..20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("2\n3", "2\nx\n3").replace("17\n", "");
        let text = hunks(&old, &new);
        assert_eq!(text.matches("@@ -").count(), 2, "{text}");
    }
}
