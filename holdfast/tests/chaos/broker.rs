//! What a test says to Kafka, as an operator, an accident or a forger would.

use std::process::Stdio;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};

use crate::harness::eventually;
use crate::harness::servers::java;
use crate::scene::Scene;

const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

impl Scene<'_> {
    /// The shop's topic of this name.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.shop.services.name)
    }

    fn kafka(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.stage.brokers());
        config.set("group.id", "chaos");
        config
    }

    /// The number of the node that leads a partition.
    pub(crate) async fn leader_of(&self, topic: &str, partition: i32) -> usize {
        let (config, topic) = (self.kafka(), self.topic(topic));
        let ask = move || {
            let client: BaseConsumer = config.create().ok()?;
            let known = client.fetch_metadata(Some(&topic), ANSWERS_WITHIN).ok()?;
            let mut partitions = known.topics().first()?.partitions().iter();
            let leader = partitions.find(|it| it.id() == partition)?.leader();
            usize::try_from(leader - 1).ok()
        };
        eventually("the partition has a leader", async || {
            tokio::task::spawn_blocking(ask.clone()).await.unwrap()
        })
        .await
    }

    /// Appends something that no program of ours wrote.
    pub(crate) async fn forge(&self, topic: &str, partition: i32, key: &str, payload: &[u8]) {
        let producer: FutureProducer = self.kafka().create().unwrap();
        let topic = self.topic(topic);
        let record = FutureRecord::to(&topic).partition(partition);
        let record = record.key(key).payload(payload);
        producer.send(record, ANSWERS_WITHIN).await.unwrap();
    }

    /// The first entry of a topic's first partition.
    pub(crate) async fn first_of(&self, topic: &str) -> Vec<u8> {
        let (config, topic) = (self.kafka(), self.topic(topic));
        let read = move || {
            let reader: BaseConsumer = config.create().unwrap();
            let mut from = TopicPartitionList::new();
            from.add_partition_offset(&topic, 0, Offset::Beginning)
                .unwrap();
            reader.assign(&from).unwrap();
            let first = reader.poll(ANSWERS_WITHIN).expect("an entry").unwrap();
            first.payload().unwrap_or_default().to_vec()
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    /// Gives a topic so many partitions, which cannot be undone.
    pub(crate) async fn set_partitions(&self, topic: &str, count: usize) {
        let admin: AdminClient<DefaultClientContext> = self.kafka().create().unwrap();
        let topic = self.topic(topic);
        let more = NewPartitions::new(&topic, count);
        let options = AdminOptions::new().operation_timeout(Some(ANSWERS_WITHIN));
        let made = admin.create_partitions([&more], &options).await.unwrap();
        made[0].as_ref().unwrap();
    }

    /// Runs Kafka's own tool for settings with these words.
    pub(crate) async fn configure_kafka(&self, words: Vec<String>) {
        let mut command = java("kafka.admin.ConfigCommand");
        command.args(words).stdin(Stdio::null());
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

/// Kafka's number of Produce, and of the error by which a producer fails for good.
const PRODUCE: i16 = 0;
const OUT_OF_ORDER_SEQUENCE_NUMBER: i16 = 45;
/// Up to which version of Produce a reply has no tags and no lengths of one byte.
const PRODUCE_VERSION_PLAIN: i16 = 8;

/// Writes that error into a reply to the append that was asked for last. Others pass as they are.
pub(crate) fn out_of_sequence(asked: &[u8], reply: &mut [u8]) {
    let number = |at: usize| Some(i16::from_be_bytes(asked.get(at..at + 2)?.try_into().ok()?));
    let (Some(PRODUCE), Some(version)) = (number(4), number(6)) else {
        return;
    };
    // The number of the call.
    if asked.get(8..12) != reply.get(4..8) {
        return;
    }
    // One topic with one partition, as librdkafka appends: its name, the partition, the error.
    let error = if version <= PRODUCE_VERSION_PLAIN {
        let Some(name) = reply.get(12..14) else {
            return;
        };
        14 + usize::from(u16::from_be_bytes([name[0], name[1]])) + 8
    } else {
        let Some(name) = reply.get(10) else { return };
        assert!(*name < 128, "a name's length is in one byte");
        10 + usize::from(*name) + 5
    };
    if let Some(error) = reply.get_mut(error..error + 2) {
        error.copy_from_slice(&OUT_OF_ORDER_SEQUENCE_NUMBER.to_be_bytes());
    }
}
