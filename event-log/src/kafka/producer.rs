//! Appends: one idempotent producer at a time, whose delivery reports go straight to
//! [`Deliveries`], without a future per record.
//!
//! A delivery error says nothing about the log: the record may stand there. Only what the
//! producer did not take into its queue was surely not appended. After a fatal error (such as a
//! sequence gap) a producer fails every send; it is replaced, and what it left unfinished is of
//! unknown outcome.

use std::sync::Arc;

use parking_lot::RwLock;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use record::{Partition, RecordId};

use super::context::{self, Context};
use crate::{AppendFailure, Deliveries, Entry, LogError};

/// Replaces its producer when that has failed for good.
pub(super) struct Producer {
    config: ClientConfig,
    current: RwLock<ThreadedProducer<Reports>>,
}

/// What a delivery report needs to be told.
struct Waiting {
    partition: Partition,
    id: RecordId,
    deliveries: Arc<dyn Deliveries>,
}

/// Hears the delivery reports.
struct Reports;

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::error_event(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let Waiting {
            partition,
            id,
            deliveries,
        } = *waiting;
        match result {
            // A broker that saw the record twice acknowledges it with offset -1.
            Ok(message) => {
                let offset = u64::try_from(message.offset()).ok();
                deliveries.acknowledged(partition, id, offset);
            }
            Err((error, _)) => deliveries.failed(partition, id, not_delivered(error)),
        }
    }
}

impl Producer {
    pub(super) fn new(config: ClientConfig) -> Result<Self, LogError> {
        let current = start(&config).map_err(super::settings::refused)?;
        Ok(Self {
            config,
            current: RwLock::new(current),
        })
    }

    /// Hands the entries to librdkafka in this order. `name` gives a topic's name in Kafka.
    pub(super) fn append(
        &self,
        entries: &[Entry],
        deliveries: &Arc<dyn Deliveries>,
        name: impl Fn(Partition) -> String,
    ) {
        self.renew_after_fatal_error();
        let producer = self.current.read();
        for entry in entries {
            let waiting = Box::new(Waiting {
                partition: entry.partition,
                id: entry.id,
                deliveries: Arc::clone(deliveries),
            });
            let topic = name(entry.partition);
            let mut record = BaseRecord::with_opaque_to(&topic, waiting)
                .partition(i32::from(entry.partition.number))
                .key(entry.key.as_bytes());
            record.payload = entry.payload.as_deref();
            if let Err((error, _)) = producer.send(record) {
                deliveries.failed(entry.partition, entry.id, not_sent(&error));
            }
        }
    }

    /// Replaces a producer that fails every send.
    pub(super) fn renew_after_fatal_error(&self) {
        let Some((_, reason)) = self.current.read().client().fatal_error() else {
            return;
        };
        let mut current = self.current.write();
        if current.client().fatal_error().is_none() {
            return;
        }
        match start(&self.config) {
            Ok(next) => {
                tracing::error!(reason, "the producer failed for good and was replaced");
                let failed = std::mem::replace(&mut *current, next);
                drop(current);
                // Dropping it purges its queue, which tells all that is unfinished, and waits for
                // its thread: not while others want to append.
                std::thread::spawn(move || drop(failed));
            }
            Err(error) => tracing::error!(%error, "the producer cannot be replaced"),
        }
    }

    /// Waits until the queue is empty. Blocks.
    pub(super) fn flush(&self, at_most: std::time::Duration) {
        // Whether it was in time is seen by the deliveries.
        let _ = self.current.read().flush(at_most);
    }
}

fn start(config: &ClientConfig) -> Result<ThreadedProducer<Reports>, KafkaError> {
    ThreadedProducer::from_config_and_context(config, Reports)
}

/// The producer did not take it: it is surely not in the log.
fn not_sent(error: &KafkaError) -> AppendFailure {
    if refused_for_good(error) {
        AppendFailure::Refused(error.to_string())
    } else {
        AppendFailure::NotStarted(error.to_string())
    }
}

/// It was taken, and was not acknowledged.
fn not_delivered(error: &KafkaError) -> AppendFailure {
    if refused_for_good(error) {
        AppendFailure::Refused(error.to_string())
    } else {
        AppendFailure::Unknown(error.to_string())
    }
}

/// Errors that say that this entry would be refused again, and was not appended.
fn refused_for_good(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        ClusterAuthorizationFailed, InvalidMessageSize, InvalidRecord, MessageSizeTooLarge,
        PolicyViolation, TopicAuthorizationFailed,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(
            MessageSizeTooLarge
                | InvalidMessageSize
                | InvalidRecord
                | PolicyViolation
                | TopicAuthorizationFailed
                | ClusterAuthorizationFailed
        )
    )
}

#[cfg(test)]
mod tests {
    use record::Topic;

    use super::*;
    use crate::conformance::{Heard, entry, hear};
    use crate::kafka::{KafkaSettings, native};

    /// Nobody listens at this broker, so that everything stays in the queue.
    #[tokio::test]
    async fn a_producer_that_failed_for_good_is_replaced_and_tells_what_is_unfinished() {
        let nobody = KafkaSettings {
            brokers: "127.0.0.1:1".to_owned(),
            ..KafkaSettings::default()
        };
        let producer = Producer::new(nobody.producer(1_000_000)).unwrap();
        let (deliveries, mut heard) = Heard::channel();
        let partition = Partition {
            topic: Topic::Orders,
            number: 0,
        };
        let append = || {
            let entry = entry(partition, "k", "1");
            let id = entry.id;
            producer.append(&[entry], &deliveries, |_| "orders".to_owned());
            id
        };
        let before = append();
        native::fail_for_good(producer.current.read().client());
        let after = append();
        let told = hear(&mut heard, 1).await.remove(0);
        assert_eq!(told.id, before);
        assert!(
            matches!(told.outcome, Err(AppendFailure::Unknown(_))),
            "{told:?}"
        );
        assert!(producer.current.read().client().fatal_error().is_none());

        drop((producer, deliveries));
        let told = hear(&mut heard, 1).await.remove(0);
        assert_eq!(told.id, after);
        assert!(
            matches!(told.outcome, Err(AppendFailure::Unknown(_))),
            "{told:?}"
        );
        assert!(heard.recv().await.is_none(), "each is told once");
    }

    #[test]
    fn only_what_was_not_taken_is_known_not_to_stand_in_the_log() {
        let error = KafkaError::MessageProduction;
        let full = error(RDKafkaErrorCode::QueueFull);
        assert!(matches!(not_sent(&full), AppendFailure::NotStarted(_)));
        let large = error(RDKafkaErrorCode::MessageSizeTooLarge);
        assert!(matches!(not_sent(&large), AppendFailure::Refused(_)));
        let late = error(RDKafkaErrorCode::MessageTimedOut);
        assert!(matches!(not_delivered(&late), AppendFailure::Unknown(_)));
        let purged = error(RDKafkaErrorCode::PurgeQueue);
        assert!(matches!(not_delivered(&purged), AppendFailure::Unknown(_)));
        let few = error(RDKafkaErrorCode::NotEnoughReplicasAfterAppend);
        assert!(matches!(not_delivered(&few), AppendFailure::Unknown(_)));
    }
}
