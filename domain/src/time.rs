//! Moments, exact to the microsecond on every store and in every answer.

use std::fmt;

use crate::{Invalid, serde_by_text};

/// A moment in UTC, whole microseconds since 1970. Shown as RFC 3339 with `Z` and always six
/// decimals, so that one moment is one text everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(i64);

/// 9999-12-30T21:59:59.999999Z: what comes later `jiff` does not show, for in some place the year
/// 10000 has begun.
const MICROSECONDS_MAX: i64 = 253_402_207_199_999_999;

impl Time {
    /// From microseconds since 1970; clamped to the years from 1970 to all but the end of 9999.
    pub fn from_microseconds(microseconds: i64) -> Self {
        Self(microseconds.clamp(0, MICROSECONDS_MAX))
    }

    /// Microseconds since 1970.
    pub fn microseconds(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Reads RFC 3339.
    ///
    /// # Errors
    /// When the text is not a moment in RFC 3339.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(time) = own_form(text.as_bytes()) {
            return Ok(time);
        }
        let moment: jiff::Timestamp = text
            .parse()
            .map_err(|_| Invalid::new("A time must be RFC 3339, such as 2026-01-31T12:00:00Z."))?;
        Ok(Self::from_microseconds(moment.as_microsecond()))
    }
}

/// Reads the one form that [`Time`] is written in, of which every record has several: some ten
/// times faster than a reader of all that RFC 3339 allows. `None`: let that one judge.
fn own_form(text: &[u8]) -> Option<Time> {
    const FORM: &[u8; 27] = b"dddd-dd-ddTdd:dd:dd.ddddddZ";
    let fits = |(byte, form): (&u8, &u8)| match form {
        b'd' => byte.is_ascii_digit(),
        _ => byte == form,
    };
    if text.len() != FORM.len() || !text.iter().zip(FORM).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text[from..to].iter();
        digits.fold(0, |number: i64, digit| {
            number * 10 + i64::from(digit - b'0')
        })
    };
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
    // A day that not every month has, and a leap second, are left to the careful reader.
    let plain = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=28).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !plain {
        return None;
    }
    // Days of a calendar whose year begins in March, so that a leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    const DAYS_UNTIL_1970: i64 = 719_468;
    let seconds = (days - DAYS_UNTIL_1970) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(Time(seconds * 1_000_000 + number(20, 26)))
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = jiff::Timestamp::from_microsecond(self.0).expect("clamped to jiff's range");
        write!(f, "{moment:.6}")
    }
}

serde_by_text!(Time);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_is_one_text() {
        let time = Time::from_microseconds(1_700_000_000_123_450);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.123450Z");
        assert_eq!(Time::parse(&time.to_string()), Ok(time));
        assert_eq!(
            Time::from_microseconds(0).to_string(),
            "1970-01-01T00:00:00.000000Z"
        );
        assert_eq!(
            Time::from_microseconds(i64::MAX).to_string(),
            "9999-12-30T21:59:59.999999Z"
        );
    }

    #[test]
    fn every_day_of_the_calendar_is_read_as_it_was_written() {
        const DAY: i64 = 86_400_000_000;
        for day in 0..MICROSECONDS_MAX / DAY {
            let time = Time::from_microseconds(day * DAY + day * 999_983 % DAY);
            if day % 7 == 0 || day < 40_000 {
                assert_eq!(Time::parse(&time.to_string()), Ok(time), "{time}");
            }
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for bad in [
            "2023-02-30T00:00:00.000000Z",
            "2023-13-01T00:00:00.000000Z",
            "2023-01-00T00:00:00.000000Z",
            "2023-01-01T24:00:00.000000Z",
            "2023-01-01T00:60:00.000000Z",
            "2023-01-01 00:00:00",
        ] {
            assert!(Time::parse(bad).is_err(), "{bad}");
        }
    }
}
