//! Free text as people type it: NFC, no control characters, lengths in code points.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

use crate::{Invalid, serde_by_text};

/// Text of `MIN` to `MAX` code points after NFC, without control characters. Nothing is trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// A person's or an item's name: 1–200 code points.
pub type Name = Text<1, 200>;
/// A category: 1–100 code points; compared exactly.
pub type Category = Text<1, 100>;
/// A reference or a reason that a client gives: 0–200 code points.
pub type Note = Text<0, 200>;
/// A password as typed, after NFC: 8–256 code points. Never stored; see `personal-data`.
pub type Password = Text<8, 256>;

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// Normalises to NFC and checks length and characters.
    ///
    /// # Errors
    /// One sentence that states the limit that was missed.
    pub fn parse(input: &str) -> Result<Self, Invalid> {
        // NFC never makes more than three code points of one; this bounds the work on huge input.
        if input.len() > MAX * 4 * 3 {
            return Err(Self::wrong_length());
        }
        // Plain ASCII is its own normal form, and most of what is read is that.
        let text: String = if input.is_ascii() {
            input.to_owned()
        } else {
            input.nfc().collect()
        };
        if text.chars().any(char::is_control) {
            return Err(Invalid::new(
                "Control characters are not allowed; remove them.",
            ));
        }
        let length = text.chars().count();
        if length < MIN || length > MAX {
            return Err(Self::wrong_length());
        }
        Ok(Self(text))
    }

    fn wrong_length() -> Invalid {
        Invalid(format!("It must have {MIN} to {MAX} characters."))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MIN: usize, const MAX: usize> serde::Serialize for Text<MIN, MAX> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de, const MIN: usize, const MAX: usize> serde::Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Personal data sealed by `personal-data`: base64 of nonce and ciphertext. Opaque to the domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sealed(String);

impl Sealed {
    /// Wraps sealed text. Only `personal-data` makes it and looks inside.
    ///
    /// # Errors
    /// When it is empty or not plain base64.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let plain =
            |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_' | b'=');
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(Invalid::new("Sealed data must be base64."));
        }
        Ok(Self(text.to_owned()))
    }

    /// The base64 text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_by_text!(Sealed);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_spellings_are_one_text() {
        assert_eq!(Name::parse("Cafe\u{301}"), Name::parse("Café"));
    }

    #[test]
    fn lengths_count_code_points() {
        assert!(Name::parse(&"é".repeat(200)).is_ok());
        assert!(Name::parse(&"é".repeat(201)).is_err());
        assert!(Name::parse("").is_err());
        assert!(Note::parse("").is_ok());
    }

    #[test]
    fn control_characters_are_refused() {
        assert!(Name::parse("a\nb").is_err());
        assert!(Name::parse("a\u{0}").is_err());
    }
}
