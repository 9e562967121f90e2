//! The log: the only memory that counts.
//!
//! Records go in through [`EventLog::append`] and come out, in order, through [`EventLog::tail`]
//! as raw bytes; what they mean is the business of `record` and of the readers. Two
//! implementations keep one contract, checked by one suite ([`conformance`]): [`kafka`] for many
//! processes, [`sqlite`] for one.
//!
//! What must stay true: what was acknowledged or shown by a tail is kept, in order, for ever; an
//! append whose outcome is not known says so, and never guesses.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use record::{Layout, Partition, Position, RecordId};

pub mod conformance;
pub mod kafka;
mod single;
pub mod sqlite;

/// What is appended.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where to.
    pub partition: Partition,
    /// The aggregate id (or the key of a compacted topic): Kafka's message key.
    pub key: String,
    /// The record's bytes; `None` is a tombstone in a compacted topic.
    pub payload: Option<Bytes>,
    /// Names the entry in [`Deliveries::failed`].
    pub id: RecordId,
}

/// What a tail shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRecord {
    /// Its place in the partition.
    pub offset: u64,
    /// The message key.
    pub key: Bytes,
    /// Its bytes; empty for a tombstone.
    pub payload: Bytes,
}

/// Consecutive records of one partition, in order of offset, never empty. Offsets may have holes
/// (Kafka's control records, compaction).
#[derive(Debug, Clone)]
pub struct Batch {
    /// The partition.
    pub partition: Partition,
    /// Its next records.
    pub records: Vec<RawRecord>,
}

/// Hears what became of appends. Called from the log's own threads: must be quick and not block.
pub trait Deliveries: Send + Sync {
    /// Everything that this process appended to the partition up to this offset is acknowledged
    /// by the log (for Kafka: by all in-sync replicas). `offset` is `None` where the broker
    /// acknowledged `id` without naming its offset.
    fn acknowledged(&self, partition: Partition, id: RecordId, offset: Option<u64>);

    /// The append of this entry failed.
    fn failed(&self, partition: Partition, id: RecordId, failure: AppendFailure);
}

/// Takes out and refuses what no retry would get in: what is too large, or has no place.
fn refuse_for_good(log: &dyn EventLog, entries: &mut Vec<Entry>, deliveries: &dyn Deliveries) {
    let (layout, bytes_max) = (log.layout(), log.payload_bytes_max());
    entries.retain(|entry| {
        let bytes = entry.payload.as_ref().map_or(0, Bytes::len);
        let partition = entry.partition;
        let refusal = if bytes > bytes_max {
            format!("it has {bytes} bytes, the log takes {bytes_max}")
        } else if partition.number >= layout.count(partition.topic) {
            format!("there is no {partition}")
        } else {
            return true;
        };
        deliveries.failed(partition, entry.id, AppendFailure::Refused(refusal));
        false
    });
}

/// Tells the same failure for all of these entries.
fn fail_all(entries: &[Entry], deliveries: &dyn Deliveries, failure: &AppendFailure) {
    for entry in entries {
        deliveries.failed(entry.partition, entry.id, failure.clone());
    }
}

/// Runs what blocks where it blocks nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(LogError::Unavailable(format!("a read stopped: {error}"))),
    }
}

/// Why an append failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendFailure {
    /// Nobody knows whether it stands in the log. Append the same entry again.
    #[error("the outcome of the append is not known: {0}")]
    Unknown(String),
    /// It was never handed to the log (the queue is full). Append it again later.
    #[error("the append was not started: {0}")]
    NotStarted(String),
    /// The log refuses this entry for good (too large, not authorised).
    #[error("the log refuses the record for good: {0}")]
    Refused(String),
}

