//! What the operator sets, and what is set for every client whatever the operator says.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use record::{Layout, Topic};

use crate::LogError;

/// How the brokers are reached and how topics are made.
#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Stands before every topic's name.
    pub topic_prefix: String,
    /// Whether topics are made that do not exist yet. Who only looks makes none.
    pub makes_topics: bool,
    /// How many partitions topics get that do not exist yet. Existing ones keep theirs.
    pub layout_at_creation: Layout,
    /// Whether one broker is all there is. Then a topic has one replica, and what it acknowledged
    /// is as durable as that broker's disk.
    pub replication: Replication,
    /// After this long an append that was not acknowledged is of unknown outcome.
    pub message_timeout: Duration,
    /// Further settings of librdkafka, such as `security.protocol` or `sasl.password`. They
    /// cannot override what the promises rest on.
    pub librdkafka: BTreeMap<String, String>,
}

/// How many brokers keep a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// Three replicas, two of which have to be in sync.
    Three,
    /// One: for development and tests.
    SingleBroker,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".to_owned(),
            topic_prefix: "holdfast.".to_owned(),
            makes_topics: true,
            layout_at_creation: Layout {
                users: 3,
                orders: 3,
                inventory: 3,
            },
            replication: Replication::Three,
            message_timeout: Duration::from_secs(15),
            librdkafka: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for KafkaSettings {
    /// Names further settings without their values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("topic_prefix", &self.topic_prefix)
            .field("makes_topics", &self.makes_topics)
            .field("layout_at_creation", &self.layout_at_creation)
            .field("replication", &self.replication)
            .field("message_timeout", &self.message_timeout)
            .field("librdkafka", &self.librdkafka.keys())
            .finish()
    }
}

impl KafkaSettings {
    /// The topic's name in Kafka.
    pub fn topic_name(&self, topic: Topic) -> String {
        format!("{}{topic}", self.topic_prefix)
    }

    /// What all clients have in common.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.extend(self.librdkafka.clone());
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "holdfast")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            // The default goes up to ten seconds, during which a restarted broker is not used.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    pub(super) fn admin(&self) -> ClientConfig {
        let mut config = self.client();
        config.set("socket.timeout.ms", "10000");
        config
    }

    /// `message_bytes_max` is what the topics take in one batch.
    pub(super) fn producer(&self, message_bytes_max: usize) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // The default of five halves the throughput of a chain that waits for each record.
            .set("linger.ms", "1")
            // Measured with records of 600 bytes: lz4 costs nothing, zstd 3 µs a record.
            .set("compression.type", "lz4")
            .set(
                "message.timeout.ms",
                self.message_timeout.as_millis().to_string(),
            )
            .set("message.max.bytes", message_bytes_max.to_string())
            // A batch larger than the topic takes would be refused with all its records.
            .set("batch.size", message_bytes_max.to_string())
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072");
        config
    }

    fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            // Never joined: librdkafka wants a name before it lets partitions be assigned.
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // The default skips all history when an offset does not exist.
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_uncommitted")
            .set("check.crcs", "true")
            // A reader may wait for its own reader as long as it likes.
            .set("max.poll.interval.ms", "86400000")
            .set("fetch.wait.max.ms", "100");
        config
    }

    pub(super) fn tail(&self) -> ClientConfig {
        let mut config = self.consumer("holdfast-tail");
        config
            // The default of one second makes replays three times slower.
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.max.messages.kbytes", "16384");
        config
    }

    pub(super) fn reader(&self) -> ClientConfig {
        let mut config = self.consumer("holdfast-reader");
        config
            .set("fetch.queue.backoff.ms", "10")
            // One record is wanted; what comes with it is thrown away.
            .set("queued.max.messages.kbytes", "1024")
            .set("max.partition.fetch.bytes", "65536")
            // Says at once that nothing stands at the end, instead of waiting for it.
            .set("enable.partition.eof", "true");
        config
    }
}

/// Why a client could not be made. Never shows the value of a setting.
pub(super) fn refused(error: KafkaError) -> LogError {
    LogError::Misconfigured(match error {
        KafkaError::ClientConfig(_, reason, setting, _) => {
            format!(
                "librdkafka does not take the setting {setting}: {reason}; correct or remove it."
            )
        }
        other => format!("librdkafka does not start: {other}; correct the Kafka settings."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(setting: &str, value: &str) -> KafkaSettings {
        KafkaSettings {
            librdkafka: BTreeMap::from([(setting.to_owned(), value.to_owned())]),
            ..KafkaSettings::default()
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let printed = format!("{:?}", with("sasl.password", "hunter2"));
        assert!(printed.contains("sasl.password"), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[test]
    fn what_the_promises_rest_on_cannot_be_overridden() {
        let producer = with("acks", "1").producer(1_000_000);
        assert_eq!(producer.get("acks"), Some("all"));
        let tail = with("auto.offset.reset", "latest").tail();
        assert_eq!(tail.get("auto.offset.reset"), Some("error"));
    }

    #[test]
    fn a_refused_setting_is_named_without_its_value() {
        let error = with("sasl.pasword", "hunter2")
            .tail()
            .create_native_config()
            .err()
            .unwrap();
        let text = refused(error).to_string();
        assert!(
            text.contains("sasl.pasword") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
