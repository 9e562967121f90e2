//! The fold of the valid log: what the gate's data is when nothing is pending.
//!
//! Pure. Partitions may be folded in any order; versions are checked per aggregate, stock is a
//! sum, and everything is put together at the end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::inventory::{InventoryEvent, InventoryItem};
use domain::order::Order;
use domain::sku::Sku;
use domain::time::Time;
use domain::user::User;
use record::reader::{HighestFence, Standing, Succession, succession};
use record::{
    AggregateType, Body, Envelope, Events, Layout, Partition, Position, Record, RecordId,
};
use uuid::Uuid;

use crate::commands::users::{UserSnapshot, email_claim};
use crate::gate::{AggregateKey, Claim, ItemValue, KeyEntry, Rebuilt};

/// Why a log cannot be folded. A person has to look; nothing is skipped.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// A record cannot be read.
    #[error("the record at {position} cannot be read: {source}")]
    Unreadable {
        /// Where it stands.
        position: Position,
        /// Why.
        source: record::Unreadable,
    },
    /// A version is missing.
    #[error(
        "the record at {position} has version {version} of {aggregate}, which has version {known}"
    )]
    Gap {
        /// Where it stands.
        position: Position,
        /// Whose.
        aggregate: String,
        /// The record's version.
        version: u64,
        /// The aggregate's version.
        known: u64,
    },
    /// Another node has begun a higher epoch.
    #[error("epoch {0} has begun; another node is ahead")]
    HigherFence(u64),
    /// Stock moved of an item that never came into the catalogue.
    #[error("stock of {0} moved, but no record creates the item")]
    NoItem(Sku),
    /// A fence that an earlier epoch placed is not there any more.
    #[error(
        "{partition} has no fence of epoch {epoch} at offset {offset}: the topic was replaced or shortened; restore it"
    )]
    FenceMissing {
        /// The partition.
        partition: String,
        /// The epoch.
        epoch: u64,
        /// Where its fence stood.
        offset: u64,
    },
}

#[derive(Debug, Default)]
struct Versioned<A> {
    version: u64,
    state: A,
    /// For items: the version that last stated the terms.
    terms_version: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Stock {
    available: i64,
    supplied: i64,
}

#[derive(Debug)]
struct FoldedKey {
    fingerprint: String,
    record: RecordId,
    aggregate_id: Arc<str>,
    position: Position,
    epoch: u64,
    time: Time,
}

/// A fold up to the fences of one epoch.
#[derive(Debug)]
pub struct Fold {
    epoch: u64,
    fences: HashMap<Partition, HighestFence>,
    /// Where this epoch's own fence was found, by partition.
    own_fences: BTreeMap<Partition, u64>,
    /// Fences of the last opened epoch that must still be there.
    expected: HashMap<(Partition, u64), u64>,
    partitions: usize,
    users: HashMap<Arc<str>, Versioned<User>>,
    orders: HashMap<Arc<str>, Versioned<Order>>,
    items: HashMap<Arc<str>, Versioned<InventoryItem>>,
    stock: HashMap<Sku, Stock>,
    keys: HashMap<String, FoldedKey>,
    newest: Time,
    folded: u64,
}

impl Fold {
    /// An empty fold up to the fences of `epoch`.
    pub fn new(epoch: u64, layout: &Layout) -> Self {
        Self {
            epoch,
            fences: HashMap::new(),
            own_fences: BTreeMap::new(),
            expected: HashMap::new(),
            partitions: layout.partitions_of_record().len(),
            users: HashMap::new(),
            orders: HashMap::new(),
            items: HashMap::new(),
            stock: HashMap::new(),
            keys: HashMap::new(),
            newest: Time::from_microseconds(0),
            folded: 0,
        }
    }

    /// Expects the fences of the epoch that was opened last where they stood.
    pub fn expect_fences(&mut self, epoch: u64, fences: &BTreeMap<String, u64>, layout: &Layout) {
        for partition in layout.partitions_of_record() {
            if let Some(offset) = fences.get(&record::epochs::partition_name(partition)) {
                self.expected.insert((partition, *offset), epoch);
            }
        }
    }

    /// Records folded so far.
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Whether this epoch's fence was found in every partition.
    pub fn is_complete(&self) -> bool {
        self.own_fences.len() == self.partitions
    }

    /// Whether this epoch's fence was found in this partition: nothing behind it is taken in.
    pub fn is_complete_in(&self, partition: Partition) -> bool {
        self.own_fences.contains_key(&partition)
    }

    /// Takes in the next entry of a partition; ignores what stands behind this epoch's fence.
    ///
    /// # Errors
    /// See [`FoldError`].
    pub fn take_in(&mut self, position: Position, payload: &[u8]) -> Result<(), FoldError> {
        if self.is_complete_in(position.partition) {
            return Ok(());
        }
        self.folded += 1;
        let unreadable = |source| FoldError::Unreadable { position, source };
        let (envelope, body) = Envelope::decode(payload).map_err(unreadable)?;
        match self
            .fences
            .entry(position.partition)
            .or_default()
            .judge(&envelope)
        {
            Standing::Void => Ok(()),
            Standing::Fence => self.fence(position, envelope.epoch),
            Standing::Valid => {
                let body = Body::decode(&envelope, body).map_err(unreadable)?;
                self.record(position, Record { envelope, body })
            }
        }
    }

    fn fence(&mut self, position: Position, epoch: u64) -> Result<(), FoldError> {
        if epoch > self.epoch {
            return Err(FoldError::HigherFence(epoch));
        }
        if epoch == self.epoch {
            self.own_fences.insert(position.partition, position.offset);
        }
        if self.expected.get(&(position.partition, position.offset)) == Some(&epoch) {
            self.expected.remove(&(position.partition, position.offset));
        }
        Ok(())
    }