/// Why the log cannot be used as asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It does not answer now; try again.
    #[error("the log does not answer: {0}")]
    Unavailable(String),
    /// A tail's next offset is before the log's start or beyond its end: records were deleted or
    /// the topic was replaced. Never skip; a person has to look.
    #[error(
        "{partition} starts at {start} and ends at {end}, but offset {wanted} was wanted: records are missing"
    )]
    Shortened {
        /// The partition.
        partition: Partition,
        /// The offset that was wanted next.
        wanted: u64,
        /// The first offset that exists.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// It is set up in a way that would lose records; one sentence that says how to mend it.
    #[error("{0}")]
    Misconfigured(String),
    /// An append failed.
    #[error(transparent)]
    Append(#[from] AppendFailure),
}

/// What exists of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first offset.
    pub start: u64,
    /// One past the last that a reader may see.
    pub end: u64,
}

/// The log. Cheap to clone behind an [`Arc`].
#[async_trait]
pub trait EventLog: Send + Sync + fmt::Debug + 'static {
    /// How many partitions each topic has.
    fn layout(&self) -> Layout;

    /// The largest payload that an append takes, in bytes.
    fn payload_bytes_max(&self) -> usize;

    /// Hands entries over in this order and returns at once; what becomes of each is told to
    /// `deliveries`, exactly once per entry. Must be called from within a tokio runtime.
    fn append(&self, entries: Vec<Entry>, deliveries: &Arc<dyn Deliveries>);

    /// Appends one entry and waits until it is acknowledged. For claims, fences and keys, which
    /// are few. The offset is `None` where the broker did not name it.
    ///
    /// # Errors
    /// [`LogError::Append`].
    async fn append_one(&self, entry: Entry) -> Result<Option<u64>, LogError>;

    /// Reads partitions from these next offsets on, for ever: first what exists, then what comes.
    /// Each partition is in order; across partitions there is none. Returns when all offsets were
    /// found to exist (an offset equal to the end exists).
    ///
    /// # Errors
    /// [`LogError::Shortened`] when an offset does not exist.
    async fn tail(&self, from: Vec<Position>) -> Result<Tail, LogError>;

    /// The record at a position.
    ///
    /// # Errors
    /// [`LogError::Shortened`] when nothing stands there.
    async fn read_at(&self, position: Position) -> Result<RawRecord, LogError>;

    /// The first offset and one past the last.
    ///
    /// # Errors
    /// [`LogError::Unavailable`].
    async fn extent(&self, partition: Partition) -> Result<Extent, LogError>;

    /// Checks that the log answers and is still the one that was opened (topics with the same
    /// ids, counts and settings).
    ///
    /// # Errors
    /// What is wrong, in a sentence for the operator.
    async fn probe(&self) -> Result<(), LogError>;

    /// Waits until everything handed over is delivered or failed, at most this long.
    async fn flush(&self, at_most: std::time::Duration);
}

/// A running reader. Dropping it stops it. Its thread or task is hidden behind a bounded channel.
#[derive(Debug)]
pub struct Tail {
    batches: tokio::sync::mpsc::Receiver<Result<Batch, LogError>>,
}

impl Tail {
    /// A tail that shows what is sent into the channel.
    pub fn new(batches: tokio::sync::mpsc::Receiver<Result<Batch, LogError>>) -> Self {
        Self { batches }
    }

    /// The next records of some partition; waits for them. Safe to cancel.
    ///
    /// # Errors
    /// After an error the tail has ended; open another one at your own next offsets.
    pub async fn next(&mut self) -> Result<Batch, LogError> {
        match self.batches.recv().await {
            Some(next) => next,
            None => Err(LogError::Unavailable("the reader has stopped".to_owned())),
        }
    }

    /// The next records if some are waiting already.
    ///
    /// # Errors
    /// As [`Tail::next`].
    pub fn try_next(&mut self) -> Result<Option<Batch>, LogError> {
        match self.batches.try_recv() {
            Ok(next) => next.map(Some),
            Err(tokio::sync::mpsc::error::TryRecvError::Empty) => Ok(None),
            Err(tokio::sync::mpsc::error::TryRecvError::Disconnected) => {
                Err(LogError::Unavailable("the reader has stopped".to_owned()))
            }
        }
    }
}
