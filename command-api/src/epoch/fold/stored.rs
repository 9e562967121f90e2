//! A fold as a snapshot has it: its parts, one after another, so that neither side holds it twice.

use std::sync::Arc;
use std::time::Duration;

use domain::sku::Sku;
use domain::time::Time;
use record::Partition;
use record::reader::HighestFence;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::compact::Compact;
use super::keys::FoldedKey;
use super::orders::StoredOrder;
use super::{Fold, FoldError, Place, Stock, Versioned, microseconds, text_of};

/// A part of a fold. Aggregates are the JSON of the domain's, as in the gate.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    /// How far a partition was folded: next offset, highest fence, last record, newest time in
    /// microseconds.
    Place(Partition, u64, u64, Option<(u64, record::RecordId)>, i64),
    /// The newest time, in microseconds.
    Newest(i64),
    User(Arc<str>, u64, String),
    Item(Arc<str>, u64, u64, String),
    Stock(Sku, i64, i64),
    Order(Compact, StoredOrder),
    Key(Compact, FoldedKey),
}

/// Every part of a fold. It is swept before ([`Fold::sweep`]).
pub(crate) fn parts(fold: &Fold) -> impl Iterator<Item = Part> {
    let places = fold.places.iter().map(|(partition, place)| {
        let Place {
            next, fence, last, ..
        } = place;
        Part::Place(*partition, *next, fence.0, *last, place.newest)
    });
    let newest = std::iter::once(Part::Newest(fold.newest.microseconds()));
    let users = fold
        .users
        .iter()
        .map(|(id, user)| Part::User(Arc::clone(id), user.version, text_of(&user.state)));
    let items = fold.items.iter().map(|(id, item)| {
        let (version, terms_version) = (item.version, item.terms_version);
        Part::Item(Arc::clone(id), version, terms_version, text_of(&item.state))
    });
    let stock = fold
        .stock
        .iter()
        .map(|(sku, stock)| Part::Stock(sku.clone(), stock.available, stock.supplied));
    let orders = fold.orders.iter();
    let orders = orders.map(|(id, order)| Part::Order(id.clone(), order.stored()));
    let keys = fold.keys.entries();
    let keys = keys.map(|(key, folded)| Part::Key(key.clone(), folded.clone()));
    places
        .chain(newest)
        .chain(users)
        .chain(items)
        .chain(stock)
        .chain(orders)
        .chain(keys)
}

impl Fold {
    /// How long keys and finished orders count, in microseconds.
    pub(crate) fn retention(&self) -> i64 {
        self.retention
    }

    /// Whether a fold that was stored with this retention has all that counts with another one.
    pub(crate) fn retention_covers(stored: i64, now: Duration) -> bool {
        microseconds(now) <= stored
    }

    /// Puts a part back.
    ///
    /// # Errors
    /// When an aggregate cannot be read.
    pub(crate) fn restore(&mut self, part: Part) -> Result<(), FoldError> {
        match part {
            Part::Place(partition, next, fence, last, newest) => {
                let place = Place {
                    next,
                    fence: HighestFence(fence),
                    last,
                    newest,
                };
                self.places.insert(partition, place);
            }
            Part::Newest(newest) => self.newest = Time::from_microseconds(newest),
            Part::User(id, version, text) => {
                let user = versioned("user", &id, version, 0, &text)?;
                self.users.insert(id, user);
            }
            Part::Item(id, version, terms_version, text) => {
                let item = versioned("item", &id, version, terms_version, &text)?;
                self.items.insert(id, item);
            }
            Part::Stock(sku, available, supplied) => {
                let stock = Stock {
                    available,
                    supplied,
                };
                self.stock.insert(sku, stock);
            }
            Part::Order(id, stored) => {
                self.orders.insert(id, stored.into());
            }
            Part::Key(key, folded) => self.keys.insert(key, folded),
        }
        Ok(())
    }
}

fn versioned<A: DeserializeOwned>(
    what: &str,
    id: &str,
    version: u64,
    terms_version: u64,
    text: &str,
) -> Result<Versioned<A>, FoldError> {
    let state = serde_json::from_str(text).map_err(|source| FoldError::Snapshot {
        aggregate: format!("{what} {id}"),
        source,
    })?;
    Ok(Versioned {
        version,
        state,
        terms_version,
    })
}
