//! Connections to Redis and Kafka, made and checked at the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use command_api::gate::redis::{RedisGate, RedisSettings};
use command_api::gate::{ENTRIES_PER_GENERATION, Gate};
use event_log::EventLog;
use event_log::kafka::{KafkaLog, KafkaSettings, Replication};

use crate::settings::{Hidden, KafkaArgs, RedisArgs};

/// How long connecting to Redis may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer of Redis may take; after that the same call is sent again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The gate in Redis, probed.
///
/// # Errors
/// One sentence where Redis does not answer or cannot be a gate.
pub(crate) async fn open_gate(args: &RedisArgs) -> Result<Arc<dyn Gate>> {
    let gate = redis_gate(args)?;
    gate.probe().await.context("Redis cannot be used")?;
    Ok(Arc::new(gate))
}

/// The gate in Redis, not connected yet.
///
/// # Errors
/// One sentence where a setting is missing or malformed.
pub(crate) fn redis_gate(args: &RedisArgs) -> Result<RedisGate> {
    let Some(url) = &args.redis else {
        bail!("--redis is missing; give the URL of a Redis 7 or later")
    };
    Ok(RedisGate::new(&RedisSettings {
        url: url.reveal().to_owned(),
        namespace: args.redis_namespace.clone(),
        connect_timeout: CONNECT_WITHIN,
        response_timeout: ANSWER_WITHIN,
        entries_per_generation: ENTRIES_PER_GENERATION,
    })?)
}

/// The log in Kafka: topics made where they are missing, and verified.
///
/// # Errors
/// One sentence where Kafka does not answer or a topic is not as it must be.
pub(crate) async fn open_log(args: &KafkaArgs) -> Result<Arc<dyn EventLog>> {
    Ok(Arc::new(KafkaLog::open(kafka_settings(args)?).await?))
}

/// The log in Kafka for who only looks: verified, and nothing is made.
///
/// # Errors
/// As [`open_log`]; and one sentence where there is no log.
pub(crate) async fn open_log_to_look(args: &KafkaArgs) -> Result<Arc<dyn EventLog>> {
    let settings = KafkaSettings {
        makes_topics: false,
        ..kafka_settings(args)?
    };
    Ok(Arc::new(KafkaLog::open(settings).await?))
}

/// How Kafka is reached.
///
/// # Errors
/// One sentence where a setting is missing or malformed.
pub(crate) fn kafka_settings(args: &KafkaArgs) -> Result<KafkaSettings> {
    let Some(brokers) = &args.kafka else {
        bail!("--kafka is missing; give the brokers as host:port")
    };
    let replication = if args.kafka_single_broker {
        Replication::SingleBroker
    } else {
        Replication::Three
    };
    Ok(KafkaSettings {
        brokers: brokers.clone(),
        topic_prefix: args.kafka_prefix.clone(),
        replication,
        librdkafka: librdkafka(&args.kafka_setting)?,
        ..KafkaSettings::default()
    })
}

/// What the operator should know of this Kafka.
pub(crate) fn log_note(args: &KafkaArgs) -> &'static str {
    if args.kafka_single_broker {
        "answers; one broker: what it acknowledged is as durable as its disk"
    } else {
        "answers; three replicas, two in sync (eligible leader replicas, from Kafka 4.1, are recommended)"
    }
}

fn librdkafka(settings: &[Hidden]) -> Result<BTreeMap<String, String>> {
    let split = |setting: &Hidden| match setting.reveal().split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => bail!("a --kafka-setting is written NAME=VALUE"),
    };
    settings.iter().map(split).collect()
}
