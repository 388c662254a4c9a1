//! Durations as people type them: `90s`, `5m`, `1h30m`, `250ms`.
//!
//! A bare number is refused, since it would mean seconds to one reader and milliseconds to another.

use std::time::Duration;

/// Longest duration that is taken: a year. More is a typing error, and would overflow deadlines.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why some text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DurationError {
    /// Nothing, or a unit without a number before it.
    #[error("want a number and a unit, as in 90s, 5m or 1h30m")]
    NoNumber,
    /// A number without a unit, or an unknown one.
    #[error("want a unit after each number: ms, s, m, h or d")]
    NoUnit,
    /// More than a year.
    #[error("longer than a year")]
    TooLong,
}

/// Reads a sum of numbers with units.
///
/// # Errors
///
/// See [`DurationError`].
pub(super) fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::NoNumber);
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = split(rest, |letter| letter.is_ascii_digit());
        let (unit, after) = split(after, |letter| letter.is_ascii_alphabetic());
        if number.is_empty() {
            return Err(DurationError::NoNumber);
        }
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(DurationError::NoUnit),
        };
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(milliseconds))
            .ok_or(DurationError::TooLong)?;
        total = total.saturating_add(Duration::from_millis(part));
        rest = after;
    }
    if total > LONGEST {
        return Err(DurationError::TooLong);
    }
    Ok(total)
}

/// The whole milliseconds of a duration, for the control socket.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|letter| !belongs(letter)).unwrap_or(text.len());
    text.split_at(end)
}

/// Writes a duration shortly, for people: `12 s`, `3 min`, `2 h 5 min`.
pub(super) fn describe(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if !duration.is_zero() => format!("{} ms", duration.as_millis()),
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        for (text, milliseconds) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("0s", 0),
            (" 2d ", 172_800_000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_could_be_misread_is_refused() {
        for (text, error) in [
            ("", DurationError::NoNumber),
            ("s", DurationError::NoNumber),
            ("-5s", DurationError::NoNumber),
            ("30", DurationError::NoUnit),
            ("1h30", DurationError::NoUnit),
            ("1.5h", DurationError::NoUnit),
            ("3weeks", DurationError::NoUnit),
            ("366d", DurationError::TooLong),
            ("99999999999999999999s", DurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn descriptions_are_short() {
        assert_eq!(describe(Duration::from_millis(20)), "20 ms");
        assert_eq!(describe(Duration::from_secs(75)), "75 s");
        assert_eq!(describe(Duration::from_secs(7500)), "2 h 5 min");
    }
}
