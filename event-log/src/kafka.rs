//! The log of many processes: Kafka topics.
//!
//! In: entries by [`EventLog::append`], through one idempotent producer with `acks=all`, each to
//! the partition that our own function chose. Out: the same records, by tails that assign
//! partitions at explicit offsets, and by position.
//!
//! What must stay true:
//! - A delivery error is an unknown outcome; only what never reached the producer's queue is known
//!   not to stand in the log.
//! - The topics keep everything, on enough replicas: their settings are verified at every start,
//!   and the start is refused with a sentence that says how to mend them.
//! - The topics are the ones that were opened, by their ids. A name is not trusted.
//! - What cannot be read is never skipped: an offset that does not exist ends the tail.
//!
//! The modules in the order of a record: `settings` and `topics` say what is wanted, `cluster`
//! makes and verifies it, `producer` appends, `tail` and `reader` show, `watch` looks after all of
//! it; `native` is what the C library offers and its safe wrapper does not. `scratch` removes what
//! a benchmark made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use record::{Layout, Partition, Position};

use crate::single::Single;
use crate::{
    AppendFailure, Deliveries, Entry, EventLog, Extent, LogError, RawRecord, Tail, fail_all,
    refuse_for_good,
};

mod cluster;
mod context;
mod native;
mod producer;
mod reader;
mod scratch;
mod settings;
mod tail;
mod topics;
mod watch;

use cluster::Cluster;
use producer::Producer;
use reader::Reader;
pub use scratch::{SCRATCH_PREFIX, delete_scratch};
pub use settings::{KafkaSettings, Replication};
use watch::Watch;

/// What a message takes beside its payload: its key and Kafka's own headers.
const MESSAGE_OVERHEAD_BYTES: usize = 1_024;

/// The log in Kafka topics.
pub struct KafkaLog {
    _watch: Watch,
    reader: Reader,
    producer: Arc<Producer>,
    cluster: Arc<Cluster>,
}

impl fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog")
            .field("settings", self.cluster.settings())
            .field("layout", &self.cluster.layout())
            .finish_non_exhaustive()
    }
}

impl KafkaLog {
    /// Connects, makes topics that do not exist, and verifies all of them.
    ///
    /// # Errors
    /// [`LogError::Misconfigured`] with the sentence that says what is wrong and how to mend it;
    /// [`LogError::Unavailable`] when the brokers do not answer: try again.
    pub async fn open(settings: KafkaSettings) -> Result<Self, LogError> {
        crate::blocking(move || Self::start(Cluster::open(settings)?)).await
    }

    fn start(cluster: Arc<Cluster>) -> Result<Self, LogError> {
        let config = cluster.settings().producer(cluster.message_bytes_max());
        let producer = Arc::new(Producer::new(config)?);
        let reader = Reader::start(Arc::clone(&cluster))?;
        let watch = Watch::start(Arc::clone(&cluster), &producer)?;
        Ok(Self {
            _watch: watch,
            reader,
            producer,
            cluster,
        })
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn layout(&self) -> Layout {
        self.cluster.layout()
    }

    fn payload_bytes_max(&self) -> usize {
        self.cluster
            .message_bytes_max()
            .saturating_sub(MESSAGE_OVERHEAD_BYTES)
    }

    fn append(&self, mut entries: Vec<Entry>, deliveries: &Arc<dyn Deliveries>) {
        if let Some(sentence) = self.cluster.replaced() {
            let failure = AppendFailure::NotStarted(sentence.to_owned());
            return fail_all(&entries, deliveries.as_ref(), &failure);
        }
        refuse_for_good(self, &mut entries, deliveries.as_ref());
        let settings = self.cluster.settings();
        let name = |partition: Partition| settings.topic_name(partition.topic);
        self.producer.append(&entries, deliveries, name);
    }

    async fn append_one(&self, entry: Entry) -> Result<Option<u64>, LogError> {
        Single::append(self, entry).await
    }

    async fn tail(&self, from: Vec<Position>) -> Result<Tail, LogError> {
        let cluster = Arc::clone(&self.cluster);
        crate::blocking(move || tail::start(cluster, &from)).await
    }

    async fn read_at(&self, position: Position) -> Result<RawRecord, LogError> {
        self.reader.read_at(position).await
    }

    async fn extent(&self, partition: Partition) -> Result<Extent, LogError> {
        let cluster = Arc::clone(&self.cluster);
        crate::blocking(move || cluster.extent(partition)).await
    }

    async fn probe(&self) -> Result<(), LogError> {
        let cluster = Arc::clone(&self.cluster);
        crate::blocking(move || cluster.probe()).await
    }

    async fn flush(&self, at_most: Duration) {
        let producer = Arc::clone(&self.producer);
        let flushed = crate::blocking(move || {
            producer.flush(at_most);
            Ok(())
        });
        if let Err(error) = flushed.await {
            tracing::warn!(%error, "the log was not flushed");
        }
    }
}
