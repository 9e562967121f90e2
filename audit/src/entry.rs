//! Reads the envelope of an entry.
//!
//! The program reads its envelope by fixed offsets; here the whole entry is read as JSON and the
//! envelope is then spelled again and compared byte by byte. So both statements of the format are
//! checked: that any tool can read it, and that its head is of fixed order and width.

use serde::Deserialize;
use serde_json::value::RawValue;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    pub(crate) id: uuid::Uuid,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) kind: Kind,
    pub(crate) aggregate: &'a str,
    pub(crate) body: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson<'a> {
    format: &'a str,
    id: &'a str,
    epoch: &'a str,
    version: &'a str,
    #[serde(rename = "type")]
    kind: Kind,
    aggregate: &'a str,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// Why an entry has no envelope.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEnvelope {
    #[error("it is not the JSON of an entry ({0})")]
    Json(#[from] serde_json::Error),
    #[error("{0} is malformed")]
    Field(&'static str),
    #[error("its fields are not in their fixed order and width")]
    Shape,
}

impl<'a> Entry<'a> {
    /// Reads the envelope and finds the body.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, NoEnvelope> {
        let json: EntryJson<'a> = serde_json::from_slice(bytes)?;
        let number = |text: &str, field| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u64>()
                .ok()
                .filter(|_| digits)
                .ok_or(NoEnvelope::Field(field))
        };
        let format = number(json.format, "its format")?;
        let entry = Self {
            format: u16::try_from(format).map_err(|_| NoEnvelope::Field("its format"))?,
            id: uuid::Uuid::try_parse(json.id).map_err(|_| NoEnvelope::Field("its id"))?,
            epoch: number(json.epoch, "its epoch")?,
            version: number(json.version, "its version")?,
            kind: json.kind,
            aggregate: json.aggregate,
            body: json.body.get(),
        };
        if bytes.starts_with(entry.head().as_bytes()) {
            Ok(entry)
        } else {
            Err(NoEnvelope::Shape)
        }
    }

    /// The bytes before the body, as the format spells them.
    fn head(&self) -> String {
        let Self {
            format,
            id,
            epoch,
            version,
            aggregate,
            ..
        } = self;
        let kind = match self.kind {
            Kind::Users => "users",
            Kind::Orders => "orders",
            Kind::Inventory => "inventory",
            Kind::Fence => "fence",
        };
        format!(
            r#"{{"format":"{format:03}","id":"{id}","epoch":"{epoch:020}","version":"{version:020}","type":"{kind}","aggregate":"{aggregate}","body":"#
        )
    }
}
