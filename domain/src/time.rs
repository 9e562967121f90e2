//! Moments, exact to the microsecond on every store and in every answer.

use std::fmt;

use crate::{Invalid, serde_by_text};

/// A moment in UTC, whole microseconds since 1970. Shown as RFC 3339 with `Z` and always six
/// decimals, so that one moment is one text everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Time(i64);

/// 9999-12-31T23:59:59.999999Z, the last moment that RFC 3339 can show.
const MICROSECONDS_MAX: i64 = 253_402_300_799_999_999;

impl Time {
    /// From microseconds since 1970; clamped to years 1970–9999.
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
        let moment: jiff::Timestamp = text
            .parse()
            .map_err(|_| Invalid::new("A time must be RFC 3339, such as 2026-01-31T12:00:00Z."))?;
        Ok(Self::from_microseconds(moment.as_microsecond()))
    }
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
    }
}
