//! Cursors: where a page of a list ended, bound to the query that it came from.
//!
//! A cursor is authenticated together with its query, so that one sent with another query, or
//! made up, is told apart instead of giving a page that means nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use domain::time::Time;
use personal_data::MacKey;

use crate::Problem;

const LABEL: &str = "cursor";
const TAG_LENGTH: usize = 16;

/// The last row of a page: lists are ordered by time of creation, then id, so that rows of one
/// instant have an order too (report R29).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// When it was created.
    pub at: Time,
    /// Its id, as bytes.
    pub id: Vec<u8>,
}

/// Makes and reads cursors.
#[derive(Debug, Clone)]
pub struct Cursors(MacKey);

impl Cursors {
    /// With the key for opaque tokens of the secrets file.
    pub fn new(key: MacKey) -> Self {
        Self(key)
    }

    /// The cursor after a row, for the same query only. `query` names everything that decides
    /// which rows there are and how they are ordered, but not the page's length.
    pub fn issue(&self, query: &str, cursor: &Cursor) -> String {
        let mut bytes = cursor.at.microseconds().to_be_bytes().to_vec();
        bytes.extend(&cursor.id);
        let tag = self.0.tag(LABEL, &[query.as_bytes(), &bytes]);
        bytes.extend(&tag[..TAG_LENGTH]);
        BASE64.encode(bytes)
    }

    /// Reads a cursor of the same query.
    ///
    /// # Errors
    /// 400 when it belongs to another query or was not issued here.
    pub fn read(&self, query: &str, text: &str) -> Result<Cursor, Problem> {
        self.try_read(query, text)
            .ok_or_else(Problem::malformed_cursor)
    }

    fn try_read(&self, query: &str, text: &str) -> Option<Cursor> {
        let bytes = BASE64.decode(text).ok()?;
        let (plain, tag) = bytes.split_last_chunk::<TAG_LENGTH>()?;
        if !self.0.verify(LABEL, &[query.as_bytes(), plain], tag) {
            return None;
        }
        let (at, id) = plain.split_first_chunk()?;
        let at = Time::from_microseconds(i64::from_be_bytes(*at));
        Some(Cursor {
            at,
            id: id.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            at: Time::from_microseconds(1_700_000_000_123_456),
            id: b"SKU-1".to_vec(),
        }
    }

    #[test]
    fn a_cursor_names_its_row_to_the_microsecond() {
        let cursors = Cursors::new(MacKey::new([1; 32]));
        let text = cursors.issue("orders", &cursor());
        assert_eq!(cursors.read("orders", &text).unwrap(), cursor());
    }

    #[test]
    fn a_cursor_of_another_query_or_shop_is_refused() {
        let cursors = Cursors::new(MacKey::new([1; 32]));
        let text = cursors.issue("orders", &cursor());
        assert!(cursors.read("orders status=placed", &text).is_err());
        assert!(
            Cursors::new(MacKey::new([2; 32]))
                .read("orders", &text)
                .is_err()
        );
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        let cursors = Cursors::new(MacKey::new([1; 32]));
        let text = cursors.issue("orders", &cursor());
        for bad in ["", "a", "%", "null", &text[1..], &format!("{text}A")] {
            assert!(cursors.read("orders", bad).is_err(), "{bad:?}");
        }
    }
}
