//! The log as a process uses it.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use event_log::{
    AppendFailure, Batch, Deliveries, Entry, EventLog, Extent, LogError, RawRecord, Tail,
};
use parking_lot::Mutex;
use record::{Layout, Partition, Position, RecordId};
use tokio::sync::{mpsc, oneshot, watch};

use super::broker::Broker;
use super::producer::{self, Given};
use crate::link::Link;
use crate::plan::Fault;

/// The largest payload.
const PAYLOAD_BYTES_MAX: usize = 100_000;
/// Records that a tail shows at once at most, and batches that wait for its reader.
const BATCH_RECORDS_MAX: usize = 50;
const BATCHES_WAITING: usize = 4;

/// A process' connection to the log.
pub struct Connection {
    broker: Arc<Broker>,
    link: Arc<Link>,
    producers: Mutex<HashMap<Partition, mpsc::UnboundedSender<Given>>>,
    under_way: Arc<UnderWay>,
}

/// Counts what was given and is not told yet.
#[derive(Debug, Default)]
struct UnderWay {
    count: AtomicUsize,
    changed: watch::Sender<()>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log of {}", self.link.name)
    }
}

impl Connection {
    /// The connection of a process.
    pub fn new(broker: &Arc<Broker>, link: &Arc<Link>) -> Arc<Self> {
        Arc::new(Self {
            broker: Arc::clone(broker),
            link: Arc::clone(link),
            producers: Mutex::default(),
            under_way: Arc::default(),
        })
    }

    fn refusal(&self, entry: &Entry) -> Option<AppendFailure> {
        let bytes = entry.payload.as_ref().map_or(0, Bytes::len);
        let partition = entry.partition;
        let exists = partition.number < self.broker.layout.count(partition.topic);
        if bytes <= PAYLOAD_BYTES_MAX && exists {
            return None;
        }
        Some(AppendFailure::Refused(
            "too large, or without a place".to_owned(),
        ))
    }

    /// One question and its answer.
    async fn ask<T>(&self, answer: impl FnOnce(&Broker) -> T) -> Result<T, LogError> {
        self.link.pass().await;
        let world = &self.broker.world;
        if world.strikes(Fault::LogUnavailable) {
            tokio::time::sleep(world.delay(100..=2_000)).await;
            self.link.pass().await;
            return Err(LogError::Unavailable("no answer".to_owned()));
        }
        tokio::time::sleep(world.delay(0..=3)).await;
        let answer = answer(&self.broker);
        self.link.pass().await;
        Ok(answer)
    }
}

#[async_trait]
impl EventLog for Connection {
    fn layout(&self) -> Layout {
        self.broker.layout
    }

    fn payload_bytes_max(&self) -> usize {
        PAYLOAD_BYTES_MAX
    }

    fn append(&self, entries: Vec<Entry>, deliveries: &Arc<dyn Deliveries>) {
        for mut entry in entries {
            entry.payload = self.link.version.written(entry.partition, entry.payload);
            if let Some(refusal) = self.refusal(&entry) {
                deliveries.failed(entry.partition, entry.id, refusal);
                continue;
            }
            self.under_way.count.fetch_add(1, Ordering::Relaxed);
            let counted: Arc<dyn Deliveries> = Arc::new(Counted {
                deliveries: Arc::clone(deliveries),
                under_way: Arc::clone(&self.under_way),
            });
            let mut producers = self.producers.lock();
            let producer = producers.entry(entry.partition).or_insert_with(|| {
                let (sender, given) = mpsc::unbounded_channel();
                let (broker, link) = (Arc::clone(&self.broker), Arc::clone(&self.link));
                tokio::spawn(producer::run(broker, link, given));
                sender
            });
            // The producer lives as long as its sender.
            let _ = producer.send((entry, counted));
        }
    }

    async fn append_one(&self, entry: Entry) -> Result<Option<u64>, LogError> {
        let (told, outcome) = oneshot::channel();
        let deliveries: Arc<dyn Deliveries> = Arc::new(Single(Mutex::new(Some(told))));
        self.append(vec![entry], &deliveries);
        drop(deliveries);
        let stopped = |_| AppendFailure::Unknown("the log was closed".to_owned());
        Ok(outcome.await.map_err(stopped)??)
    }

    async fn tail(&self, from: Vec<Position>) -> Result<Tail, LogError> {
        for position in &from {
            let partition = position.partition;
            let extent = self.ask(|broker| broker.extent(partition)).await?;
            let exists = partition.number < self.broker.layout.count(partition.topic);
            if position.offset > extent.end || !exists {
                return Err(shortened(*position, extent));
            }
        }
        let (sender, batches) = mpsc::channel(BATCHES_WAITING);
        let next = from.iter().map(|it| (it.partition, it.offset)).collect();
        let (broker, link) = (Arc::clone(&self.broker), Arc::clone(&self.link));
        tokio::spawn(show(broker, link, next, sender));
        Ok(Tail::new(batches))
    }

