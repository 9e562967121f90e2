//! The body of a record: its events and what explains them.

use domain::email::EmailHash;
use domain::ids::UserId;
use domain::inventory::InventoryEvent;
use domain::order::OrderEvent;
use domain::stock::StockMovement;
use domain::time::Time;
use domain::user::{Role, UserEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Unreadable;
use crate::envelope::{AggregateType, Envelope, FORMAT};

/// Who asked for the command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// A user with a token.
    User {
        /// Its id.
        id: UserId,
        /// Its role at that moment.
        role: Role,
    },
    /// Somebody without a token, known by the address given.
    Anonymous {
        /// The keyed hash of the address.
        email_hash: EmailHash,
    },
    /// The operator at the command line, or the program itself.
    Operator,
}

/// The idempotency key of a command, as the gate knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedKey {
    /// A keyed hash of actor and key: 32 hexadecimal digits.
    pub key: String,
    /// A keyed hash of method, path and body without secrets: 32 hexadecimal digits.
    pub fingerprint: String,
}

/// The events of a record; all of one aggregate. May be empty: the command changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Events {
    /// Of a user.
    Users(Vec<UserEvent>),
    /// Of an order.
    Orders(Vec<OrderEvent>),
    /// Of an item.
    Inventory(Vec<InventoryEvent>),
}

impl Events {
    /// What they do to stock, summed per SKU.
    pub fn movements(&self) -> Vec<StockMovement> {
        match self {
            Self::Users(_) => vec![],
            Self::Orders(events) => domain::order::movements(events),
            Self::Inventory(events) => domain::inventory::movements(events),
        }
    }

    /// Whose events these are.
    pub fn aggregate_type(&self) -> AggregateType {
        match self {
            Self::Users(_) => AggregateType::Users,
            Self::Orders(_) => AggregateType::Orders,
            Self::Inventory(_) => AggregateType::Inventory,
        }
    }
}

/// Everything in a record but its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What happened.
    pub events: Events,
    /// Who asked for it.
    pub actor: Actor,
    /// The idempotency key, where one was given.
    pub key: Option<RecordedKey>,
    /// The request that led to this record.
    pub correlation_id: Uuid,
    /// The record that caused this one, where one did.
    pub causation_id: Option<Uuid>,
    /// The W3C trace context of the request.
    pub traceparent: Option<String>,
    /// When it was decided, by the clock of the node that did. Informs; decides nothing.
    pub time: Time,
}

/// The JSON of a body in format 1. The movements are written for readers in other languages and
/// for the audit; they are a function of the events and are checked against them when read.
#[derive(Serialize, Deserialize)]
struct BodyJson<E> {
    events: Vec<E>,
    movements: Vec<StockMovement>,
    actor: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<RecordedKey>,
    correlation_id: Uuid,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    time: Time,
}

/// What a fold needs of a body; the rest is skipped, which makes it several times cheaper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    /// What happened.
    pub events: Events,
    /// What that did to stock, summed per SKU.
    pub movements: Vec<StockMovement>,
    /// The idempotency key, where one was given.
    pub key: Option<RecordedKey>,
    /// When it was decided.
    pub time: Time,
}

#[derive(Deserialize)]
struct RecalledJson<E> {
    events: Vec<E>,
    movements: Vec<StockMovement>,
    #[serde(default)]
    key: Option<RecordedKey>,
    time: Time,
}

impl Recalled {
    /// Reads what a fold needs of the body that stands behind an envelope.
    ///
    /// # Errors
    /// As [`Body::decode`], as far as it is read.
    pub fn decode(envelope: &Envelope, body: &str) -> Result<Self, Unreadable> {
        match kind_of(envelope)? {
            AggregateType::Users => Self::from_json(body, Events::Users),
            AggregateType::Orders => Self::from_json(body, Events::Orders),
            AggregateType::Inventory => Self::from_json(body, Events::Inventory),
            AggregateType::Fence => Err(Unreadable::Body("a fence has no events".to_owned())),
        }
    }

    fn from_json<E: for<'de> Deserialize<'de>>(
        body: &str,
        events: fn(Vec<E>) -> Events,
    ) -> Result<Self, Unreadable> {
        let json: RecalledJson<E> =
            serde_json::from_str(body).map_err(|error| Unreadable::Body(error.to_string()))?;
        let events = checked(events(json.events), &json.movements)?;
        let (movements, key, time) = (json.movements, json.key, json.time);
        Ok(Self {
            events,
            movements,
            key,
            time,
        })
    }
}

/// The type of a record whose format this program reads.
fn kind_of(envelope: &Envelope) -> Result<AggregateType, Unreadable> {
    if envelope.format > FORMAT {
        return Err(Unreadable::NewerFormat {
            found: envelope.format,
            known: FORMAT,
        });
    }
    Ok(envelope.aggregate_type)
}

fn checked(events: Events, movements: &[StockMovement]) -> Result<Events, Unreadable> {
    if events.movements() == movements {
        return Ok(events);
    }
    let why = "its movements are not those of its events";
    Err(Unreadable::Body(why.to_owned()))
}

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its envelope.
    pub envelope: Envelope,
    /// Its body.
    pub body: Body,
}

