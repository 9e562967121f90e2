//! Cursors of lists, which clients send back.
//!
//! The first line is the query. What was issued for it is read, and is refused for another query,
//! with a bit flipped, or made up.

use contract::Cursors;
use contract::cursor::Cursor;
use domain::time::Time;
use personal_data::MacKey;

use super::{split, take};

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let cursors = Cursors::new(MacKey::new([1; 32]));
    let (query, rest) = split(bytes);
    let query = String::from_utf8_lossy(query);
    if let Ok(text) = std::str::from_utf8(rest)
        && let Ok(read) = cursors.read(&query, text)
    {
        assert_eq!(
            cursors.issue(&query, &read),
            text,
            "a cursor has one spelling"
        );
    }
    let mut rest = rest;
    let flipped = u16::from_be_bytes(take(&mut rest));
    let cursor = Cursor {
        at: Time::from_microseconds(i64::from_be_bytes(take(&mut rest))),
        id: rest.to_vec(),
    };
    let text = cursors.issue(&query, &cursor);
    assert_eq!(cursors.read(&query, &text).ok(), Some(cursor));
    assert!(cursors.read(&format!("{query} "), &text).is_err());
    assert!(cursors.read(&query, &tampered(&text, flipped)).is_err());
}

/// The text with one of its characters changed.
pub(super) fn tampered(text: &str, which: u16) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = usize::from(which >> 4) % bytes.len();
    // Another character of the alphabet, and now and then one that is not in it.
    let others = b"ABCDWXYZabcdwxyz089-_=.";
    let begin = usize::from(which) % others.len();
    let other = (0..others.len()).map(|step| others[(begin + step) % others.len()]);
    bytes[at] = other
        .into_iter()
        .find(|other| *other != bytes[at])
        .expect("there are two at least");
    String::from_utf8(bytes).expect("it is ASCII")
}
