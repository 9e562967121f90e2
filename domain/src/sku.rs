//! The name of a product.

use std::fmt;
use std::sync::Arc;

use crate::{Invalid, serde_by_text};

/// A stock keeping unit: 1–64 of `A–Z a–z 0–9 . _ -`, a letter or digit first; case matters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sku(Arc<str>);

impl Sku {
    /// The longest SKU, in characters.
    pub const LENGTH_MAX: usize = 64;

    /// Checks the characters and the length.
    ///
    /// # Errors
    /// One sentence that states the rule.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let first = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if first && rest && text.len() <= Self::LENGTH_MAX {
            return Ok(Self(text.into()));
        }
        Err(Invalid::new(
            "A SKU has 1 to 64 of the characters A–Z a–z 0–9 . _ - and starts with a letter or digit.",
        ))
    }

    /// The SKU as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_by_text!(Sku);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_is_plain_and_short() {
        for good in ["a", "A-1", "0.x_y-z", &"x".repeat(64)] {
            assert!(Sku::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "a b",
            "ä",
            "a/b",
            "a%",
            &"x".repeat(65),
            "a\n",
        ] {
            assert!(Sku::parse(bad).is_err(), "{bad:?}");
        }
    }
}