    async fn read_at(&self, position: Position) -> Result<RawRecord, LogError> {
        let Position { partition, offset } = position;
        let (extent, found) = self
            .ask(|broker| (broker.extent(partition), broker.read(partition, offset, 1)))
            .await?;
        if offset >= extent.end {
            return Err(shortened(position, extent));
        }
        let no_leader = || LogError::Unavailable("the partition has no leader".to_owned());
        let mut raw = found.into_iter().next().ok_or_else(no_leader)?;
        raw.payload = self.link.version.read(partition, raw.payload);
        Ok(raw)
    }

    async fn extent(&self, partition: Partition) -> Result<Extent, LogError> {
        self.ask(|broker| broker.extent(partition)).await
    }

    async fn probe(&self) -> Result<(), LogError> {
        self.ask(|_| ()).await
    }

    async fn flush(&self, at_most: Duration) {
        let mut changed = self.under_way.changed.subscribe();
        let none = async {
            while self.under_way.count.load(Ordering::Relaxed) > 0 {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        // Whether it was in time is seen by the deliveries.
        let _ = tokio::time::timeout(at_most, none).await;
    }
}

/// Shows what lands, partition by partition, until nobody reads or the tail breaks.
async fn show(
    broker: Arc<Broker>,
    link: Arc<Link>,
    mut next: BTreeMap<Partition, u64>,
    sender: mpsc::Sender<Result<Batch, LogError>>,
) {
    let mut changes = broker.changes();
    loop {
        changes.mark_unchanged();
        let mut order: Vec<Partition> = next.keys().copied().collect();
        if !order.is_empty() {
            let first = broker.world.pick(order.len());
            order.rotate_left(first);
        }
        let mut shown = false;
        for partition in order {
            let offset = next.get(&partition).copied().unwrap_or(0);
            let mut records = broker.read(partition, offset, BATCH_RECORDS_MAX);
            for raw in &mut records {
                raw.payload = link
                    .version
                    .read(partition, std::mem::take(&mut raw.payload));
            }
            let Some(last) = records.last() else { continue };
            shown = true;
            next.insert(partition, last.offset + 1);
            tokio::time::sleep(broker.world.delay(0..=4)).await;
            link.pass().await;
            if partition != Partition::EPOCHS {
                broker.world.recoveries.read(&link);
                link.pass().await;
            }
            if broker.world.strikes(Fault::TailBroken) {
                let broken = LogError::Unavailable("the tail broke".to_owned());
                let _ = sender.send(Err(broken)).await;
                return;
            }
            if sender.send(Ok(Batch { partition, records })).await.is_err() {
                return;
            }
        }
        if shown {
            continue;
        }
        tokio::select! {
            biased;
            () = sender.closed() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

fn shortened(wanted: Position, extent: Extent) -> LogError {
    LogError::Shortened {
        partition: wanted.partition,
        wanted: wanted.offset,
        start: extent.start,
        end: extent.end,
    }
}

struct Counted {
    deliveries: Arc<dyn Deliveries>,
    under_way: Arc<UnderWay>,
}

impl Counted {
    fn told(&self) {
        self.under_way.count.fetch_sub(1, Ordering::Relaxed);
        self.under_way.changed.send_replace(());
    }
}

impl Deliveries for Counted {
    fn acknowledged(&self, partition: Partition, id: RecordId, offset: Option<u64>) {
        self.deliveries.acknowledged(partition, id, offset);
        self.told();
    }

    fn failed(&self, partition: Partition, id: RecordId, failure: AppendFailure) {
        self.deliveries.failed(partition, id, failure);
        self.told();
    }
}

type Told = oneshot::Sender<Result<Option<u64>, AppendFailure>>;

struct Single(Mutex<Option<Told>>);

impl Single {
    fn tell(&self, outcome: Result<Option<u64>, AppendFailure>) {
        if let Some(told) = self.0.lock().take() {
            // Nobody waits any more: the caller gave up.
            let _ = told.send(outcome);
        }
    }
}

impl Deliveries for Single {
    fn acknowledged(&self, _: Partition, _: RecordId, offset: Option<u64>) {
        self.tell(Ok(offset));
    }

    fn failed(&self, _: Partition, _: RecordId, failure: AppendFailure) {
        self.tell(Err(failure));
    }
}
