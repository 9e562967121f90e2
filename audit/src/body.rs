//! Reads the body of a record: what happened, as far as a promise depends on it.
//!
//! One flat shape takes every event of format 1; [`Event`] then says which fields each must have.
//! What no check looks at (sealed data) is passed over.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::checks::Check;
use crate::entry::{self, Entry, Kind};
use crate::evidence::LedgerEntry;
use crate::place::Place;
use crate::report::Findings;
use crate::time;

/// The newest format that is read here.
const FORMAT: u16 = 1;

/// Units of one SKU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Units<'a> {
    pub(crate) sku: &'a str,
    pub(crate) quantity: i64,
}

/// A record's body.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) events: Vec<Event<'a>>,
    /// As the record states them.
    pub(crate) movements: Vec<Units<'a>>,
    pub(crate) key: Option<&'a str>,
    pub(crate) actor: Actor<'a>,
    /// Microseconds since 1970.
    pub(crate) time: i64,
}

/// Who asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Actor<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) id: Option<Uuid>,
    role: Option<&'a str>,
    email_hash: Option<&'a str>,
}

/// An event that a promise depends on.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    OrderPlaced(Placed<'a>),
    OrderCancelled {
        returned: Vec<Units<'a>>,
        reason: Option<Cow<'a, str>>,
        /// Microseconds since 1970.
        at: i64,
    },
    ItemCreated {
        sku: &'a str,
        terms: Terms<'a>,
    },
    ItemChanged(Terms<'a>),
    ItemDiscontinued,
    StockMoved {
        sku: &'a str,
        quantity: i64,
        reason: Cow<'a, str>,
        reference: Option<Cow<'a, str>>,
    },
    UserRegistered(Registered<'a>),
    RoleChanged {
        role: &'a str,
    },
    Other,
}

/// A placed order.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) id: &'a str,
    pub(crate) user: Uuid,
    pub(crate) lines: Vec<Line<'a>>,
    pub(crate) total: Money,
    /// Microseconds since 1970.
    pub(crate) at: i64,
}

/// What the catalogue says of an item.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) price: Money,
    pub(crate) category: Option<Cow<'a, str>>,
}

/// A user who came.
#[derive(Debug)]
pub(crate) struct Registered<'a> {
    pub(crate) id: &'a str,
    pub(crate) email_hash: &'a str,
    pub(crate) key: Uuid,
    pub(crate) role: &'a str,
    /// Microseconds since 1970.
    pub(crate) at: i64,
}

/// A line of an order.
#[derive(Debug, Hash, Deserialize)]
pub(crate) struct Line<'a> {
    pub(crate) sku: &'a str,
    #[serde(borrow)]
    pub(crate) name: Cow<'a, str>,
    pub(crate) quantity: i64,
    pub(crate) unit_price: Money,
    pub(crate) total: Money,
}

/// An amount in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Money {
    pub(crate) amount: i64,
    pub(crate) currency: Currency,
}

/// The three letters of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "&str")]
pub(crate) struct Currency([u8; 3]);

impl TryFrom<&str> for Currency {
    type Error = &'static str;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        let letters = text.as_bytes().try_into();
        letters
            .map(Self)
            .map_err(|_| "a currency has three letters")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

#[derive(Deserialize)]
struct BodyJson<'a> {
    #[serde(borrow)]
    events: Vec<EventJson<'a>>,
    movements: Vec<Units<'a>>,
    key: Option<KeyJson<'a>>,
    #[serde(borrow)]
    actor: Actor<'a>,
    time: &'a str,
}

#[derive(Deserialize)]
struct KeyJson<'a> {
    key: &'a str,
}

