//! From a fold to the gate's data, piece by piece, so that what was handed over takes no room.

use std::collections::HashMap;
use std::sync::Arc;

use record::AggregateType;
use uuid::Uuid;

use super::{Fold, FoldError, text_of};
use crate::commands::users::{UserSnapshot, email_claim};
use crate::gate::{AggregateKey, Claim, ItemValue, KeyEntry, Rebuilt};

/// The gate's data.
pub struct Pieces(Box<dyn Iterator<Item = Rebuilt> + Send>);

impl Iterator for Pieces {
    type Item = Rebuilt;

    fn next(&mut self) -> Option<Rebuilt> {
        self.0.next()
    }
}

impl Fold {
    /// The gate's data. `wrapped_keys` are the users' personal keys by id.
    ///
    /// # Errors
    /// [`FoldError::NoItem`].
    pub fn pieces(mut self, wrapped_keys: HashMap<Uuid, String>) -> Result<Pieces, FoldError> {
        let oldest = self.oldest();
        let items = self.take_items()?;
        let users = self.users.into_iter().flat_map(move |(id, user)| {
            let Some(existing) = &user.state.existing else {
                return vec![];
            };
            let claim = Claim {
                name: email_claim(&existing.email_hash),
                owner: Arc::clone(&id),
            };
            let wrapped_key = wrapped_keys.get(&existing.key_id.0).cloned();
            let snapshot = UserSnapshot {
                user: user.state,
                wrapped_key: wrapped_key.unwrap_or_default(),
            };
            let snapshot = text_of(&snapshot);
            vec![
                Rebuilt::Claim(claim),
                aggregate(AggregateType::Users, id, user.version, snapshot),
            ]
        });
        let orders = self.orders.into_iter().filter_map(move |(id, order)| {
            let (id, version) = (id.with_text(|text| Arc::from(text)), order.version);
            let snapshot = order.snapshot(oldest)?;
            Some(aggregate(AggregateType::Orders, id, version, snapshot))
        });
        let keys = self
            .keys
            .counting(oldest)
            .map(|(key, folded)| Rebuilt::Key {
                entry: KeyEntry {
                    key: key.to_string(),
                    fingerprint: folded.fingerprint.to_string(),
                },
                record: folded.record,
                aggregate_id: folded.aggregate_id.with_text(|text| Arc::from(text)),
                position: folded.position(),
            });
        let pieces = items.into_iter().chain(users).chain(orders).chain(keys);
        Ok(Pieces(Box::new(pieces)))
    }

    fn take_items(&mut self) -> Result<Vec<Rebuilt>, FoldError> {
        let mut pieces = Vec::with_capacity(2 * self.items.len());
        for (id, item) in std::mem::take(&mut self.items) {
            let Some(existing) = &item.state.existing else {
                continue;
            };
            let stock = self.stock.remove(&existing.sku).unwrap_or_default();
            if stock.available < 0 {
                // S1 is broken. Nothing more is sold of it; the audit says since when.
                tracing::error!(sku = %existing.sku, available = stock.available, "more is sold than was supplied; run the audit");
            }
            let value = ItemValue {
                available: stock.available,
                supplied: stock.supplied,
                terms_version: item.terms_version,
                terms: existing.terms.clone(),
            };
            pieces.push(Rebuilt::Item(existing.sku.clone(), value));
            let snapshot = text_of(&item.state);
            pieces.push(aggregate(
                AggregateType::Inventory,
                id,
                item.version,
                snapshot,
            ));
        }
        match self.stock.keys().next() {
            Some(sku) => Err(FoldError::NoItem(sku.clone())),
            None => Ok(pieces),
        }
    }
}

fn aggregate(kind: AggregateType, id: Arc<str>, version: u64, snapshot: String) -> Rebuilt {
    Rebuilt::Aggregate {
        key: AggregateKey { kind, id },
        version,
        snapshot,
    }
}
