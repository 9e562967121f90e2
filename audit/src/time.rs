//! The one spelling of a moment in a record: `2026-01-31T12:00:00.000000Z`.

/// Microseconds since 1970, or `None` where the text is not in that spelling.
pub(crate) fn microseconds(text: &str) -> Option<i64> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.000000Z";
    let fits = text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, shape)| match shape {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        });
    if !fits {
        return None;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().ok();
    let day = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let second = day * 86_400 + number(11, 13)? * 3_600 + number(14, 16)? * 60 + number(17, 19)?;
    Some(second * 1_000_000 + number(20, 26)?)
}

/// Days since 1970-01-01 in the Gregorian calendar, counted in years that begin in March, so that
/// the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_counted_from_1970() {
        assert_eq!(microseconds("1970-01-01T00:00:00.000006Z"), Some(6));
        assert_eq!(
            microseconds("2023-11-14T22:13:20.123450Z"),
            Some(1_700_000_000_123_450)
        );
        assert_eq!(
            microseconds("2024-02-29T00:00:00.000000Z"),
            Some(1_709_164_800_000_000)
        );
        assert_eq!(
            microseconds("9999-12-31T23:59:59.999999Z"),
            Some(253_402_300_799_999_999)
        );
    }

    #[test]
    fn any_other_spelling_is_refused() {
        for text in [
            "",
            "2023-11-14T22:13:20Z",
            "2023-11-14 22:13:20.123450Z",
            "2023-11-14T22:13:20.12345éZ",
        ] {
            assert_eq!(microseconds(text), None, "{text}");
        }
    }
}