#[derive(Deserialize)]
struct EventJson<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<&'a str>,
    sku: Option<&'a str>,
    quantity: Option<i64>,
    #[serde(borrow)]
    lines: Option<Vec<Line<'a>>>,
    total: Option<Money>,
    returned: Option<Vec<Units<'a>>>,
    #[serde(default, deserialize_with = "plain")]
    email_hash: Option<&'a str>,
    #[serde(default, deserialize_with = "plain")]
    key_id: Option<&'a str>,
    #[serde(default, deserialize_with = "plain")]
    role: Option<&'a str>,
    #[serde(default, deserialize_with = "plain")]
    user_id: Option<&'a str>,
    #[serde(default, deserialize_with = "plain")]
    at: Option<&'a str>,
    name: Option<Cow<'a, str>>,
    price: Option<Money>,
    category: Option<Cow<'a, str>>,
    reason: Option<Cow<'a, str>>,
    reference: Option<Cow<'a, str>>,
}

/// A string without escapes, as the ids, words and times of events are. Another one is passed over
/// like any value that nobody looks at: it may belong to an event that has no such field.
fn plain<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de str>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let text = Option::<Text<'de>>::deserialize(json)?;
    Ok(text.and_then(|text| match text.0 {
        Cow::Borrowed(plain) => Some(plain),
        Cow::Owned(_) => None,
    }))
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it has format {0}, and this audit reads up to {FORMAT}; use the newer program")]
    NewerFormat(u16),
    #[error("it is not the JSON of a record ({0})")]
    Json(#[from] serde_json::Error),
    #[error("its time is malformed")]
    Time,
    #[error("an event {0:?} of {1:?} is not known, or fields of it are missing")]
    Event(String, Kind),
}

impl<'a> Body<'a> {
    /// Reads the body of a record.
    pub(crate) fn read(entry: &Entry<'a>) -> Result<Self, Unreadable> {
        if entry.format > FORMAT {
            return Err(Unreadable::NewerFormat(entry.format));
        }
        let json: BodyJson<'a> = serde_json::from_str(entry.body)?;
        let events = json.events.into_iter().map(|event| {
            let name = event.kind;
            Event::read(entry.kind, event)
                .ok_or_else(|| Unreadable::Event(name.to_owned(), entry.kind))
        });
        Ok(Self {
            events: events.collect::<Result<_, _>>()?,
            movements: json.movements,
            key: json.key.map(|key| key.key),
            actor: json.actor,
            time: time::microseconds(json.time).ok_or(Unreadable::Time)?,
        })
    }

    /// The entry that the stock ledger has of a movement of this record.
    pub(crate) fn ledger_entry(
        &self,
        place: Place,
        units: &Units<'a>,
        order: Option<Uuid>,
    ) -> LedgerEntry<'_> {
        let moves_it = |event: &&Event<'a>| event.moves().any(|(moved, _)| moved == units.sku);
        let event = self.events.iter().find(moves_it);
        LedgerEntry {
            place: Some(place),
            at: event.and_then(Event::at).unwrap_or(self.time),
            quantity: units.quantity,
            reason: event.map_or("", Event::reason),
            order,
            actor: self.actor.kind,
            actor_id: self.actor.id,
            reference: event.and_then(Event::reference),
        }
    }

    /// A record's movements are a function of its events: the sum per SKU, sorted, without zeros.
    pub(crate) fn check_movements(&self, entry: &Entry<'_>, place: Place, findings: &mut Findings) {
        findings.looked(Check::Movements);
        let expected = sums(self.events.iter().flat_map(Event::moves));
        let stated = self.movements.iter();
        let stated = stated.map(|units| (units.sku, i128::from(units.quantity)));
        if !expected.iter().copied().eq(stated) {
            let plain = |units: &Units<'a>| (units.sku, units.quantity);
            let stated: Vec<_> = self.movements.iter().map(plain).collect();
            let found = format!("Its events move {expected:?}, but it states {stated:?}.");
            findings.broken(Check::Movements, entry.name(), place, found);
        }
    }
}

/// Units per SKU, sorted, without zeros.
fn sums<'a>(moves: impl Iterator<Item = (&'a str, i128)>) -> Vec<(&'a str, i128)> {
    let mut sums: Vec<(&str, i128)> = moves.collect();
    sums.sort_unstable();
    sums.dedup_by(|next, sum| {
        let same = next.0 == sum.0;
        if same {
            sum.1 += next.1;
        }
        same
    });
    sums.retain(|(_, quantity)| *quantity != 0);
    sums
}

