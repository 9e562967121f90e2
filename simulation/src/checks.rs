//! What is checked once everything has drained: the promises, over the raw log in the order in
//! which it landed, what clients heard, the gate and the read models.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use command_api::gate::{AggregateKey, Look, Looked};
use domain::inventory::InventoryEvent;
use domain::order::OrderEvent;
use record::reader::{HighestFence, Standing, Succession, succession};
use record::{Body, Envelope, Events, Partition, Position, Record, RecordId};
use serde::{Deserialize, Serialize};

use crate::books::Command;
use crate::gate::server::Server;
use crate::plan::Fault;
use crate::site::Running;
use crate::versions;

mod accounts;
mod answers;
mod second_reading;

/// A promise that is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub promise: String,
    /// How, in a sentence.
    pub what: String,
}

impl Violation {
    /// A broken promise.
    pub fn new(promise: impl Into<String>, what: impl Into<String>) -> Self {
        let (promise, what) = (promise.into(), what.into());
        Self { promise, what }
    }
}

/// What was looked at, by promise.
pub type Counts = BTreeMap<String, u64>;

/// A record that counts.
#[derive(Debug)]
pub(crate) struct Valid {
    pub(crate) at: Duration,
    pub(crate) position: Position,
    pub(crate) record: Record,
}

/// The valid log in the order in which it landed, and what was wrong on the way.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) valid: Vec<Valid>,
    /// Second copies of valid records, where they stand.
    pub(crate) copies: Vec<(Position, RecordId)>,
    pub(crate) versions: BTreeMap<(String, String), u64>,
    pub(crate) fences: BTreeSet<u64>,
}

/// Checks everything; `looked` counts what was looked at.
///
/// # Errors
/// When the store cannot be read.
pub fn check(running: &Running, books: &[Command], looked: &mut Counts) -> Result<Vec<Violation>> {
    let mut broken = Vec::new();
    let reading = read(running, looked, &mut broken);
    answers::check(books, &reading, looked, &mut broken);
    accounts::check(running, books, &reading, looked, &mut broken)?;
    replays(running, looked, &mut broken);
    versions::check(
        running.broker(),
        &running.world().deciders,
        looked,
        &mut broken,
    );
    gate(running, &reading, looked, &mut broken);
    second_reading::check(running, books, &reading, looked, &mut broken)?;
    Ok(broken)
}

/// Reads the log as it landed and checks S1 after every entry.
fn read(running: &Running, looked: &mut Counts, broken: &mut Vec<Violation>) -> Reading {
    let mut reading = Reading::default();
    let mut fences: BTreeMap<Partition, HighestFence> = BTreeMap::new();
    let mut available: BTreeMap<String, i64> = BTreeMap::new();
    let mut oversold = BTreeSet::new();
    for (at, position, raw) in running.broker().landed() {
        let partition = position.partition;
        if !running
            .broker()
            .layout
            .partitions_of_record()
            .contains(&partition)
        {
            continue;
        }
        let Ok((envelope, body)) = Envelope::decode(&raw.payload) else {
            broken.push(Violation::new(
                "readable",
                format!("{position} cannot be read"),
            ));
            continue;
        };
        match fences.entry(partition).or_default().judge(&envelope) {
            Standing::Fence => {
                reading.fences.insert(envelope.epoch);
                continue;
            }
            Standing::Void => continue,
            Standing::Valid => {}
        }
        let aggregate = (
            envelope.aggregate_type.as_str().to_owned(),
            envelope.aggregate_id.clone(),
        );
        let known = reading.versions.entry(aggregate).or_default();
        match succession(*known, envelope.version) {
            Succession::Duplicate => {
                reading.copies.push((position, envelope.id));
                continue;
            }
            Succession::Gap => {
                let what = format!("{position} has version {}, known {known}", envelope.version);
                broken.push(Violation::new("S2", what));
                continue;
            }
            Succession::Next => *known = envelope.version,
        }
        let Ok(body) = Body::decode(&envelope, body) else {
            broken.push(Violation::new(
                "readable",
                format!("{position} cannot be read"),
            ));
            continue;
        };
        for movement in body.events.movements() {
            *looked.entry("S1".to_owned()).or_default() += 1;
            let sku = movement.sku.to_string();
            let left = available.entry(sku.clone()).or_default();
            *left += movement.quantity;
            if *left < 0 && oversold.insert(sku.clone()) {
                let what = format!("{sku} is oversold by {} since {position}", -*left);
                broken.push(Violation::new("S1", what));
            }
        }
        let record = Record { envelope, body };
        reading.valid.push(Valid {
            at,
            position,
            record,
        });
    }
    reading
}

/// I5: a replay finds the rows that were there, so long as one process wrote them and nobody put
/// older ones in their place.
fn replays(running: &Running, looked: &mut Counts, broken: &mut Vec<Violation>) {
    let excused = [Fault::ProjectorTwice, Fault::StoreRestored];
    let by_hand = &running.world().plan.by_hand;
    for replayed in running.replays.ended() {
        *looked.entry("replay".to_owned()).or_default() += 1;
        let differences = replayed.differences;
        if !differences.is_empty() && !excused.iter().any(|fault| by_hand.contains(fault)) {
            let what = format!("a replay found other rows in {differences:?}");
            broken.push(Violation::new("I5", what));
        }
    }
}

/// S4: nothing is pending, and the gate is the fold of the valid log.
fn gate(running: &Running, reading: &Reading, looked: &mut Counts, broken: &mut Vec<Violation>) {
    let servers = running.cluster().servers.lock();
    let Some((epoch, data)) = Server::open_of(&*servers) else {
        broken.push(Violation::new("S4", "no epoch is open at the end"));
        return;
    };
    for pending in data.pending(None) {
        let what = format!("{} is pending for ever in epoch {epoch}", pending.record);
        broken.push(Violation::new("S4", what));
    }
    for ((kind, id), version) in &reading.versions {
        *looked.entry("S4".to_owned()).or_default() += 1;
        let kind = match kind.as_str() {
            "orders" => record::AggregateType::Orders,
            "inventory" => record::AggregateType::Inventory,
            _ => record::AggregateType::Users,
        };
        let key = AggregateKey {
            kind,
            id: id.as_str().into(),
        };
        let found = match data.load(&[Look::Aggregate(key)]) {
            Ok(reply) => match reply.answers.into_iter().next() {
                Some(Looked::Aggregate(found)) => Some(found.version),
                _ => None,
            },
            Err(error) => {
                broken.push(Violation::new(
                    "S4",
                    format!("the gate is damaged: {error}"),
                ));
                continue;
            }
        };
        if found != Some(*version) {
            let what = format!("{id} has version {version} in the log, {found:?} in the gate");
            broken.push(Violation::new("S4", what));
        }
    }
}

/// Whether a record says that an order was cancelled.
pub(crate) fn cancels(record: &Record) -> bool {
    matches!(&record.body.events, Events::Orders(events)
        if events.iter().any(|event| matches!(event, OrderEvent::OrderCancelled { .. })))
}

/// Whether a record says that an item takes no more orders.
pub(crate) fn discontinues(record: &Record) -> bool {
    matches!(&record.body.events, Events::Inventory(events)
        if events.iter().any(|event| matches!(event, InventoryEvent::ItemDiscontinued)))
}
