//! The topics in the brokers: made, verified, and watched for as long as the log is open.
//!
//! A topic that was deleted and made again under its name looks the same to every client:
//! librdkafka goes on at the old offset of the new topic, and what stands below is skipped. Only
//! the topic's id tells the difference. It is remembered at open and looked at every few seconds;
//! once it differs, tails end, appends do not start, and the log never recovers by itself.
//!
//! Every function here that asks the brokers blocks.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::RDKafkaErrorCode;
use record::{Layout, Partition, Position, Topic};

use super::context::Context;
use super::native::{self, Described};
use super::settings::{self, KafkaSettings, Replication};
use super::topics::{self, Found};
use crate::{Extent, LogError};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const CREATED_WITHIN: Duration = Duration::from_secs(30);
/// A topic that so many looks in a row did not find is gone.
const MISSED_MAX: u32 = 3;

/// The topics and the client that asks for them.
pub(super) struct Cluster {
    settings: KafkaSettings,
    admin: AdminClient<Context>,
    /// What the topics were when the log was opened.
    opened: BTreeMap<Topic, Described>,
    layout: Layout,
    message_bytes_max: usize,
    /// Why this is not the log that was opened; never taken back.
    replaced: OnceLock<String>,
    /// How many looks in a row found a topic missing.
    missed: AtomicU32,
}

impl Cluster {
    /// Connects, makes what is missing, verifies everything.
    pub(super) fn open(settings: KafkaSettings) -> Result<Arc<Self>, LogError> {
        let admin = AdminClient::from_config_and_context(&settings.admin(), Context)
            .map_err(settings::refused)?;
        let mut cluster = Self {
            settings,
            admin,
            opened: BTreeMap::new(),
            layout: Layout::uniform(0),
            message_bytes_max: 0,
            replaced: OnceLock::new(),
            missed: AtomicU32::new(0),
        };
        let mut described = cluster.describe()?;
        if described.len() < Topic::ALL.len() {
            cluster.refuse_deleted(&described)?;
            if !cluster.settings.makes_topics {
                let sentence = topics::no_log(&cluster.settings.topic_prefix);
                return Err(LogError::Misconfigured(sentence));
            }
            described = cluster.create(&described)?;
        }
        let found = cluster.verify_once_known(&described)?;
        cluster.layout = topics::layout(&described).map_err(LogError::Misconfigured)?;
        cluster.message_bytes_max = topics::message_bytes_max(found.values());
        cluster.opened = described;
        Ok(Arc::new(cluster))
    }

