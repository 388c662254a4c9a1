//! Standard output is data, standard error is talk; a reader that goes away early is no failure.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::Error;
use crate::daemon::Failure;

/// Writes lines of data to standard output; a closed pipe counts as written.
///
/// # Errors
///
/// Standard output cannot be written for another reason: a full disk, for one.
pub(super) fn data(text: impl fmt::Display) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Output(error)),
        _ => Ok(()),
    }
}

/// Writes one value as JSON to standard output.
///
/// # Errors
///
/// As [`data`].
pub(super) fn json(value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Output(error.into()))?;
    data(text)
}

/// Says something to the person at the terminal.
pub(super) fn talk(text: impl fmt::Display) {
    // Nobody listens: then there is nobody to tell that, either.
    let _unheard = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a failure in the shape that every command uses.
pub(super) fn failure(failure: &Failure) {
    talk(render(failure));
}

fn render(failure: &Failure) -> String {
    let mut text = format!("error: {}", failure.message);
    for cause in &failure.causes {
        text.push_str("\n  caused by: ");
        text.push_str(cause);
    }
    if let Some(hint) = &failure.hint {
        text.push_str("\n  hint: ");
        text.push_str(hint);
    }
    text
}

/// Writes a number of bytes shortly.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut shown = count as f64;
    let mut unit = "B";
    for next in UNITS {
        if shown < 1024.0 {
            break;
        }
        shown /= 1024.0;
        unit = next;
    }
    format!("{shown:.1} {unit}")
}

/// Whether a path that was given stands for standard input or output.
pub(super) fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Writes a count with its noun, in the plural where it belongs.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Reason;

    #[test]
    fn failures_show_causes_and_hint() {
        let failure = Failure {
            reason: Reason::Failed,
            message: "the mount point /x cannot be used".into(),
            causes: vec!["permission denied".into()],
            hint: Some("choose another one".into()),
        };
        assert_eq!(
            render(&failure),
            "error: the mount point /x cannot be used\n  caused by: permission denied\n  hint: choose another one"
        );
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
        assert_eq!(counted(1, "operation", "operations"), "1 operation");
    }
}
