//! What a row of the read models says, as one number: log and rows are compared without keeping
//! the text of either.
//!
//! The numbers are FNV hashes. They find what was changed by a mistake or by hand, and not the
//! work of somebody who looks for another text with the same number.

use std::hash::{Hash, Hasher};

use fnv::FnvHasher;
use uuid::Uuid;

use crate::body::{Line, Money};
use crate::place::Place;

/// What an order's lines and its total say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderDigest(u64);

impl OrderDigest {
    /// Of a row: the JSON of its lines, its total and its currency. `None` where it cannot be read.
    pub fn of_row(lines: &str, total: i64, currency: &str) -> Option<Self> {
        let lines: Vec<Line<'_>> = serde_json::from_str(lines).ok()?;
        let (amount, currency) = (total, currency.try_into().ok()?);
        Some(Self::new(&lines, Money { amount, currency }))
    }

    pub(crate) fn new(lines: &[Line<'_>], total: Money) -> Self {
        Self(digest(&(lines, total)))
    }
}

/// What an entry of the stock ledger says; of many, the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EntryDigest(u64);

impl EntryDigest {
    pub(crate) fn new(
        place: Option<Place>,
        quantity: i64,
        reason: &str,
        order: Option<Uuid>,
    ) -> Self {
        let place = place.map(|place| {
            let of = place.partition;
            (of.topic as u8, of.number, place.offset)
        });
        let order = order.map(|order| order.as_u128());
        Self(digest(&(place, quantity, reason, order)))
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

fn digest(what: &impl Hash) -> u64 {
    let mut hasher = FnvHasher::default();
    what.hash(&mut hasher);
    hasher.finish()
}
