//! Orders in a fold. They are most of it, so each is held in the cheapest form that still tells
//! what may be asked: its events' state, the gate's snapshot as text, or only that it is over.
//!
//! When an order may be left out, and why (see "Snapshots" and "Pruning" in the protocol):
//! - It is over: no record of it will ever be decided again.
//! - It was over longer ago than keys are remembered. Until then a retry of its cancellation is
//!   answered with the order, which has to be there.
//! - Every record of it has a lower epoch than the highest fence of its partition. Until then a
//!   late copy of its first record is valid: only its version tells that it is a duplicate, and
//!   without that the order would live again and hold stock twice.

use std::collections::HashMap;

use domain::order::{Order, OrderEvent};
use serde::{Deserialize, Serialize};

use super::compact::Compact;

/// Orders by id.
pub(crate) type Orders = HashMap<Compact, FoldedOrder>;

/// An order at its version.
#[derive(Debug, Default)]
pub(crate) struct FoldedOrder {
    pub(crate) version: u64,
    /// The epoch of its last record.
    epoch: u64,
    /// The newest time of its records, in microseconds.
    latest: i64,
    /// Its partition of the topic.
    partition: u16,
    over: bool,
    state: State,
}

/// What is held of an order.
#[derive(Debug)]
enum State {
    /// As its events made it.
    Known(Box<Order>),
    /// The gate's snapshot, not read again until it is changed.
    Written(Box<str>),
    /// Nothing: it is over and will be left out.
    Dropped,
}

impl Default for State {
    fn default() -> Self {
        Self::Known(Box::default())
    }
}

/// An order as a snapshot has it. The gate's snapshot of it is `None` where it was dropped.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredOrder {
    version: u64,
    epoch: u64,
    latest: i64,
    partition: u16,
    over: bool,
    snapshot: Option<Box<str>>,
}

/// Where a record stands, as far as its order is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recorded {
    pub(crate) epoch: u64,
    pub(crate) partition: u16,
    /// In microseconds.
    pub(crate) time: i64,
}

impl FoldedOrder {
    /// Whether no record of it may come any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Takes in the events of its next record.
    ///
    /// # Errors
    /// When what a snapshot has of it cannot be read.
    pub(crate) fn apply(
        &mut self,
        recorded: Recorded,
        events: &[OrderEvent],
    ) -> Result<(), serde_json::Error> {
        self.epoch = recorded.epoch;
        self.latest = self.latest.max(recorded.time);
        self.partition = recorded.partition;
        if let State::Written(snapshot) = &self.state {
            self.state = State::Known(Box::new(serde_json::from_str(snapshot)?));
        }
        if let State::Known(order) = &mut self.state {
            events.iter().for_each(|event| order.apply_event(event));
            let existing = order.existing.as_ref();
            self.over = existing.is_some_and(|order| order.status.is_final());
        }
        Ok(())
    }

    /// Whether it is over and was so before `oldest`.
    fn is_past(&self, oldest: i64) -> bool {
        self.over && self.latest < oldest
    }

    /// The gate's snapshot; `None` where it is left out.
    pub(crate) fn snapshot(self, oldest: i64) -> Option<String> {
        if self.is_past(oldest) {
            return None;
        }
        self.text()
    }

    fn text(self) -> Option<String> {
        match self.state {
            State::Known(order) => Some(super::text_of(&*order)),
            State::Written(snapshot) => Some(snapshot.into()),
            State::Dropped => None,
        }
    }

    /// What a snapshot has of it.
    pub(crate) fn stored(&self) -> StoredOrder {
        StoredOrder {
            version: self.version,
            epoch: self.epoch,
            latest: self.latest,
            partition: self.partition,
            over: self.over,
            snapshot: match &self.state {
                State::Known(order) => Some(super::text_of(&**order).into()),
                State::Written(snapshot) => Some(snapshot.clone()),
                State::Dropped => None,
            },
        }
    }
}

impl From<StoredOrder> for FoldedOrder {
    fn from(stored: StoredOrder) -> Self {
        Self {
            version: stored.version,
            epoch: stored.epoch,
            latest: stored.latest,
            partition: stored.partition,
            over: stored.over,
            state: stored.snapshot.map_or(State::Dropped, State::Written),
        }
    }
}

/// Lets go of orders that will be left out, and of all but the version of those that a late copy
/// could still bring back. `fence` gives the highest fence of a partition.
pub(crate) fn sweep(orders: &mut Orders, oldest: i64, fence: impl Fn(u16) -> u64) {
    orders.retain(|_, order| {
        if !order.is_past(oldest) {
            return true;
        }
        order.state = State::Dropped;
        order.epoch >= fence(order.partition)
    });
}
