//! A log in memory that tells the truth about itself, and a broker that does not always.
//!
//! Its producer and its tails are tasks of their own, so that appends, acknowledgements, sights
//! and the acts of other nodes come in every order that a real log allows: an acknowledgement
//! before or after the sight, without an offset, never; a copy that landed although its append
//! failed; a tail that breaks off and is opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use event_log::{
    AppendFailure, Batch, Deliveries, Entry, EventLog, Extent, LogError, RawRecord, Tail,
};
use parking_lot::Mutex;
use record::reader::{HighestFence, Standing};
use record::{Envelope, Layout, Partition, Position, RecordId};
use shuttle::rand::{Rng as _, thread_rng};
use tokio::sync::{mpsc, watch};

use crate::schedules::note;

/// The log.
pub(crate) struct Log {
    stands: Mutex<Stands>,
    grown: watch::Sender<u64>,
    producer: mpsc::UnboundedSender<(Entry, Arc<dyn Deliveries>)>,
    /// How many faults it may still make; with none left every append succeeds in the end.
    faults: Mutex<u32>,
    this: Weak<Self>,
}

#[derive(Default)]
struct Stands {
    partitions: BTreeMap<Partition, Vec<RawRecord>>,
    /// The highest offset that was acknowledged to this node.
    acknowledged: BTreeMap<Partition, u64>,
    acknowledged_ids: BTreeSet<RecordId>,
    refused: BTreeSet<RecordId>,
    /// Records are missing: no tail can be opened or goes on.
    shortened: bool,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    pub(crate) fn new(faults: u32) -> Arc<Self> {
        let (producer, queue) = mpsc::unbounded_channel();
        let log = Arc::new_cyclic(|this: &Weak<Self>| Self {
            stands: Mutex::default(),
            grown: crate::watch_sender(0),
            producer,
            faults: Mutex::new(faults),
            this: this.clone(),
        });
        tokio::spawn(produce(Arc::downgrade(&log), queue));
        log
    }

    /// Appends at once, as another node does.
    pub(crate) fn put(&self, partition: Partition, key: &str, payload: Bytes) -> u64 {
        let offset = {
            let mut stands = self.stands.lock();
            let records = stands.partitions.entry(partition).or_default();
            let offset = records.len() as u64;
            records.push(RawRecord {
                offset,
                key: Bytes::copy_from_slice(key.as_bytes()),
                payload,
            });
            offset
        };
        note(format!("{key} stands at {partition}@{offset}"));
        self.grown.send_modify(|grown| *grown += 1);
        offset
    }

    /// Another node's recovery begins here.
    pub(crate) fn put_fence(&self, partition: Partition, epoch: u64) -> u64 {
        let id = RecordId(uuid::Uuid::from_u128(u128::MAX - u128::from(epoch)));
        self.put(
            partition,
            "a fence",
            Envelope::fence(epoch, id).encode("null").into(),
        )
    }

    /// From now on records are missing from it.
    pub(crate) fn shorten(&self) {
        self.stands.lock().shortened = true;
        note("records are missing from the log");
        self.grown.send_modify(|grown| *grown += 1);
    }

    pub(crate) fn is_shortened(&self) -> bool {
        self.stands.lock().shortened
    }

    /// Where the copies of a record stand that count.
    pub(crate) fn copies(&self, partition: Partition, record: RecordId) -> Vec<u64> {
        let stands = self.stands.lock();
        let records = stands
            .partitions
            .get(&partition)
            .map_or(&[][..], Vec::as_slice);
        let mut fence = HighestFence(0);
        let counts = |raw: &&RawRecord| {
            let (envelope, _) = Envelope::decode(&raw.payload).expect("only records are appended");
            fence.judge(&envelope) == Standing::Valid && envelope.id == record
        };
        records
            .iter()
            .filter(counts)
            .map(|raw| raw.offset)
            .collect()
    }

    /// The highest fence.
    pub(crate) fn fence(&self, partition: Partition) -> u64 {
        let stands = self.stands.lock();
        let mut fence = HighestFence(0);
        for raw in stands.partitions.get(&partition).into_iter().flatten() {
            if let Ok((envelope, _)) = Envelope::decode(&raw.payload) {
                fence.judge(&envelope);
            }
        }
        fence.0
    }

    /// Whether an append of this node at or after this position was acknowledged to it.
    pub(crate) fn is_acknowledged(&self, position: Position, record: RecordId) -> bool {
        let stands = self.stands.lock();
        let acknowledged = stands.acknowledged.get(&position.partition);
        acknowledged.is_some_and(|acknowledged| *acknowledged >= position.offset)
            || stands.acknowledged_ids.contains(&record)
    }

    pub(crate) fn is_refused(&self, record: RecordId) -> bool {
        self.stands.lock().refused.contains(&record)
    }

    /// Everything that stands in a partition.
    pub(crate) fn records(&self, partition: Partition) -> Vec<RawRecord> {
        let stands = self.stands.lock();
        stands
            .partitions
            .get(&partition)
            .cloned()
            .unwrap_or_default()
    }

    /// One time in so many, as long as faults are left.
    fn fails(&self, one_in: u32) -> bool {
        let mut left = self.faults.lock();
        let fails = *left > 0 && thread_rng().gen_range(0..one_in) == 0;
        *left -= u32::from(fails);
        fails
    }