impl Record {
    /// The bytes that are appended.
    pub fn encode(&self) -> Vec<u8> {
        let body = match &self.body.events {
            Events::Users(events) => self.body.json(events),
            Events::Orders(events) => self.body.json(events),
            Events::Inventory(events) => self.body.json(events),
        };
        self.envelope.encode(&body)
    }

    /// Reads a whole record.
    ///
    /// # Errors
    /// When the envelope or the body cannot be read, or the format is newer than this program.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        let (envelope, body) = Envelope::decode(bytes)?;
        let body = Body::decode(&envelope, body)?;
        Ok(Self { envelope, body })
    }
}

impl Body {
    fn json<E: Serialize + Clone>(&self, events: &[E]) -> String {
        let json = BodyJson {
            events: events.to_vec(),
            movements: self.events.movements(),
            actor: self.actor.clone(),
            key: self.key.clone(),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            traceparent: self.traceparent.clone(),
            time: self.time,
        };
        serde_json::to_string(&json).expect("a body has only text keys and serialisable values")
    }

    /// Reads the body that stands behind an envelope.
    ///
    /// # Errors
    /// When the format is newer than this program, the envelope is a fence's, the JSON does not
    /// fit, or the movements are not those of the events.
    pub fn decode(envelope: &Envelope, body: &str) -> Result<Self, Unreadable> {
        match kind_of(envelope)? {
            AggregateType::Users => Self::from_json(body, Events::Users),
            AggregateType::Orders => Self::from_json(body, Events::Orders),
            AggregateType::Inventory => Self::from_json(body, Events::Inventory),
            AggregateType::Fence => Err(Unreadable::Body("a fence has no events".to_owned())),
        }
    }

    fn from_json<E: for<'de> Deserialize<'de>>(
        body: &str,
        events: fn(Vec<E>) -> Events,
    ) -> Result<Self, Unreadable> {
        let json: BodyJson<E> =
            serde_json::from_str(body).map_err(|error| Unreadable::Body(error.to_string()))?;
        Ok(Self {
            events: checked(events(json.events), &json.movements)?,
            actor: json.actor,
            key: json.key,
            correlation_id: json.correlation_id,
            causation_id: json.causation_id,
            traceparent: json.traceparent,
            time: json.time,
        })
    }
}

#[cfg(test)]
mod tests {
    use domain::inventory::MovementReason;
    use domain::sku::Sku;

    use super::*;
    use crate::envelope::RecordId;

    fn record() -> Record {
        let envelope = Envelope {
            format: FORMAT,
            id: RecordId(Uuid::from_u128(1)),
            epoch: 2,
            aggregate_type: AggregateType::Inventory,
            aggregate_id: "A".into(),
            version: 3,
        };
        let moved = InventoryEvent::StockMoved {
            sku: Sku::parse("A").unwrap(),
            quantity: -4,
            reason: MovementReason::Damaged,
            reference: None,
        };
        let body = Body {
            events: Events::Inventory(vec![moved]),
            actor: Actor::Operator,
            key: Some(RecordedKey {
                key: "k".into(),
                fingerprint: "f".into(),
            }),
            correlation_id: Uuid::from_u128(5),
            causation_id: None,
            traceparent: None,
            time: Time::from_microseconds(6),
        };
        Record { envelope, body }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        assert_eq!(Record::decode(&record().encode()), Ok(record()));
    }

    /// Format 1 is in logs that are kept for ever; a reader of any later version reads it.
    #[test]
    fn format_1_stays_readable() {
        let bytes = concat!(
            r#"{"format":"001","id":"00000000-0000-0000-0000-000000000001","epoch":"00000000000000000002","#,
            r#""version":"00000000000000000003","type":"inventory","aggregate":"A","body":{"events":[{"type":"stock-moved","#,
            r#""sku":"A","quantity":-4,"reason":"damaged","reference":null}],"movements":[{"sku":"A","quantity":-4}],"#,
            r#""actor":{"type":"operator"},"key":{"key":"k","fingerprint":"f"},"correlation_id":"00000000-0000-0000-0000-000000000005","#,
            r#""time":"1970-01-01T00:00:00.000006Z"}}"#
        );
        assert_eq!(Record::decode(bytes.as_bytes()), Ok(record()));
        assert_eq!(std::str::from_utf8(&record().encode()), Ok(bytes));
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let mut newer = record();
        newer.envelope.format = FORMAT + 1;
        let error = Record::decode(&newer.encode()).unwrap_err();
        assert_eq!(error, Unreadable::NewerFormat { found: 2, known: 1 });
    }

    #[test]
    fn movements_that_do_not_follow_from_the_events_are_refused() {
        let text = String::from_utf8(record().encode()).unwrap();
        let forged = text.replace(
            r#""movements":[{"sku":"A","quantity":-4}]"#,
            r#""movements":[]"#,
        );
        assert!(matches!(
            Record::decode(forged.as_bytes()),
            Err(Unreadable::Body(_))
        ));
        let (envelope, body) = Envelope::decode(forged.as_bytes()).unwrap();
        assert!(matches!(
            Recalled::decode(&envelope, body),
            Err(Unreadable::Body(_))
        ));
    }
}
