//! The frozen envelope: the first bytes of every record, in fixed order and width.
//!
//! ```text
//! {"format":"001","id":"<uuid>","epoch":"<20 digits>","version":"<20 digits>","type":"orders","aggregate":"<id>","body":…}
//! ```
//! It is JSON, so that any tool can read it, and of fixed width up to `type`, so that a script
//! can set the version in place ([`VERSION_AT`]) and a reader can judge a record without parsing
//! JSON. **Never change it:** readers of every version rely on these bytes.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Unreadable;
use crate::partition::Topic;

/// The format of bodies that this program writes. It reads this one and all older ones.
pub const FORMAT: u16 = 1;

const HEAD: &str = r#"{"format":""#;
const ID: &str = r#"","id":""#;
const EPOCH: &str = r#"","epoch":""#;
const VERSION: &str = r#"","version":""#;
const TYPE: &str = r#"","type":""#;
const AGGREGATE: &str = r#"","aggregate":""#;
const BODY: &str = r#"","body":"#;

const FORMAT_AT: Range<usize> = at(0, HEAD, 3);
const ID_AT: Range<usize> = at(FORMAT_AT.end, ID, 36);
const EPOCH_AT: Range<usize> = at(ID_AT.end, EPOCH, 20);
/// Where the version stands in an encoded record: 20 digits. The gate's script sets it in place
/// for commands that take the next version.
pub const VERSION_AT: Range<usize> = at(EPOCH_AT.end, VERSION, 20);

const fn at(after: usize, label: &str, width: usize) -> Range<usize> {
    let start = after + label.len();
    start..start + width
}

/// Names a record; made by the attempt that writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordId(pub Uuid);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateType {
    /// A user.
    Users,
    /// An order.
    Orders,
    /// An inventory item.
    Inventory,
    /// No aggregate: the start of an epoch on this partition.
    Fence,
}

impl AggregateType {
    /// The word in the envelope.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Orders => "orders",
            Self::Inventory => "inventory",
            Self::Fence => "fence",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Users, Self::Orders, Self::Inventory, Self::Fence]
            .into_iter()
            .find(|t| t.as_str() == text)
    }

    /// The topic in which records of this type stand; `None` for a fence, which stands in all.
    pub fn topic(self) -> Option<Topic> {
        match self {
            Self::Users => Some(Topic::Users),
            Self::Orders => Some(Topic::Orders),
            Self::Inventory => Some(Topic::Inventory),
            Self::Fence => None,
        }
    }
}

/// The envelope of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The format of the body.
    pub format: u16,
    /// The record's id.
    pub id: RecordId,
    /// The epoch in which it was decided.
    pub epoch: u64,
    /// What it is about.
    pub aggregate_type: AggregateType,
    /// Which one; empty for a fence. No quotes, backslashes or control characters.
    pub aggregate_id: String,
    /// The aggregate's version after this record, from 1; 0 for a fence.
    pub version: u64,
}

impl Envelope {
    /// The fence of an epoch: from here on, records of lower epochs are void.
    pub fn fence(epoch: u64, id: RecordId) -> Self {
        Self {
            format: FORMAT,
            id,
            epoch,
            aggregate_type: AggregateType::Fence,
            aggregate_id: String::new(),
            version: 0,
        }
    }

    /// The record's bytes with this JSON as its body.
    ///
    /// # Panics
    /// When the aggregate id has characters that need escaping. Ids are UUIDs or SKUs, which do
    /// not.
    pub fn encode(&self, body: &str) -> Vec<u8> {
        assert!(
            is_plain(&self.aggregate_id),
            "an aggregate id is a UUID or a SKU"
        );
        let Self {
            format,
            id,
            epoch,
            aggregate_type,
            aggregate_id,
            version,
        } = self;
        let kind = aggregate_type.as_str();
        format!(
            "{HEAD}{format:03}{ID}{id}{EPOCH}{epoch:020}{VERSION}{version:020}{TYPE}{kind}{AGGREGATE}{aggregate_id}{BODY}{body}}}"
        )
        .into_bytes()
    }