    pub(super) fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }

    /// Every topic's name in Kafka.
    pub(super) fn names(&self) -> Vec<(CString, Topic)> {
        let named = |topic| Some((CString::new(self.settings.topic_name(topic)).ok()?, topic));
        Topic::ALL.into_iter().filter_map(named).collect()
    }

    /// Why this is not the log that was opened, once that was seen.
    pub(super) fn replaced(&self) -> Option<&str> {
        self.replaced.get().map(String::as_str)
    }

    /// Looks at the topics' ids.
    ///
    /// # Errors
    /// The sentence about a topic that was replaced; or no answer.
    pub(super) fn look(&self) -> Result<(), LogError> {
        native::serve_logs(self.admin.inner());
        self.compare(&self.describe()?, 1)
    }

    /// `looks`: whether this is one of the looks that a missing topic is counted by. Others may come
    /// at any pace.
    fn compare(&self, described: &BTreeMap<Topic, Described>, looks: u32) -> Result<(), LogError> {
        let id = |topic: &Topic| described.get(topic).map(|now| now.id);
        let differs = |(topic, opened): &(&Topic, &Described)| id(topic) != Some(opened.id);
        let Some((topic, Described { name, .. })) = self.opened.iter().find(differs) else {
            self.missed.store(0, Ordering::Relaxed);
            return self.replaced().map_or(Ok(()), |sentence| {
                Err(LogError::Misconfigured(sentence.to_owned()))
            });
        };
        let sentence = topics::replaced(name);
        // Another id is certain. That a topic is missing may be a broker that knows little yet.
        let missed = self.missed.fetch_add(looks, Ordering::Relaxed) + looks;
        if id(topic).is_some() || missed >= MISSED_MAX {
            let _ = self.replaced.set(sentence.clone());
        }
        Err(LogError::Misconfigured(sentence))
    }

    /// Looks at ids, counts and settings.
    pub(super) fn probe(&self) -> Result<(), LogError> {
        let described = self.describe()?;
        self.compare(&described, 0)?;
        for (topic, opened) in &self.opened {
            let now = described.get(topic).map_or(0, |now| now.partitions);
            if now != opened.partitions {
                let Described {
                    name, partitions, ..
                } = opened;
                return Err(LogError::Misconfigured(format!(
                    "Topic {name} has {now} partitions, but had {partitions}: the place of an \
                     aggregate follows from the count, which is fixed for good; start with a new \
                     log by another topic prefix."
                )));
            }
        }
        self.verify(&described).map(|_| ())
    }

    /// What exists of a partition.
    pub(super) fn extent(&self, partition: Partition) -> Result<Extent, LogError> {
        let name = self.settings.topic_name(partition.topic);
        let number = i32::from(partition.number);
        let (start, end) = self
            .admin
            .inner()
            .fetch_watermarks(&name, number, ANSWER_WITHIN)
            .map_err(|error| LogError::Unavailable(format!("extent of {partition}: {error}")))?;
        Ok(Extent {
            start: start.max(0) as u64,
            end: end.max(0) as u64,
        })
    }

    /// Why a reader cannot go on at this position: what exists says so.
    pub(super) fn shortened(&self, wanted: Position) -> LogError {
        match self.extent(wanted.partition) {
            Ok(Extent { start, end }) => LogError::Shortened {
                partition: wanted.partition,
                wanted: wanted.offset,
                start,
                end,
            },
            Err(error) => error,
        }
    }

    fn describe(&self) -> Result<BTreeMap<Topic, Described>, LogError> {
        let names: Vec<String> = Topic::ALL
            .map(|topic| self.settings.topic_name(topic))
            .into();
        let described = native::describe_topics(self.admin.inner(), &names, ANSWER_WITHIN);
        let described = described.map_err(|error| {
            let brokers = &self.settings.brokers;
            LogError::Unavailable(format!("Kafka at {brokers}: {error}"))
        })?;
        let topic = |name: &str| {
            Topic::ALL
                .into_iter()
                .find(|topic| self.settings.topic_name(*topic) == name)
        };
        let by_topic = |described: Described| Some((topic(&described.name)?, described));
        Ok(described.into_iter().filter_map(by_topic).collect())
    }

    /// Where some topics are missing and others hold something, the missing ones were deleted.
    fn refuse_deleted(&self, described: &BTreeMap<Topic, Described>) -> Result<(), LogError> {
        let missing = Topic::ALL
            .into_iter()
            .find(|topic| !described.contains_key(topic));
        let Some(missing) = missing else {
            return Ok(());
        };
        for (topic, described) in described {
            for number in 0..u16::try_from(described.partitions).unwrap_or(u16::MAX) {
                let partition = Partition {
                    topic: *topic,
                    number,
                };
                if self.extent(partition)?.end > 0 {
                    let name = self.settings.topic_name(missing);
                    let sentence = topics::missing(&name, &described.name);
                    return Err(LogError::Misconfigured(sentence));
                }
            }
        }
        Ok(())
    }

    fn create(
        &self,
        existing: &BTreeMap<Topic, Described>,
    ) -> Result<BTreeMap<Topic, Described>, LogError> {
        for topic in Topic::ALL {
            if !existing.contains_key(&topic) {
                self.create_one(topic)?;
            }
        }
        let deadline = Instant::now() + CREATED_WITHIN;
        loop {
            // A broker may know a new topic a moment later than the controller.
            let described = self.describe()?;
            if described.len() == Topic::ALL.len() {
                return Ok(described);
            }
            if Instant::now() >= deadline {
                let late = "the new topics did not show up in time".to_owned();
                return Err(LogError::Unavailable(late));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn create_one(&self, topic: Topic) -> Result<(), LogError> {
        let name = self.settings.topic_name(topic);
        let replication = self.settings.replication;
        let replicas = match replication {
            Replication::Three => 3,
            Replication::SingleBroker => 1,
        };
        let count = i32::from(self.settings.layout_at_creation.count(topic));
        let settings = topics::settings_at_creation(topic, replication);
        let mut new = NewTopic::new(&name, count, TopicReplication::Fixed(replicas));
        for (setting, value) in &settings {
            new = new.set(setting, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(ANSWER_WITHIN));
        let created = block_on(self.admin.create_topics([&new], &options));
        let created = created.map_err(|error| LogError::Unavailable(error.to_string()))?;
        match created.into_iter().next() {
            // Another process was faster.
            Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) | None => Ok(()),
            Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor))) => {
                Err(LogError::Misconfigured(format!(
                    "Topic {name} needs {replicas} brokers to be made; start more brokers, or say \
                     --kafka-single-broker if one is meant."
                )))
            }
            Some(Err((_, code))) => Err(LogError::Unavailable(format!("topic {name}: {code}"))),
        }
    }

    /// Verifies topics that may be new: another broker than the one that described them may be
    /// asked for their settings, and know them a moment later.
    fn verify_once_known(
        &self,
        described: &BTreeMap<Topic, Described>,
    ) -> Result<BTreeMap<Topic, Found>, LogError> {
        let deadline = Instant::now() + CREATED_WITHIN;
        loop {
            match self.verify(described) {
                Err(LogError::Unavailable(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                verified => return verified,
            }
        }
    }

    fn verify(
        &self,
        described: &BTreeMap<Topic, Described>,
    ) -> Result<BTreeMap<Topic, Found>, LogError> {
        let found = self.found(described)?;
        for (topic, described) in described {
            let none = Found::new();
            let found = found.get(topic).unwrap_or(&none);
            topics::verify(*topic, described, found, &self.settings)
                .map_err(LogError::Misconfigured)?;
        }
        Ok(found)
    }

    fn found(
        &self,
        described: &BTreeMap<Topic, Described>,
    ) -> Result<BTreeMap<Topic, Found>, LogError> {
        let specifiers: Vec<_> = described
            .values()
            .map(|topic| ResourceSpecifier::Topic(&topic.name))
            .collect();
        let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
        let answered = block_on(self.admin.describe_configs(&specifiers, &options));
        let answered = answered.map_err(|error| LogError::Unavailable(error.to_string()))?;
        let mut found = BTreeMap::new();
        for (topic, resource) in described.keys().zip(answered) {
            let name = self.settings.topic_name(*topic);
            let resource = resource
                .map_err(|code| LogError::Unavailable(format!("settings of {name}: {code}")))?;
            // rdkafka does not pass on that a broker does not know a topic: it lists no settings.
            if resource.entries.is_empty() {
                let late = format!("settings of {name}: the broker does not know the topic yet");
                return Err(LogError::Unavailable(late));
            }
            let entry = |entry: rdkafka::admin::ConfigEntry| Some((entry.name, entry.value?));
            found.insert(
                *topic,
                resource.entries.into_iter().filter_map(entry).collect(),
            );
        }
        Ok(found)
    }
}