impl<'a> EventJson<'a> {
    fn terms(self) -> Option<Terms<'a>> {
        Some(Terms {
            name: self.name?,
            price: self.price?,
            category: self.category,
        })
    }
}

impl<'a> Event<'a> {
    /// `None` where the event does not belong to this kind of aggregate or lacks a field, or where
    /// one is malformed.
    fn read(kind: Kind, event: EventJson<'a>) -> Option<Self> {
        Some(match (kind, event.kind) {
            (Kind::Orders, "order-placed") => Self::OrderPlaced(Placed {
                id: event.id?,
                user: entry::uuid(event.user_id?)?,
                lines: event.lines?,
                total: event.total?,
                at: time::microseconds(event.at?)?,
            }),
            (Kind::Orders, "order-cancelled") => Self::OrderCancelled {
                returned: event.returned?,
                reason: event.reason,
                at: time::microseconds(event.at?)?,
            },
            (Kind::Inventory, "item-created") => Self::ItemCreated {
                sku: event.sku?,
                terms: event.terms()?,
            },
            (Kind::Inventory, "item-changed") => Self::ItemChanged(event.terms()?),
            (Kind::Inventory, "item-discontinued") => Self::ItemDiscontinued,
            (Kind::Inventory, "stock-moved") => Self::StockMoved {
                sku: event.sku?,
                quantity: event.quantity?,
                reason: event.reason?,
                reference: event.reference,
            },
            (Kind::Users, "user-registered") => Self::UserRegistered(Registered {
                id: event.id?,
                email_hash: event.email_hash?,
                key: entry::uuid(event.key_id?)?,
                role: event.role?,
                at: time::microseconds(event.at?)?,
            }),
            (Kind::Users, "role-changed") => Self::RoleChanged { role: event.role? },
            (
                Kind::Users,
                "user-renamed" | "password-changed" | "session-started" | "session-refreshed"
                | "session-ended",
            ) => Self::Other,
            _ => return None,
        })
    }

    /// Why it moves units, in the word of the stock ledger.
    fn reason(&self) -> &str {
        match self {
            Self::OrderPlaced(_) => "order",
            Self::OrderCancelled { .. } => "cancellation",
            Self::StockMoved { reason, .. } => reason,
            _ => "",
        }
    }

    /// When it says that it happened; most leave that to their record.
    fn at(&self) -> Option<i64> {
        match self {
            Self::OrderPlaced(placed) => Some(placed.at),
            Self::OrderCancelled { at, .. } => Some(*at),
            _ => None,
        }
    }

    /// What whoever moved the units calls it.
    fn reference(&self) -> Option<&str> {
        match self {
            Self::StockMoved { reference, .. } => reference.as_deref(),
            _ => None,
        }
    }

    /// What it does to what is available, by SKU.
    fn moves(&self) -> impl Iterator<Item = (&'a str, i128)> {
        let (lines, returned, moved) = match self {
            Self::OrderPlaced(placed) => (&*placed.lines, &[][..], None),
            Self::OrderCancelled { returned, .. } => (&[][..], &**returned, None),
            Self::StockMoved { sku, quantity, .. } => (&[][..], &[][..], Some((*sku, *quantity))),
            Self::ItemCreated { .. }
            | Self::ItemChanged(_)
            | Self::ItemDiscontinued
            | Self::UserRegistered(_)
            | Self::RoleChanged { .. }
            | Self::Other => (&[][..], &[][..], None),
        };
        let taken = lines
            .iter()
            .map(|line| (line.sku, -i128::from(line.quantity)));
        let given = returned
            .iter()
            .map(|units| (units.sku, i128::from(units.quantity)));
        let moved = moved.map(|(sku, quantity)| (sku, i128::from(quantity)));
        taken.chain(given).chain(moved)
    }
}
