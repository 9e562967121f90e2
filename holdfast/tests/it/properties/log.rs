//! What stands in the log: read raw beside the running servers, judged by the audit's second
//! reading, and summed up for the SKUs of one play of a history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use audit::{Acknowledged, Audit, Evidence};
use domain::order::OrderEvent;
use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use event_log::sqlite::SqliteLog;
use event_log::{EventLog, RawRecord};
use record::reader::{HighestFence, Standing, Succession, succession};
use record::{AggregateType, Body, Envelope, Events, Partition, Position};

use crate::harness::{Services, System};

/// A reader of a system's log, which keeps what it read.
pub(crate) struct Log {
    log: Arc<dyn EventLog>,
    entries: BTreeMap<Partition, Vec<RawRecord>>,
}

/// What valid records say of the SKUs whose names begin alike.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Orders that were placed, by id.
    pub(crate) orders: BTreeSet<String>,
    /// Units supplied and available, by SKU, where any moved.
    pub(crate) stock: BTreeMap<String, (i64, i64)>,
}

/// The log of a system on services.
pub(crate) async fn kafka(services: &Services) -> KafkaLog {
    let settings = KafkaSettings {
        brokers: services.kafka.clone(),
        topic_prefix: format!("{}.", services.name),
        replication: Replication::SingleBroker,
        ..KafkaSettings::default()
    };
    KafkaLog::open(settings).await.unwrap()
}

impl Log {
    pub(crate) async fn of(system: &System) -> Self {
        let log: Arc<dyn EventLog> = match &system.services {
            None => Arc::new(SqliteLog::open_read_only(system.data()).unwrap()),
            Some(services) => Arc::new(kafka(services).await),
        };
        Self {
            log,
            entries: BTreeMap::new(),
        }
    }

    /// Reads what was appended since the last time.
    pub(crate) async fn catch_up(&mut self) {
        let mut partitions = self.log.layout().partitions_of_record();
        partitions.push(Partition::EPOCHS);
        let mut ends = BTreeMap::new();
        for partition in partitions {
            let extent = self.log.extent(partition).await.unwrap();
            let entries = self.entries.entry(partition).or_default();
            let next = entries
                .last()
                .map_or(extent.start, |entry| entry.offset + 1);
            if next < extent.end {
                ends.insert(partition, (next, extent.end));
            }
        }
        let from = ends.iter().map(|(partition, (next, _))| Position {
            partition: *partition,
            offset: *next,
        });
        let mut tail = self.log.tail(from.collect()).await.unwrap();
        while !ends.is_empty() {
            let batch = tail.next().await.unwrap();
            let next = batch.records.last().map_or(0, |entry| entry.offset + 1);
            self.entries
                .entry(batch.partition)
                .or_default()
                .extend(batch.records);
            if ends
                .get(&batch.partition)
                .is_some_and(|(_, end)| next >= *end)
            {
                ends.remove(&batch.partition);
            }
        }
    }

    /// Checks every promise that the log alone can tell of, and that these orders stand in it.
    ///
    /// # Errors
    /// The audit's report.
    pub(crate) fn audit(&self, placed: &[uuid::Uuid]) -> Result<(), String> {
        let mut audit = Audit::new();
        for (partition, entries) in &self.entries {
            for entry in entries {
                let (topic, number) = (partition.topic.as_str(), partition.number);
                audit.take_in(topic, number, entry.offset, &entry.payload);
            }
        }
        let acknowledged = placed.iter().copied().map(Acknowledged::Order);
        let report = audit.finish(&Evidence {
            acknowledged: Ok(acknowledged.collect()),
            ..Evidence::default()
        });
        if report.ok {
            Ok(())
        } else {
            Err(report.to_string())
        }
    }

    /// Sums up the valid records about SKUs that begin with this.
    pub(crate) fn sums(&self, prefix: &str) -> Sums {
        let mut sums = Sums::default();
        for entries in self.entries.values() {
            let mut highest_fence = HighestFence::default();
            let mut versions = BTreeMap::new();
            for entry in entries {
                // The epochs have entries of another format.
                let Ok((envelope, body)) = Envelope::decode(&entry.payload) else {
                    continue;
                };
                if highest_fence.judge(&envelope) != Standing::Valid {
                    continue;
                }
                let version = versions.entry(envelope.aggregate_id.clone()).or_default();
                if succession(*version, envelope.version) == Succession::Next {
                    *version = envelope.version;
                    let body = Body::decode(&envelope, body).unwrap();
                    sums.add(&envelope, &body, prefix);
                }
            }
        }
        sums
    }
}

impl Sums {
    fn add(&mut self, envelope: &Envelope, body: &Body, prefix: &str) {
        let supplies = envelope.aggregate_type == AggregateType::Inventory;
        let movements = body.events.movements().into_iter();
        let ours: Vec<_> = movements
            .filter(|of| of.sku.as_str().starts_with(prefix))
            .collect();
        if let Events::Orders(events) = &body.events
            && events
                .iter()
                .any(|event| matches!(event, OrderEvent::OrderPlaced { .. }))
            && !ours.is_empty()
        {
            self.orders.insert(envelope.aggregate_id.clone());
        }
        for movement in ours {
            let stock = self
                .stock
                .entry(movement.sku.as_str().to_owned())
                .or_default();
            stock.0 += if supplies { movement.quantity } else { 0 };
            stock.1 += movement.quantity;
        }
    }
}
