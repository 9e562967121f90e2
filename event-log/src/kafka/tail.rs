//! Tails: a consumer with a thread of its own, which takes batches and hands them over.
//!
//! Partitions are assigned at explicit offsets; nothing is committed and no group is joined. That
//! an offset does not exist is found out before (by the watermarks) and noticed while running: the
//! error arrives among the messages, and after it the partition stands still for good, so the
//! tail ends with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use record::{Partition, Position};
use tokio::sync::mpsc;

use super::cluster::Cluster;
use super::context::Context;
use super::native::{Batches, Fetched};
use super::settings;
use crate::{Batch, LogError, Tail};

/// How many batches wait for a slow reader.
const BATCHES_MAX: usize = 8;
/// How soon a tail notices that it is not wanted any more, or that a topic was replaced.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Starts a tail, once all offsets were found to exist. Blocks until then.
pub(super) fn start(cluster: Arc<Cluster>, from: &[Position]) -> Result<Tail, LogError> {
    for position in from {
        let extent = cluster.extent(position.partition)?;
        if position.offset < extent.start || position.offset > extent.end {
            return Err(cluster.shortened(*position));
        }
    }
    let batches = consumer(&cluster, &cluster.settings().tail())?;
    assign(&cluster, &batches, from)?;
    let (sender, receiver) = mpsc::channel(BATCHES_MAX);
    let follower = Follower {
        next: from.iter().map(|at| (at.partition, at.offset)).collect(),
        cluster,
        batches,
        sender,
    };
    std::thread::Builder::new()
        .name("log-tail".to_owned())
        .spawn(move || follower.run())
        .map_err(|error| LogError::Unavailable(format!("no thread for a tail: {error}")))?;
    Ok(Tail::new(receiver))
}

/// A consumer without partitions.
pub(super) fn consumer(cluster: &Cluster, config: &ClientConfig) -> Result<Batches, LogError> {
    let consumer =
        BaseConsumer::from_config_and_context(config, Context).map_err(settings::refused)?;
    Batches::new(consumer, cluster.names()).map_err(LogError::Unavailable)
}

/// Lets the consumer read these partitions from these offsets, and nothing else.
pub(super) fn assign(
    cluster: &Cluster,
    batches: &Batches,
    from: &[Position],
) -> Result<(), LogError> {
    let mut list = TopicPartitionList::new();
    for Position { partition, offset } in from {
        let name = cluster.settings().topic_name(partition.topic);
        let offset = Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX));
        list.add_partition_offset(&name, i32::from(partition.number), offset)
            .map_err(|error| LogError::Unavailable(error.to_string()))?;
    }
    let assigned = batches.consumer().assign(&list);
    assigned.map_err(|error| LogError::Unavailable(error.to_string()))
}

struct Follower {
    cluster: Arc<Cluster>,
    batches: Batches,
    /// The offset that comes next, or a later one where there are holes.
    next: BTreeMap<Partition, u64>,
    sender: mpsc::Sender<Result<Batch, LogError>>,
}

impl Follower {
    fn run(mut self) {
        while !self.sender.is_closed() {
            let shown = match self.step() {
                Ok(batches) => batches
                    .into_iter()
                    .try_for_each(|batch| self.sender.blocking_send(Ok(batch))),
                Err(error) => {
                    // If nobody hears it, nobody needs it.
                    let _ = self.sender.blocking_send(Err(error));
                    return;
                }
            };
            if shown.is_err() {
                return;
            }
        }
    }

    fn step(&mut self) -> Result<Vec<Batch>, LogError> {
        let fetched = self.batches.fetch(LOOK_EVERY);
        if let Some(sentence) = self.cluster.replaced() {
            return Err(LogError::Misconfigured(sentence.to_owned()));
        }
        let mut batches: Vec<Batch> = Vec::new();
        for fetched in fetched {
            match fetched {
                Fetched::Record(partition, record) => {
                    self.follow(partition, record.offset)?;
                    match batches
                        .iter_mut()
                        .rfind(|batch| batch.partition == partition)
                    {
                        Some(batch) => batch.records.push(record),
                        None => batches.push(Batch {
                            partition,
                            records: vec![record],
                        }),
                    }
                }
                Fetched::Failed {
                    partition,
                    code,
                    text,
                } => self.judge(partition, code, &text)?,
            }
        }
        Ok(batches)
    }

    /// Offsets only ever grow. Otherwise this is not the partition that was read before.
    fn follow(&mut self, partition: Partition, offset: u64) -> Result<(), LogError> {
        let Some(next) = self.next.get_mut(&partition) else {
            return Err(LogError::Unavailable(format!(
                "{partition} was not asked for"
            )));
        };
        if offset < *next {
            return Err(LogError::Unavailable(format!(
                "{partition} went back from offset {next} to {offset}"
            )));
        }
        *next = offset + 1;
        Ok(())
    }

    /// Why the consumer does not go on at this offset. Where it exists after all, another tail can.
    fn ended_at(&self, next: Position, text: &str) -> LogError {
        let Position { partition, offset } = next;
        match self.cluster.extent(partition) {
            Ok(extent) if (extent.start..=extent.end).contains(&offset) => {
                LogError::Unavailable(format!("{next} was refused, but exists: {text}"))
            }
            _ => self.cluster.shortened(next),
        }
    }

    /// Tells what ends a tail from what librdkafka mends by itself.
    fn judge(
        &self,
        partition: Option<Partition>,
        code: RDKafkaErrorCode,
        text: &str,
    ) -> Result<(), LogError> {
        use RDKafkaErrorCode::{
            AutoOffsetReset, Fatal, LogTruncation, OffsetOutOfRange, TopicAuthorizationFailed,
            UnknownPartition, UnknownTopic, UnknownTopicId, UnknownTopicOrPartition,
        };
        let next = partition.and_then(|partition| {
            let offset = *self.next.get(&partition)?;
            Some(Position { partition, offset })
        });
        match (code, next) {
            (AutoOffsetReset | OffsetOutOfRange | LogTruncation, Some(next)) => {
                Err(self.ended_at(next, text))
            }
            (
                UnknownTopicOrPartition
                | UnknownTopic
                | UnknownPartition
                | UnknownTopicId
                | TopicAuthorizationFailed,
                Some(Position { partition, .. }),
            ) => {
                let name = self.cluster.settings().topic_name(partition.topic);
                // Brokers that have just started answer like this, too. Whether the topic is really
                // another one is found out by its id (`watch`); here another tail is tried.
                Err(LogError::Unavailable(format!(
                    "topic {name} cannot be read ({code}); see whether it was deleted or access to \
                     it was taken away"
                )))
            }
            (AutoOffsetReset | OffsetOutOfRange | LogTruncation | Fatal, _) => {
                Err(LogError::Unavailable(format!("{code}: {text}")))
            }
            // A broker that is away comes back; the consumer goes on by itself.
            _ => {
                tracing::debug!(?code, text, "a tail met an error and goes on");
                Ok(())
            }
        }
    }
}