    /// Reads the envelope and finds the body.
    ///
    /// # Errors
    /// [`Unreadable::Envelope`] when the bytes are not a record.
    pub fn decode<'a>(bytes: &'a [u8]) -> Result<(Self, &'a str), Unreadable> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| Unreadable::Envelope("it is not UTF-8"))?;
        let fixed = |label: &str, at: Range<usize>| {
            let labelled = text.get(at.start - label.len()..at.start) == Some(label);
            text.get(at)
                .filter(|_| labelled)
                .ok_or(Unreadable::Envelope("a fixed field is missing"))
        };
        let number = |digits: &str| {
            let all = digits.bytes().all(|b| b.is_ascii_digit());
            digits
                .parse::<u64>()
                .ok()
                .filter(|_| all)
                .ok_or(Unreadable::Envelope("a number is malformed"))
        };
        let format = number(fixed(HEAD, FORMAT_AT)?)?;
        let id = Uuid::try_parse(fixed(ID, ID_AT)?)
            .map_err(|_| Unreadable::Envelope("its id is malformed"))?;
        let epoch = number(fixed(EPOCH, EPOCH_AT)?)?;
        let version = number(fixed(VERSION, VERSION_AT)?)?;
        let rest = text[VERSION_AT.end..]
            .strip_prefix(TYPE)
            .ok_or(Unreadable::Envelope("its type is missing"))?;
        // Neither a type nor an id has quotes; looking for one byte is what makes this cheap.
        let until_quote = |text: &'a str, label: &str| {
            let (value, rest) = text.split_at(text.find('"')?);
            Some((value, rest.strip_prefix(label)?))
        };
        let (kind, rest) =
            until_quote(rest, AGGREGATE).ok_or(Unreadable::Envelope("its aggregate is missing"))?;
        let (aggregate_id, rest) =
            until_quote(rest, BODY).ok_or(Unreadable::Envelope("its body is missing"))?;
        let body = rest
            .strip_suffix('}')
            .ok_or(Unreadable::Envelope("it is cut off"))?;
        if !is_plain(aggregate_id) || text[ID_AT].bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(Unreadable::Envelope("an id is not as it is written"));
        }
        let envelope = Self {
            format: format as u16,
            id: RecordId(id),
            epoch,
            aggregate_type: AggregateType::parse(kind)
                .ok_or(Unreadable::Envelope("its type is unknown"))?,
            aggregate_id: aggregate_id.to_owned(),
            version,
        };
        Ok((envelope, body))
    }
}

/// Whether an aggregate's id stands in JSON as it is. What cannot be written is not read either.
fn is_plain(aggregate_id: &str) -> bool {
    !aggregate_id
        .bytes()
        .any(|b| b == b'"' || b == b'\\' || b < b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_cannot_be_written_is_not_read() {
        let text = String::from_utf8(envelope().encode("{}")).unwrap();
        let at = text.find(BODY).unwrap();
        for put in ["\"", "\\", "\n", r#"aggregate":"A"#] {
            let forged = format!("{}{put}{}", &text[..at], &text[at..]);
            assert!(Envelope::decode(forged.as_bytes()).is_err(), "{forged}");
        }
        let mut shouted = envelope();
        shouted.id = RecordId(Uuid::from_u128(0xABC));
        let shouted = String::from_utf8(shouted.encode("{}")).unwrap();
        let shouted = shouted.replace("abc", "ABC");
        assert!(Envelope::decode(shouted.as_bytes()).is_err());
    }

    fn envelope() -> Envelope {
        Envelope {
            format: 1,
            id: RecordId(Uuid::from_u128(7)),
            epoch: 3,
            aggregate_type: AggregateType::Inventory,
            aggregate_id: "A-1".into(),
            version: 12,
        }
    }

    /// These bytes are frozen. If this test fails, readers of other versions break.
    #[test]
    fn the_envelope_never_changes() {
        let bytes = envelope().encode("{}");
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            r#"{"format":"001","id":"00000000-0000-0000-0000-000000000007","epoch":"00000000000000000003","version":"00000000000000000012","type":"inventory","aggregate":"A-1","body":{}}"#
        );
        assert_eq!(&bytes[VERSION_AT], b"00000000000000000012");
        assert!(
            serde_json::from_slice::<serde_json::Value>(&bytes).is_ok(),
            "any tool can read it"
        );
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let bytes = envelope().encode(r#"{"x":"\",\"body\":"}"#);
        assert_eq!(
            Envelope::decode(&bytes),
            Ok((envelope(), r#"{"x":"\",\"body\":"}"#))
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>) {
            let _ = Envelope::decode(&bytes);
        }

        #[test]
        fn no_damage_makes_a_reader_panic(at in 0usize..200, byte: u8) {
            let mut bytes = envelope().encode("{}");
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = Envelope::decode(&bytes);
            let _ = Envelope::decode(&bytes[..at]);
        }
    }
}