    fn record(&mut self, position: Position, record: Record) -> Result<(), FoldError> {
        let Record { envelope, body } = record;
        let id: Arc<str> = Arc::from(envelope.aggregate_id.as_str());
        let slot = match &body.events {
            Events::Users(_) => &mut self.users.entry(Arc::clone(&id)).or_default().version,
            Events::Orders(_) => &mut self.orders.entry(Arc::clone(&id)).or_default().version,
            Events::Inventory(_) => &mut self.items.entry(Arc::clone(&id)).or_default().version,
        };
        match succession(*slot, envelope.version) {
            Succession::Duplicate => return Ok(()),
            Succession::Gap => {
                return Err(FoldError::Gap {
                    position,
                    aggregate: format!("{}:{id}", envelope.aggregate_type.as_str()),
                    version: envelope.version,
                    known: *slot,
                });
            }
            Succession::Next => *slot = envelope.version,
        }
        self.apply(&id, envelope.version, &body.events);
        self.newest = self.newest.max(body.time);
        if let Some(KeyEntry { key, fingerprint }) = body.key {
            let folded = FoldedKey {
                fingerprint,
                record: envelope.id,
                aggregate_id: id,
                position,
                epoch: envelope.epoch,
                time: body.time,
            };
            // Of several valid records of one key, the one of the highest epoch counts.
            if self
                .keys
                .get(&key)
                .is_none_or(|known| known.epoch < folded.epoch)
            {
                self.keys.insert(key, folded);
            }
        }
        Ok(())
    }

    fn apply(&mut self, id: &Arc<str>, version: u64, events: &Events) {
        for movement in events.movements() {
            let stock = self.stock.entry(movement.sku).or_default();
            stock.available += movement.quantity;
            if events.aggregate_type() == AggregateType::Inventory {
                stock.supplied += movement.quantity;
            }
        }
        match events {
            Events::Users(events) => {
                let user = &mut self.users.entry(Arc::clone(id)).or_default().state;
                events.iter().for_each(|event| user.apply_event(event));
            }
            Events::Orders(events) => {
                let order = &mut self.orders.entry(Arc::clone(id)).or_default().state;
                events.iter().for_each(|event| order.apply_event(event));
            }
            Events::Inventory(events) => {
                let item = self.items.entry(Arc::clone(id)).or_default();
                for event in events {
                    item.state.apply_event(event);
                    if !matches!(event, InventoryEvent::StockMoved { .. }) {
                        item.terms_version = version;
                    }
                }
            }
        }
    }

    /// The gate's data and where this epoch's fences stand. `wrapped_keys` are the users' personal
    /// keys by id; idempotency keys older than `key_retention`, counted from the newest record's
    /// time, are left out.
    ///
    /// # Errors
    /// [`FoldError::FenceMissing`] and [`FoldError::NoItem`].
    pub fn finish(
        mut self,
        wrapped_keys: &HashMap<Uuid, String>,
        key_retention: Duration,
    ) -> Result<(Vec<Rebuilt>, BTreeMap<Partition, u64>), FoldError> {
        if let Some(((partition, offset), epoch)) = self.expected.iter().next() {
            let partition = partition.to_string();
            return Err(FoldError::FenceMissing {
                partition,
                epoch: *epoch,
                offset: *offset,
            });
        }
        let mut pieces = Vec::new();
        self.finish_items(&mut pieces)?;
        for (id, user) in self.users {
            let Some(existing) = &user.state.existing else {
                continue;
            };
            let name = email_claim(&existing.email_hash);
            pieces.push(Rebuilt::Claim(Claim {
                name,
                owner: Arc::clone(&id),
            }));
            let wrapped_key = wrapped_keys
                .get(&existing.key_id.0)
                .cloned()
                .unwrap_or_default();
            let snapshot = UserSnapshot {
                user: user.state,
                wrapped_key,
            };
            pieces.push(aggregate(AggregateType::Users, id, user.version, &snapshot));
        }
        for (id, order) in self.orders {
            pieces.push(aggregate(
                AggregateType::Orders,
                id,
                order.version,
                &order.state,
            ));
        }
        let retention = i64::try_from(key_retention.as_micros()).unwrap_or(i64::MAX);
        let oldest = self.newest.microseconds().saturating_sub(retention);
        for (key, folded) in self.keys {
            if folded.time.microseconds() >= oldest {
                pieces.push(Rebuilt::Key {
                    entry: KeyEntry {
                        key,
                        fingerprint: folded.fingerprint,
                    },
                    record: folded.record,
                    aggregate_id: folded.aggregate_id,
                    position: folded.position,
                });
            }
        }
        Ok((pieces, self.own_fences))
    }

    fn finish_items(&mut self, pieces: &mut Vec<Rebuilt>) -> Result<(), FoldError> {
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
            pieces.push(aggregate(
                AggregateType::Inventory,
                id,
                item.version,
                &item.state,
            ));
        }
        match self.stock.keys().next() {
            Some(sku) => Err(FoldError::NoItem(sku.clone())),
            None => Ok(()),
        }
    }
}

fn aggregate<S: serde::Serialize>(
    kind: AggregateType,
    id: Arc<str>,
    version: u64,
    snapshot: &S,
) -> Rebuilt {
    let snapshot = serde_json::to_string(snapshot)
        .expect("a snapshot has only text keys and serialisable values");
    Rebuilt::Aggregate {
        key: AggregateKey { kind, id },
        version,
        snapshot,
    }
}
