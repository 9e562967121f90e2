//! Reads the body of a record: what happened, as far as a promise depends on it.
//!
//! One flat shape takes every event of format 1; [`Event`] then says which fields each must have.
//! What no check looks at (names, sealed data, who asked) is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Check;
use crate::entry::{Entry, Kind};
use crate::place::Place;
use crate::report::Findings;
use crate::time;

/// The newest format that is read here.
const FORMAT: u16 = 1;

/// Units of one SKU.
pub(crate) type Units<'a> = (&'a str, i64);

/// A record's body.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) events: Vec<Event<'a>>,
    /// As the record states them.
    pub(crate) movements: Vec<Units<'a>>,
    pub(crate) key: Option<Key<'a>>,
    /// Microseconds since 1970.
    pub(crate) time: i64,
}

/// An event that a promise depends on.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    OrderPlaced(Placed<'a>),
    OrderCancelled { returned: Vec<Units<'a>> },
    ItemCreated { sku: &'a str },
    StockMoved { sku: &'a str, quantity: i64 },
    Other,
}

/// A placed order.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) id: &'a str,
    pub(crate) lines: Vec<Units<'a>>,
    pub(crate) prices: Vec<LinePrice<'a>>,
    pub(crate) total: Money<'a>,
}

/// What a line costs.
#[derive(Debug)]
pub(crate) struct LinePrice<'a> {
    pub(crate) unit: Money<'a>,
    pub(crate) total: Money<'a>,
}

/// An idempotency key as it is recorded.
#[derive(Debug, Deserialize)]
pub(crate) struct Key<'a> {
    pub(crate) key: &'a str,
}

/// An amount in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Money<'a> {
    pub(crate) amount: i64,
    pub(crate) currency: &'a str,
}

#[derive(Deserialize)]
struct BodyJson<'a> {
    #[serde(borrow)]
    events: Vec<EventJson<'a>>,
    movements: Vec<UnitsJson<'a>>,
    key: Option<Key<'a>>,
    time: &'a str,
}

#[derive(Deserialize)]
struct EventJson<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<&'a str>,
    sku: Option<&'a str>,
    quantity: Option<i64>,
    lines: Option<Vec<LineJson<'a>>>,
    total: Option<Money<'a>>,
    returned: Option<Vec<UnitsJson<'a>>>,
}

#[derive(Deserialize)]
struct LineJson<'a> {
    sku: &'a str,
    quantity: i64,
    unit_price: Money<'a>,
    total: Money<'a>,
}

#[derive(Deserialize)]
struct UnitsJson<'a> {
    sku: &'a str,
    quantity: i64,
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
            movements: units(json.movements),
            key: json.key,
            time: time::microseconds(json.time).ok_or(Unreadable::Time)?,
        })
    }

    /// A record's movements are a function of its events: the sum per SKU, sorted, without zeros.
    pub(crate) fn check_movements(&self, entry: &Entry<'_>, place: Place, findings: &mut Findings) {
        findings.looked(Check::Movements);
        let mut sums = BTreeMap::<&str, i128>::new();
        let mut add = |units: &[Units<'a>], sign: i128| {
            for (sku, quantity) in units {
                *sums.entry(sku).or_default() += sign * i128::from(*quantity);
            }
        };
        for event in &self.events {
            match event {
                Event::OrderPlaced(placed) => add(&placed.lines, -1),
                Event::OrderCancelled { returned } => add(returned, 1),
                Event::StockMoved { sku, quantity } => add(&[(sku, *quantity)], 1),
                Event::ItemCreated { .. } | Event::Other => {}
            }
        }
        sums.retain(|_, quantity| *quantity != 0);
        let stated = self.movements.iter().map(|(sku, q)| (*sku, i128::from(*q)));
        if !sums.iter().map(|(sku, q)| (*sku, *q)).eq(stated) {
            let stated = &self.movements;
            let found = format!("Its events move {sums:?}, but it states {stated:?}.");
            findings.broken(Check::Movements, entry.name(), place, found);
        }
    }
}

impl<'a> Event<'a> {
    /// `None` where the event does not belong to this kind of aggregate or lacks a field.
    fn read(kind: Kind, event: EventJson<'a>) -> Option<Self> {
        Some(match (kind, event.kind) {
            (Kind::Orders, "order-placed") => Self::OrderPlaced(Placed::read(event)?),
            (Kind::Orders, "order-cancelled") => Self::OrderCancelled {
                returned: units(event.returned?),
            },
            (Kind::Inventory, "item-created") => Self::ItemCreated { sku: event.sku? },
            (Kind::Inventory, "stock-moved") => Self::StockMoved {
                sku: event.sku?,
                quantity: event.quantity?,
            },
            (Kind::Inventory, "item-changed" | "item-discontinued") => Self::Other,
            (
                Kind::Users,
                "user-registered" | "user-renamed" | "password-changed" | "role-changed"
                | "session-started" | "session-refreshed" | "session-ended",
            ) => Self::Other,
            _ => return None,
        })
    }
}

impl<'a> Placed<'a> {
    fn read(event: EventJson<'a>) -> Option<Self> {
        let lines = event.lines?;
        Some(Self {
            id: event.id?,
            lines: lines.iter().map(|line| (line.sku, line.quantity)).collect(),
            prices: lines
                .iter()
                .map(|line| LinePrice {
                    unit: line.unit_price,
                    total: line.total,
                })
                .collect(),
            total: event.total?,
        })
    }
}

fn units(json: Vec<UnitsJson<'_>>) -> Vec<Units<'_>> {
    json.into_iter()
        .map(|units| (units.sku, units.quantity))
        .collect()
}
