//! What one epoch knows, and how a SKU without a value is judged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use domain::sku::Sku;
use record::{AggregateType, Partition, Position, RecordId};

use super::generations::Generations;
use crate::gate::{AggregateKey, GateError, ItemValue, Pending, Rebuilt};

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) items: HashMap<Sku, ItemValue>,
    pub(super) aggregates: HashMap<AggregateKey, Aggregate>,
    /// The latest pending record of each aggregate that has one.
    pub(super) latest: HashMap<AggregateKey, RecordId>,
    pub(super) pending: BTreeMap<RecordId, Decided>,
    /// Owners by claim.
    pub(super) claims: HashMap<String, Arc<str>>,
    pub(super) keys: HashMap<String, KeyOwner>,
    pub(super) remembered: Generations,
    pub(super) tail_starts: BTreeMap<Partition, u64>,
}

#[derive(Clone)]
pub(super) struct Aggregate {
    pub(super) version: u64,
    pub(super) snapshot: String,
}

/// A pending record with its version.
#[derive(Clone)]
pub(super) struct Decided {
    pub(super) version: u64,
    pub(super) record: Pending,
}

/// The attempt to which an idempotency key belongs.
#[derive(Clone)]
pub(super) struct KeyOwner {
    pub(super) fingerprint: String,
    pub(super) record: RecordId,
    /// `None` for a key of an earlier epoch: its attempt cannot come again.
    pub(super) version: Option<u64>,
    pub(super) aggregate_id: Arc<str>,
    pub(super) position: Option<Position>,
}

/// What is known of a SKU.
pub(super) enum Known<'a> {
    Value(&'a ItemValue),
    Pending(RecordId),
    Unknown,
}

impl State {
    /// A SKU is unknown only if its item has neither value nor snapshot nor anything pending;
    /// other combinations without a value are damage, never "unknown" (step 2).
    pub(super) fn item(&self, sku: &Sku) -> Result<Known<'_>, GateError> {
        if let Some(value) = self.items.get(sku) {
            return Ok(Known::Value(value));
        }
        let item = item_of(sku);
        match (self.aggregates.contains_key(&item), self.latest.get(&item)) {
            (false, None) => Ok(Known::Unknown),
            (true, Some(record)) => Ok(Known::Pending(*record)),
            (true, None) => Err(damaged(format!("item {sku} has a snapshot, but no value"))),
            (false, Some(_)) => Err(damaged(format!("item {sku} has no snapshot"))),
        }
    }

    /// An aggregate that has something pending, or a SKU value, exists.
    pub(super) fn aggregate(&self, key: &AggregateKey) -> Result<Option<&Aggregate>, GateError> {
        let found = self.aggregates.get(key);
        let contradicted = || {
            let sku = Sku::parse(&key.id)
                .ok()
                .filter(|_| key.kind == AggregateType::Inventory);
            self.latest.contains_key(key) || sku.is_some_and(|sku| self.items.contains_key(&sku))
        };
        if found.is_none() && contradicted() {
            return Err(damaged(format!("{key} has no snapshot")));
        }
        Ok(found)
    }

    /// Takes in one piece of a rebuild.
    pub(super) fn take_in(&mut self, piece: Rebuilt) {
        match piece {
            Rebuilt::Item(sku, value) => {
                self.items.insert(sku, value);
            }
            Rebuilt::Aggregate {
                key,
                version,
                snapshot,
            } => {
                self.aggregates.insert(key, Aggregate { version, snapshot });
            }
            Rebuilt::Claim(claim) => {
                self.claims.insert(claim.name, claim.owner);
            }
            Rebuilt::Key {
                entry,
                record,
                aggregate_id,
                position,
            } => {
                let owner = KeyOwner {
                    fingerprint: entry.fingerprint,
                    record,
                    version: None,
                    aggregate_id,
                    position: Some(position),
                };
                self.keys.insert(entry.key, owner);
            }
        }
    }
}

/// The aggregate behind a SKU.
pub(super) fn item_of(sku: &Sku) -> AggregateKey {
    AggregateKey {
        kind: AggregateType::Inventory,
        id: sku.as_str().into(),
    }
}

pub(super) fn damaged(what: String) -> GateError {
    GateError::Damaged(what)
}
