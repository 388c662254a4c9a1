//! What settings take, in words and as checks: a kind refuses a text by describing itself.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;

use super::Reason;

/// How every kind that may be without a limit says so.
pub const UNLIMITED: &str = "unlimited";

/// What a setting takes. Bounds include both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text; what it must look like is told by its parser.
    Text,
    /// A path; in the file absolute, or from the home folder on.
    Path,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Yes or no.
    Boolean,
    /// A whole number.
    Number(u64, u64),
    /// A whole number, or `unlimited`.
    Limit(u64, u64),
    /// A share of one: over 0, at most 1.
    Share,
    /// A size with its unit, or a number of bytes.
    Size(u64, u64),
    /// A size, or `unlimited`.
    SizeLimit(u64, u64),
    /// A duration with its unit, up to this one.
    Duration(Duration),
    /// A program and its arguments.
    Words,
}

impl Kind {
    /// Refuses a value of this kind.
    pub(super) fn wanted<T>(self) -> Result<T, Reason> {
        Err(Reason::Want(self))
    }

    /// Reads a whole number.
    pub(super) fn number(self, text: &str) -> Result<u64, Reason> {
        match (text.parse(), self) {
            (Ok(number), Kind::Number(min, max) | Kind::Limit(min, max))
                if (min..=max).contains(&number) =>
            {
                Ok(number)
            }
            _ => self.wanted(),
        }
    }

    /// Reads a number of bytes.
    pub(super) fn size(self, text: &str) -> Result<u64, Reason> {
        match (text.trim().parse(), self) {
            (Ok(ByteSize(bytes)), Kind::Size(min, max) | Kind::SizeLimit(min, max))
                if (min..=max).contains(&bytes) =>
            {
                Ok(bytes)
            }
            _ => self.wanted(),
        }
    }

    /// Reads what `read` reads, or that there is no limit.
    pub(super) fn or_unlimited(
        self,
        text: &str,
        read: fn(Kind, &str) -> Result<u64, Reason>,
    ) -> Result<Option<u64>, Reason> {
        match text {
            UNLIMITED => Ok(None),
            _ => read(self, text).map(Some),
        }
    }

    /// Reads a share of one.
    pub(super) fn share(self, text: &str) -> Result<f64, Reason> {
        match text.parse() {
            Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
            _ => self.wanted(),
        }
    }

    /// Reads a duration. A plain zero needs no unit.
    pub(super) fn duration(self, text: &str) -> Result<Duration, Reason> {
        match (humantime::parse_duration(text), self) {
            (Ok(duration), Kind::Duration(max)) if duration <= max => Ok(duration),
            _ => self.wanted(),
        }
    }

    /// Reads a yes or a no, as variables and flags have them.
    pub(super) fn boolean(self, text: &str) -> Result<bool, Reason> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => self.wanted(),
        }
    }
}

/// What to write, as the rest of a sentence that begins with "want".
impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Text => formatter.write_str("a string"),
            Kind::Path => formatter.write_str("a path, as a string"),
            Kind::Choice(words) => match words.split_last() {
                Some((last, first)) => write!(formatter, "{} or {last}", first.join(", ")),
                None => Ok(()),
            },
            Kind::Boolean => formatter.write_str("true or false"),
            Kind::Number(min, max) => write!(formatter, "a whole number from {min} to {max}"),
            Kind::Limit(min, max) => write!(
                formatter,
                "a whole number from {min} to {max}, or {UNLIMITED}"
            ),
            Kind::Share => formatter.write_str("a number over 0 and at most 1, such as 0.8"),
            Kind::Size(min, max) => write!(
                formatter,
                "a size such as 320MB or 10GiB, from {} to {}",
                size(*min),
                size(*max)
            ),
            Kind::SizeLimit(min, max) => {
                write!(formatter, "{}, or {UNLIMITED}", Kind::Size(*min, *max))
            }
            Kind::Duration(max) => write!(
                formatter,
                "a duration such as 250ms, 1s or 2m, at most {}",
                humantime::format_duration(*max)
            ),
            Kind::Words => formatter.write_str("a list of strings"),
        }
    }
}

/// Writes a number of bytes so that it reads back as the same: in the largest unit that leaves no
/// fraction.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 8] = [
        ("PiB", 1 << 50),
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
    ];
    let whole = UNITS
        .into_iter()
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_families_of_units_within_bounds() {
        let kind = Kind::Size(1_000, 1 << 40);
        for (text, bytes) in [
            ("320MB", 320_000_000),
            ("10GiB", 10 << 30),
            ("1.5 GB", 1_500_000_000),
            ("64k", 64_000),
            ("1TiB", 1 << 40),
            ("4096", 4096),
        ] {
            assert_eq!(kind.size(text), Ok(bytes), "{text}");
            assert_eq!(kind.size(&size(bytes)), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "GB",
            "-1GB",
            "10 bananas",
            "1KB2",
            "999",
            "2TiB",
            "unlimited",
            "99999999999999999999TB",
            "inf",
            "1e3",
            "\u{661}GB",
        ] {
            assert_eq!(kind.size(text), Err(Reason::Want(kind)), "{text}");
        }
        let unlimited = kind.or_unlimited("unlimited", Kind::size);
        assert_eq!(unlimited, Ok(None));
    }

    #[test]
    fn durations_need_units_and_have_an_end() {
        let kind = Kind::Duration(Duration::from_secs(3_600));
        for (text, milliseconds) in [
            ("250ms", 250),
            ("1s", 1_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1m 30s", 90_000),
            ("0", 0),
            ("0s", 0),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(kind.duration(text), Ok(duration), "{text}");
        }
        for text in ["", "1", "1.5x", "-1s", "2 days", "3601s", "never"] {
            assert_eq!(kind.duration(text), Err(Reason::Want(kind)), "{text}");
        }
    }

    #[test]
    fn numbers_and_shares_have_bounds() {
        let kind = Kind::Number(1, 256);
        for (text, number) in [("1", Some(1)), ("256", Some(256)), ("0", None)] {
            assert_eq!(kind.number(text).ok(), number, "{text}");
        }
        for text in ["257", "-1", "1.0", "", "one"] {
            assert!(kind.number(text).is_err(), "{text}");
        }
        for text in ["0", "1.1", "-0.5", "NaN", "inf", ""] {
            assert!(Kind::Share.share(text).is_err(), "{text}");
        }
        assert_eq!(Kind::Share.share("0.8"), Ok(0.8));
        assert_eq!(Kind::Share.share("1"), Ok(1.0));
    }

    #[test]
    fn a_kind_says_what_it_wants() {
        let said = |kind: Kind| Reason::Want(kind).to_string();
        assert_eq!(said(Kind::Choice(&["a", "b", "c"])), "want a, b or c");
        assert_eq!(
            said(Kind::SizeLimit(64 << 20, 1 << 50)),
            "want a size such as 320MB or 10GiB, from 64MiB to 1PiB, or unlimited"
        );
        assert_eq!(
            said(Kind::Duration(Duration::from_secs(3_600))),
            "want a duration such as 250ms, 1s or 2m, at most 1h"
        );
    }
}
