//! The fold of the valid log: what the gate's data is when nothing is pending.
//!
//! Pure. Partitions may be folded in any order, and apart from each other ([`Fold::merge`]):
//! versions are checked per aggregate, stock is a sum, and everything is put together at the end
//! ([`Fold::pieces`]). A fold that was stored on the way and goes on gives the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use domain::inventory::{InventoryEvent, InventoryItem};
use domain::sku::Sku;
use domain::time::Time;
use domain::user::User;
use record::reader::{HighestFence, Standing, Succession, succession};
use record::{AggregateType, Envelope, Events, Partition, Position, Recalled, RecordId};
use serde::{Deserialize, Serialize};

mod compact;
mod keys;
mod orders;
mod pieces;
mod stored;

use self::compact::Compact;
use self::keys::{FoldedKey, Keys};
use self::orders::{Orders, Recorded, sweep};
pub use self::pieces::Pieces;
pub(crate) use self::stored::parts;

/// Records between two sweeps of what will be left out.
const SWEEP_EVERY: u64 = 1_000_000;

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
    /// Something happened to an order whose life was over.
    #[error("the record at {position} is of an order whose life was over")]
    AfterItsEnd {
        /// Where it stands.
        position: Position,
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
    /// What a snapshot has of an aggregate cannot be read.
    #[error("what the snapshot has of {aggregate} cannot be read: {source}")]
    Snapshot {
        /// Which.
        aggregate: String,
        /// Why.
        source: serde_json::Error,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Versioned<A> {
    version: u64,
    state: A,
    /// For items: the version that last stated the terms.
    terms_version: u64,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Stock {
    available: i64,
    supplied: i64,
}

/// How far one partition was folded.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Place {
    /// The offset of the next record.
    pub next: u64,
    /// The highest fence before it.
    pub fence: HighestFence,
    /// The last record before it.
    pub last: Option<(u64, RecordId)>,
    /// The newest time of the records before it, but for those of days to come; in microseconds.
    pub newest: i64,
}

/// A fold of the valid log up to some place in each partition.
#[derive(Debug)]
pub struct Fold {
    /// A partition that it lacks starts at 0.
    places: BTreeMap<Partition, Place>,
    users: HashMap<Arc<str>, Versioned<User>>,
    orders: Orders,
    items: HashMap<Arc<str>, Versioned<InventoryItem>>,
    stock: HashMap<Sku, Stock>,
    keys: Keys,
    newest: Time,
    /// By the clock of the node that folds; what is newer is of a clock that is wrong.
    today: Time,
    retention: i64,
    folded: u64,
}

impl Fold {
    /// A fold of nothing. Keys and orders that were over longer ago than `retention`, counted
    /// from the newest record's time, will be left out.
    pub fn new(retention: Duration) -> Self {
        Self {
            places: BTreeMap::new(),
            users: HashMap::new(),
            orders: HashMap::new(),
            items: HashMap::new(),
            stock: HashMap::new(),
            keys: Keys::default(),
            newest: Time::from_microseconds(0),
            today: Time::from_microseconds(i64::MAX),
            retention: microseconds(retention),
            folded: 0,
        }
    }

    /// Records taken in since it was made or read from a snapshot.
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// How far a partition was folded.
    pub fn place(&self, partition: Partition) -> Place {
        self.places.get(&partition).cloned().unwrap_or_default()
    }

    /// How far every partition was folded that has anything.
    pub fn places(&self) -> &BTreeMap<Partition, Place> {
        &self.places
    }

    /// About how many pieces it makes.
    pub fn pieces_estimated(&self) -> u64 {
        let aggregates = 2 * (self.users.len() + self.items.len()) + self.orders.len();
        (aggregates + self.keys.len()) as u64
    }

    /// A fold of nothing with the same retention.
    pub fn empty(&self) -> Self {
        Self {
            retention: self.retention,
            today: self.today,
            ..Self::new(Duration::ZERO)
        }
    }

    /// Takes in the next entry of a partition and says what it is, and of which epoch.
    ///
    /// # Errors
    /// See [`FoldError`].
    pub fn take_in(
        &mut self,
        position: Position,
        payload: &[u8],
    ) -> Result<(Standing, u64), FoldError> {
        let unreadable = |source| FoldError::Unreadable { position, source };
        let (envelope, body) = Envelope::decode(payload).map_err(unreadable)?;
        self.folded += 1;
        let place = self.places.entry(position.partition).or_default();
        place.next = position.offset + 1;
        place.last = Some((position.offset, envelope.id));
        let standing = place.fence.judge(&envelope);
        if standing == Standing::Valid {
            self.record(position, &envelope, body)?;
        }
        if self.folded.is_multiple_of(SWEEP_EVERY) {
            self.sweep();
        }
        Ok((standing, envelope.epoch))
    }

    fn record(
        &mut self,
        position: Position,
        envelope: &Envelope,
        body: &str,
    ) -> Result<(), FoldError> {
        let id = envelope.aggregate_id.as_str();
        let compact = Compact::from(id);
        let known = match envelope.aggregate_type {
            AggregateType::Users => self.users.get(id).map_or(0, |user| user.version),
            AggregateType::Orders => self.orders.get(&compact).map_or(0, |order| order.version),
            AggregateType::Inventory => self.items.get(id).map_or(0, |item| item.version),
            AggregateType::Fence => 0,
        };
        match succession(known, envelope.version) {
            Succession::Duplicate => return Ok(()),
            Succession::Gap => {
                return Err(FoldError::Gap {
                    position,
                    aggregate: format!("{}:{id}", envelope.aggregate_type.as_str()),
                    version: envelope.version,
                    known,
                });
            }
            Succession::Next => {}
        }
        let recalled = Recalled::decode(envelope, body)
            .map_err(|source| FoldError::Unreadable { position, source })?;
        self.newest = self.newest.max(recalled.time);
        let place = self.places.entry(position.partition).or_default();
        // What is of a day to come tells nothing of those behind it.
        if recalled.time <= self.today {
            place.newest = place.newest.max(recalled.time.microseconds());
        }
        let at = place.newest.max(recalled.time.microseconds());
        self.apply((position, at), envelope, &compact, &recalled)?;
        if let Some(key) = recalled.key {
            let folded = FoldedKey {
                fingerprint: key.fingerprint.as_str().into(),
                record: envelope.id,
                aggregate_id: compact,
                partition: position.partition,
                offset: position.offset,
                epoch: envelope.epoch,
                time: at,
            };
            self.keys.insert(key.key.as_str().into(), folded);
        }
        Ok(())
    }

    fn apply(
        &mut self,
        (position, at): (Position, i64),
        envelope: &Envelope,
        compact: &Compact,
        recalled: &Recalled,
    ) -> Result<(), FoldError> {
        for movement in &recalled.movements {
            let quantity = movement.quantity;
            let stock = match self.stock.get_mut(&movement.sku) {
                Some(stock) => stock,
                None => self.stock.entry(movement.sku.clone()).or_default(),
            };
            stock.available += quantity;
            if envelope.aggregate_type == AggregateType::Inventory {
                stock.supplied += quantity;
            }
        }
        let version = envelope.version;
        match &recalled.events {
            Events::Users(events) => {
                let user = entry(&mut self.users, &envelope.aggregate_id);
                user.version = version;
                events
                    .iter()
                    .for_each(|event| user.state.apply_event(event));
            }
            Events::Orders(events) => {
                let recorded = Recorded {
                    epoch: envelope.epoch,
                    partition: position.partition.number,
                    time: at,
                };
                let order = self.orders.entry(compact.clone()).or_default();
                if order.is_over() {
                    return Err(FoldError::AfterItsEnd { position });
                }
                order.version = version;
                order.apply(recorded, events).map_err(|source| {
                    let aggregate = format!("order {compact}");
                    FoldError::Snapshot { aggregate, source }
                })?;
            }
            Events::Inventory(events) => {
                let item = entry(&mut self.items, &envelope.aggregate_id);
                item.version = version;
                for event in events {
                    item.state.apply_event(event);
                    if !matches!(event, InventoryEvent::StockMoved { .. }) {
                        item.terms_version = version;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes in a fold of other partitions.
    pub fn merge(&mut self, other: Self) {
        self.places.extend(other.places);
        self.users.extend(other.users);
        self.orders.extend(other.orders);
        self.items.extend(other.items);
        for (sku, more) in other.stock {
            let stock = self.stock.entry(sku).or_default();
            stock.available += more.available;
            stock.supplied += more.supplied;
        }
        self.keys.merge(other.keys);
        self.newest = self.newest.max(other.newest);
        self.folded += other.folded;
    }

    /// Lets go of what will be left out whatever comes.
    pub fn sweep(&mut self) {
        let oldest = self.oldest();
        let places = &self.places;
        let fence = |number| {
            let topic = record::Topic::Orders;
            let place = places.get(&Partition { topic, number });
            place.map_or(0, |place| place.fence.0)
        };
        sweep(&mut self.orders, oldest, fence);
        self.keys.sweep(oldest);
    }

    /// Says when it is folded. The retention is counted from the newest record's time, and one
    /// record of a node whose clock is a month ahead would let every key be forgotten: so it is
    /// never counted from later than this. Nor is a record taken for older than those before it in
    /// its partition, which a node wrote whose clock is a month behind. Two clocks have to be wrong
    /// to forget too soon. To be said before anything is taken in.
    pub fn is_folded_at(&mut self, now: Time) {
        self.today = now;
    }

    /// What is older than this is past the retention.
    fn oldest(&self) -> i64 {
        let newest = self.newest.min(self.today);
        newest.microseconds().saturating_sub(self.retention)
    }
}

fn entry<'a, A: Default>(
    aggregates: &'a mut HashMap<Arc<str>, Versioned<A>>,
    id: &str,
) -> &'a mut Versioned<A> {
    if !aggregates.contains_key(id) {
        aggregates.insert(Arc::from(id), Versioned::default());
    }
    aggregates.get_mut(id).expect("inserted above")
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// An aggregate's snapshot as the gate has it.
fn text_of<S: Serialize>(state: &S) -> String {
    serde_json::to_string(state).expect("a snapshot has only text keys and serialisable values")
}