    fn deliver(&self, entry: Entry, deliveries: &dyn Deliveries) {
        let Entry {
            partition,
            key,
            payload,
            id,
        } = entry;
        let unknown = || AppendFailure::Unknown("no answer".to_owned());
        if self.fails(12) {
            self.stands.lock().refused.insert(id);
            note(format!("{id} is refused for good"));
            let refused = AppendFailure::Refused("too large".to_owned());
            return deliveries.failed(partition, id, refused);
        }
        if self.fails(4) {
            note(format!("the append of {id} fails"));
            return deliveries.failed(partition, id, unknown());
        }
        let offset = self.put(partition, &key, payload.unwrap_or_default());
        if self.fails(4) {
            note(format!("the append of {id} fails"));
            return deliveries.failed(partition, id, unknown());
        }
        let named = !self.fails(3);
        {
            let mut stands = self.stands.lock();
            if named {
                let highest = stands.acknowledged.entry(partition).or_default();
                *highest = offset.max(*highest);
            } else {
                stands.acknowledged_ids.insert(id);
            }
        }
        note(format!("{id} is acknowledged, offset named: {named}"));
        deliveries.acknowledged(partition, id, named.then_some(offset));
    }
}

/// The producer: what was handed over goes in, in order.
async fn produce(log: Weak<Log>, mut queue: mpsc::UnboundedReceiver<(Entry, Arc<dyn Deliveries>)>) {
    while let Some((entry, deliveries)) = queue.recv().await {
        // Now and then it takes long.
        if thread_rng().gen_range(0..2) == 0 {
            for _ in 0..thread_rng().gen_range(0..20) {
                tokio::task::yield_now().await;
            }
        }
        let Some(log) = log.upgrade() else { return };
        log.deliver(entry, &*deliveries);
    }
}

/// Feeds one tail.
async fn feed(
    log: Weak<Log>,
    mut next: BTreeMap<Partition, u64>,
    batches: tokio_channels::sync::mpsc::Sender<Result<Batch, LogError>>,
    mut grown: watch::Receiver<u64>,
) {
    loop {
        let ready: Vec<Result<Batch, LogError>> = {
            let Some(log) = log.upgrade() else { return };
            grown.borrow_and_update();
            log.ready(&mut next)
        };
        for batch in ready {
            let ends = batch.is_err();
            if batches.send(batch).await.is_err() || ends {
                return;
            }
        }
        if grown.changed().await.is_err() {
            return;
        }
    }
}

impl Log {
    fn ready(&self, next: &mut BTreeMap<Partition, u64>) -> Vec<Result<Batch, LogError>> {
        let mut ready = Vec::new();
        for (partition, next) in next {
            let (shortened, mut new) = {
                let stands = self.stands.lock();
                let records = stands
                    .partitions
                    .get(partition)
                    .map_or(&[][..], Vec::as_slice);
                (stands.shortened, records[*next as usize..].to_vec())
            };
            if shortened {
                ready.push(Err(self.missing(*partition, *next)));
                return ready;
            }
            while !new.is_empty() {
                if self.fails(6) {
                    ready.push(Err(LogError::Unavailable("it broke off".to_owned())));
                    return ready;
                }
                let records: Vec<_> = new.drain(..thread_rng().gen_range(1..=new.len())).collect();
                *next += records.len() as u64;
                ready.push(Ok(Batch {
                    partition: *partition,
                    records,
                }));
            }
        }
        ready
    }

    fn missing(&self, partition: Partition, wanted: u64) -> LogError {
        LogError::Shortened {
            partition,
            wanted,
            start: wanted + 1,
            end: wanted + 1,
        }
    }
}

#[async_trait]
impl EventLog for Log {
    fn layout(&self) -> Layout {
        Layout::uniform(1)
    }

    fn payload_bytes_max(&self) -> usize {
        1_000_000
    }

    fn append(&self, entries: Vec<Entry>, deliveries: &Arc<dyn Deliveries>) {
        for entry in entries {
            let _ = self.producer.send((entry, Arc::clone(deliveries)));
        }
    }

    async fn append_one(&self, entry: Entry) -> Result<Option<u64>, LogError> {
        tokio::task::yield_now().await;
        let offset = self.put(
            entry.partition,
            &entry.key,
            entry.payload.unwrap_or_default(),
        );
        tokio::task::yield_now().await;
        Ok(Some(offset))
    }

    async fn tail(&self, from: Vec<Position>) -> Result<Tail, LogError> {
        if self.is_shortened()
            && let Some(first) = from.first()
        {
            return Err(self.missing(first.partition, first.offset));
        }
        let (batches, receiver) = tokio_channels::sync::mpsc::channel(1);
        let next = from
            .iter()
            .map(|from| (from.partition, from.offset))
            .collect();
        tokio::spawn(feed(
            self.this.clone(),
            next,
            batches,
            self.grown.subscribe(),
        ));
        Ok(Tail::new(receiver))
    }

    async fn read_at(&self, position: Position) -> Result<RawRecord, LogError> {
        let records = self.records(position.partition);
        let found = records.get(position.offset as usize).cloned();
        found.ok_or_else(|| self.missing(position.partition, position.offset))
    }

    async fn extent(&self, partition: Partition) -> Result<Extent, LogError> {
        let end = self.records(partition).len() as u64;
        Ok(Extent { start: 0, end })
    }

    async fn probe(&self) -> Result<(), LogError> {
        Ok(())
    }

    async fn flush(&self, _at_most: Duration) {}
}
