//! The log alone: records appended by one writer and read back by its own tail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use event_log::{AppendFailure, Deliveries, Entry, EventLog};
use hyper::body::Bytes;
use record::{Partition, Position, RecordId, Topic};
use uuid::Uuid;

use crate::bench::figures::Figure;
use crate::load::process::{Meter, Watched};

/// How many records.
const RECORDS: usize = 100_000;
/// As many as the commit path appends in one call under load.
const GROUP: usize = 64;
/// As many as 500 connections have in flight.
const IN_FLIGHT_MAX: usize = 500;
/// What the record of an order has.
const PAYLOAD_BYTES: usize = 900;

/// Hears of failures only: what counts is what is read back.
#[derive(Default)]
struct Failures(AtomicBool);

impl Deliveries for Failures {
    fn acknowledged(&self, _: Partition, _: RecordId, _: Option<u64>) {}

    fn failed(&self, partition: Partition, _: RecordId, failure: AppendFailure) {
        tracing::warn!(%partition, %failure, "an append of the benchmark failed");
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Appends and reads back.
///
/// # Errors
/// When an append fails or the tail ends.
pub(super) async fn alone(
    what: &'static str,
    log: Arc<dyn EventLog>,
    watched: &[Watched],
) -> Result<Figure> {
    let partitions: Vec<_> = (0..log.layout().count(Topic::Orders))
        .map(|number| Partition {
            topic: Topic::Orders,
            number,
        })
        .collect();
    let mut from = vec![];
    for partition in &partitions {
        let offset = log.extent(*partition).await?.end;
        from.push(Position {
            partition: *partition,
            offset,
        });
    }
    let mut tail = log.tail(from).await?;
    let failures = Arc::new(Failures::default());
    let deliveries: Arc<dyn Deliveries> = failures.clone();
    let entries = entries(&partitions);
    let meter = Meter::start(watched);
    let began = Instant::now();
    let (mut appended, mut read_back) = (0, 0);
    while read_back < RECORDS {
        while appended < RECORDS && appended - read_back < IN_FLIGHT_MAX {
            let group = GROUP.min(RECORDS - appended);
            log.append(entries[appended..appended + group].to_vec(), &deliveries);
            appended += group;
        }
        read_back += tail.next().await?.records.len();
        ensure!(!failures.0.load(Ordering::Relaxed), "an append failed");
    }
    let figure = Figure::new(what, u64::try_from(RECORDS)?, began.elapsed());
    Ok(figure.costing(&meter.read()))
}

/// Made before the clock runs.
fn entries(partitions: &[Partition]) -> Vec<Entry> {
    let payload = Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
    let partitions = partitions.iter().cycle();
    let entry = |partition: &Partition| {
        let id = Uuid::now_v7();
        let (key, payload) = (id.to_string(), Some(payload.clone()));
        Entry {
            partition: *partition,
            key,
            payload,
            id: RecordId(id),
        }
    };
    partitions.take(RECORDS).map(entry).collect()
}
