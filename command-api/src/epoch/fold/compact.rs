//! Short texts by the million: ids and keyed hashes, held as the 128 bits that they write.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that takes 24 bytes where it is a canonical UUID or 32 lower-case hexadecimal digits.
/// Shown, it is the same text again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Compact {
    /// A lower-case UUID with hyphens.
    Id(Uuid),
    /// 32 lower-case hexadecimal digits.
    Digest(Uuid),
    /// Any other text.
    Text(Box<str>),
}

impl From<&str> for Compact {
    fn from(text: &str) -> Self {
        let mut buffer = Uuid::encode_buffer();
        match Uuid::try_parse(text) {
            Ok(id) if id.as_hyphenated().encode_lower(&mut buffer) == text => Self::Id(id),
            Ok(id) if id.as_simple().encode_lower(&mut buffer) == text => Self::Digest(id),
            _ => Self::Text(text.into()),
        }
    }
}

impl fmt::Display for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.as_hyphenated().fmt(f),
            Self::Digest(digest) => digest.as_simple().fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Compact {
    /// Hands the text over without keeping a copy of it.
    pub(crate) fn with_text<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        let mut buffer = Uuid::encode_buffer();
        match self {
            Self::Id(id) => take(id.as_hyphenated().encode_lower(&mut buffer)),
            Self::Digest(digest) => take(digest.as_simple().encode_lower(&mut buffer)),
            Self::Text(text) => take(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was() {
        for text in [
            "01890a5d-ac96-774b-bcce-b302099a8057",
            "01890A5D-AC96-774B-BCCE-B302099A8057",
            "0123456789abcdef0123456789abcdef",
            "0123456789ABCDEF0123456789abcdef",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "k",
            "",
        ] {
            let compact = Compact::from(text);
            assert_eq!(compact.to_string(), text);
            compact.with_text(|shown| assert_eq!(shown, text));
        }
        assert!(matches!(
            Compact::from("0123456789abcdef0123456789abcdef"),
            Compact::Digest(_)
        ));
    }
}
