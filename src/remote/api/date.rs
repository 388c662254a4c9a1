//! ISO 8601 date-times, as the contract writes them: `2025-06-15T15:06:40Z`.
//!
//! Days become dates by the proleptic Gregorian calendar, counted in eras of 400 years that begin
//! on 1 March, so that the leap day is the last of a year.

use crate::tree::Timestamp;

const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;
const SECONDS_PER_DAY: i64 = 86_400;

/// The text is not a date-time of the form `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 8601 date-time")]
pub struct DateError;

/// Writes whole seconds since 1970 as UTC; years outside 0 to 9999 become the nearest of these.
pub fn format_date(seconds: i64) -> String {
    // 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
    let seconds = seconds.clamp(-62_167_219_200, 253_402_300_799);
    let days = seconds.div_euclid(SECONDS_PER_DAY) + DAYS_TO_EPOCH;
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Reads a date-time with a zone.
///
/// # Errors
///
/// [`DateError`] for anything else.
pub fn parse_date(text: &str) -> Result<Timestamp, DateError> {
    let (date_time, fraction, offset) = split(text).ok_or(DateError)?;
    let [year, month, day, hour, minute, second] = date_time;
    let month_length = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    // 60 is a leap second, which the epoch does not count.
    if !(1..=12).contains(&month)
        || !(1..=month_length).contains(&day)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return Err(DateError);
    }
    let year = year - i64::from(month <= 2);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let year_of_era = year.rem_euclid(400);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = year.div_euclid(400) * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
    Ok(Timestamp {
        seconds: days * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset,
        nanoseconds: fraction,
    })
}

/// The six numbers, the nanoseconds, and the zone's offset in seconds.
fn split(text: &str) -> Option<([i64; 6], u32, i64)> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + i64::from(digit - b'0'))
        })
    };
    for (at, wanted) in [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')] {
        (*bytes.get(at)? == wanted).then_some(())?;
    }
    matches!(bytes.get(10)?, b'T' | b't' | b' ').then_some(())?;
    let date_time = [
        number(0, 4)?,
        number(5, 7)?,
        number(8, 10)?,
        number(11, 13)?,
        number(14, 16)?,
        number(17, 19)?,
    ];
    let mut zone = 19;
    let mut nanoseconds = 0;
    if bytes.get(zone) == Some(&b'.') {
        let digits = bytes
            .get(20..)?
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        (digits > 0).then_some(())?;
        zone = 20 + digits;
        let kept = digits.min(9);
        let scale = 10_u32.checked_pow(u32::try_from(9 - kept).ok()?)?;
        nanoseconds = u32::try_from(number(20, 20 + kept)?).ok()? * scale;
    }
    let offset = match bytes.get(zone..)? {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(zone + 1, zone + 3)?, number(zone + 4, zone + 6)?);
            (hours <= 23 && minutes <= 59).then_some(())?;
            let seconds = hours * 3_600 + minutes * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    Some((date_time, nanoseconds, offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_750_000_000, "2025-06-15T15:06:40Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(format_date(seconds), text);
        }
        let date = parse_date("2025-06-15T17:06:40.25+02:00").unwrap();
        assert_eq!(
            (date.seconds, date.nanoseconds),
            (1_750_000_000, 250_000_000)
        );
    }

    #[test]
    fn near_misses_are_refused() {
        for text in [
            "",
            "2025-06-15",
            "2025-06-15T15:06:40",
            "2025-13-15T15:06:40Z",
            "2025-02-30T15:06:40Z",
            "2025-06-15T15:06:40.Z",
            "2025-06-15T15:06:40Zü",
            "+025-06-15T15:06:40Z",
        ] {
            assert_eq!(parse_date(text), Err(DateError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn dates_survive_the_round_trip(seconds in -62_167_219_200_i64..253_402_300_800) {
            prop_assert_eq!(parse_date(&format_date(seconds)).unwrap().seconds, seconds);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = parse_date(&text);
        }
    }
}
