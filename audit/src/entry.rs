//! Reads the envelope of an entry.
//!
//! What is checked is both statements of the format: that its head is of fixed order and width,
//! label by label, and that any tool can read the whole as JSON (the head is, if it fits; the body
//! is parsed as JSON by whoever reads it, or by [`Entry::check_body`]).

use serde::de::IgnoredAny;
use uuid::Uuid;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Users,
    Orders,
    Inventory,
    Fence,
}

/// An entry as far as every version of the program can read it.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) format: u16,
    pub(crate) id: Uuid,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) kind: Kind,
    pub(crate) aggregate: &'a str,
    pub(crate) body: &'a str,
}

/// Why an entry has no envelope.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEnvelope {
    #[error("it is not text ({0})")]
    Text(#[from] std::str::Utf8Error),
    #[error("it is not the JSON of an entry ({0})")]
    Json(#[from] serde_json::Error),
    #[error("its fields are not in their fixed order and width")]
    Shape,
}

impl<'a> Entry<'a> {
    /// Reads the envelope and finds the body.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, NoEnvelope> {
        let text = std::str::from_utf8(bytes)?;
        match Self::of_fixed_shape(text) {
            Some(entry) => Ok(entry),
            None => {
                serde_json::from_str::<IgnoredAny>(text)?;
                Err(NoEnvelope::Shape)
            }
        }
    }

    fn of_fixed_shape(text: &'a str) -> Option<Self> {
        let (format, text) = field(text, r#"{"format":""#, 3)?;
        let (id, text) = field(text, r#"","id":""#, 36)?;
        let (epoch, text) = field(text, r#"","epoch":""#, 20)?;
        let (version, text) = field(text, r#"","version":""#, 20)?;
        let (kind, text) = text.strip_prefix(r#"","type":""#)?.split_once('"')?;
        let (aggregate, text) = text.strip_prefix(r#","aggregate":""#)?.split_once('"')?;
        let body = text.strip_prefix(r#","body":"#)?.strip_suffix('}')?;
        let escaped = |byte: u8| byte == b'\\' || byte < b' ';
        if aggregate.bytes().any(escaped) {
            return None;
        }
        Some(Self {
            format: u16::try_from(number(format)?).ok()?,
            id: uuid(id)?,
            epoch: number(epoch)?,
            version: number(version)?,
            kind: match kind {
                "users" => Kind::Users,
                "orders" => Kind::Orders,
                "inventory" => Kind::Inventory,
                "fence" => Kind::Fence,
                _ => return None,
            },
            aggregate,
            body,
        })
    }

    /// That the body is JSON, where nobody reads it.
    pub(crate) fn check_body(&self) -> Result<(), serde_json::Error> {
        serde_json::from_str::<IgnoredAny>(self.body).map(|_| ())
    }

    /// The aggregate, as people name it.
    pub(crate) fn name(&self) -> String {
        let noun = match self.kind {
            Kind::Users => "user",
            Kind::Orders => "order",
            Kind::Inventory => "sku",
            Kind::Fence => "fence",
        };
        format!("{noun} {}", self.aggregate)
    }
}

/// A field of fixed width behind its label, and what follows.
fn field<'a>(text: &'a str, label: &str, width: usize) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(label)?.split_at_checked(width)
}

fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// A UUID in its one spelling: lower case, with hyphens.
pub(crate) fn uuid(text: &str) -> Option<Uuid> {
    let spelled = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    Uuid::try_parse(text).ok().filter(|_| spelled)
}
