//! The producer of one process for one partition: what it is given lands in its order, and what
//! became of each entry is told once.

use std::sync::Arc;

use event_log::{AppendFailure, Deliveries, Entry};
use record::epochs::EpochEntry;
use record::{AggregateType, Envelope, Partition};
use tokio::sync::mpsc;

use super::broker::Broker;
use crate::link::Link;
use crate::plan::Fault;
use crate::recovery::Step;

/// An entry, and who hears what becomes of it.
pub(super) type Given = (Entry, Arc<dyn Deliveries>);

/// Appends until nobody gives any more.
pub(super) async fn run(
    broker: Arc<Broker>,
    link: Arc<Link>,
    mut given: mpsc::UnboundedReceiver<Given>,
) {
    while let Some(first) = given.recv().await {
        let mut group = vec![first];
        while let Ok(more) = given.try_recv() {
            group.push(more);
        }
        link.pass().await;
        tokio::time::sleep(broker.world.delay(0..=6)).await;
        if broker.world.chance(500) {
            // It was not on its way yet.
            link.pass().await;
        }
        let partition = group[0].0.partition;
        if !broker.takes(partition) {
            let wait = broker.world.delay(500..=3_000);
            tokio::time::sleep(wait).await;
        }
        for (entry, deliveries) in group {
            append(&broker, &link, entry, deliveries);
        }
    }
}

fn append(broker: &Arc<Broker>, link: &Arc<Link>, entry: Entry, deliveries: Arc<dyn Deliveries>) {
    let world = &broker.world;
    let (partition, id) = (entry.partition, entry.id);
    let unknown = || AppendFailure::Unknown("the request timed out".to_owned());
    if !broker.takes(partition) {
        return tell(broker, link, deliveries, entry, Err(unknown()));
    }
    if world.strikes(Fault::ProduceNotStarted) {
        let failure = AppendFailure::NotStarted("the queue is full".to_owned());
        return tell(broker, link, deliveries, entry, Err(failure));
    }
    if world.strikes(Fault::ProduceRefused) {
        let failure = AppendFailure::Refused("not authorised".to_owned());
        world.say("log", format!("{partition}: {id} is refused for good"));
        return tell(broker, link, deliveries, entry, Err(failure));
    }
    if world.strikes(Fault::ProduceUnknownLost) {
        return tell(broker, link, deliveries, entry, Err(unknown()));
    }
    if world.strikes(Fault::ProduceLate) {
        let (late, delay) = (entry.clone(), world.delay(100..=90_000));
        let (broker_later, from) = (Arc::clone(broker), format!("{}, late", link.name));
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            broker_later.land(&from, &late);
        });
        return tell(broker, link, deliveries, entry, Err(unknown()));
    }
    let mut offset = broker.land(&link.name, &entry);
    if let Some(step) = step(&entry) {
        world.recoveries.reached(link, step);
    }
    if world.strikes(Fault::ProduceTwice) {
        offset = broker.land(&format!("{}, twice", link.name), &entry);
    }
    let outcome = if world.strikes(Fault::ProduceUnknownLanded) {
        Err(unknown())
    } else if world.strikes(Fault::OffsetUnnamed) {
        Ok(None)
    } else {
        Ok(offset)
    };
    tell(broker, link, deliveries, entry, outcome);
}

/// What of a recovery an entry is.
fn step(entry: &Entry) -> Option<Step> {
    let payload = entry.payload.as_deref()?;
    if entry.partition == Partition::EPOCHS {
        return match EpochEntry::decode(payload) {
            Ok(EpochEntry::Claim { .. }) => Some(Step::Claimed),
            Ok(EpochEntry::Opened { .. }) => Some(Step::Opened),
            _ => None,
        };
    }
    let (envelope, _) = Envelope::decode(payload).ok()?;
    (envelope.aggregate_type == AggregateType::Fence).then_some(Step::Fenced)
}

fn tell(
    broker: &Arc<Broker>,
    link: &Arc<Link>,
    deliveries: Arc<dyn Deliveries>,
    entry: Entry,
    outcome: Result<Option<u64>, AppendFailure>,
) {
    let delay = match &outcome {
        Err(AppendFailure::Unknown(_)) => broker.world.delay(500..=3_000),
        _ => broker.world.delay(0..=6),
    };
    let link = Arc::clone(link);
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        link.pass().await;
        match outcome {
            Ok(offset) => deliveries.acknowledged(entry.partition, entry.id, offset),
            Err(failure) => deliveries.failed(entry.partition, entry.id, failure),
        }
    });
}
