//! Where recoveries are measured: a node of this process over a log and a gate of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use command_api::epoch::snapshot::SnapshotSettings;
use command_api::gate::memory::MemoryGate;
use command_api::gate::redis::{RedisGate, SCRATCH_PREFIX as SCRATCH_NAMESPACE};
use command_api::gate::{ENTRIES_PER_GENERATION, Gate};
use domain::money::Currency;
use event_log::EventLog;
use event_log::kafka::SCRATCH_PREFIX;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use personal_data::Secrets;

use super::super::leftovers::Leftovers;
use super::super::stage::{keys_of, local_port, remove_keys, remove_topics, topics_of};
use crate::load::process::Watched;
use crate::services;
use crate::settings::{BenchArgs, Hidden, KafkaArgs, RedisArgs};
use crate::write_side::WriteSide;

/// A log, and a gate that can be lost.
pub(super) struct Place {
    pub(super) log: Arc<dyn EventLog>,
    /// `None`: embedded.
    services: Option<(RedisArgs, KafkaArgs)>,
    secrets: Arc<Secrets>,
    pub(super) currency: Currency,
    pub(super) directory: tempfile::TempDir,
    pub(super) watched: Vec<Watched>,
}

impl Place {
    pub(super) async fn make(args: &BenchArgs) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let run = uuid::Uuid::new_v4().simple();
        let services = args.kafka.kafka.as_ref().map(|_| {
            let redis = RedisArgs {
                redis_namespace: format!("{SCRATCH_NAMESPACE}{run}"),
                ..args.redis.clone()
            };
            let kafka = KafkaArgs {
                kafka_prefix: format!("{SCRATCH_PREFIX}{run}."),
                ..args.kafka.clone()
            };
            (redis, kafka)
        });
        let mut watched = vec![Watched::own("node")];
        let log: Arc<dyn EventLog> = match &services {
            None => Arc::new(SqliteLog::open(
                directory.path(),
                SqliteSettings::default(),
            )?),
            Some((redis, kafka)) => {
                let redis = redis.redis.as_ref().map(Hidden::reveal);
                let places = [
                    ("redis", redis, 6379),
                    ("kafka", kafka.kafka.as_deref(), 9092),
                ];
                for (name, url, default) in places {
                    let port = url.and_then(|url| local_port(url, default));
                    watched.extend(port.and_then(|port| Watched::listening(name, port)));
                }
                match services::open_log(kafka).await {
                    Ok(log) => log,
                    Err(error) => {
                        // Some topics may be there already.
                        if let Err(left) = remove_topics(kafka).await {
                            eprintln!("holdfast: {} may be left: {left:#}", topics_of(kafka));
                        }
                        return Err(error);
                    }
                }
            }
        };
        Ok(Self {
            log,
            services,
            secrets: Arc::new(Secrets::generate()),
            currency: Currency::parse("EUR")?,
            directory,
            watched,
        })
    }

    /// A node, once its epoch is open.
    pub(super) async fn node(&self, snapshots: bool) -> Result<WriteSide> {
        let gate: Arc<dyn Gate> = match &self.services {
            None => Arc::new(MemoryGate::new(ENTRIES_PER_GENERATION)),
            Some((redis, _)) => services::open_gate(redis).await?,
        };
        let (log, currency) = (Arc::clone(&self.log), self.currency);
        let node = WriteSide::start(gate, log, &self.secrets, currency, |settings| {
            let cores = std::thread::available_parallelism();
            settings.fold_tasks = cores.map_or(1, usize::from);
            settings.sign_of_life_wait = Duration::ZERO;
            settings.recovery_wait = Duration::from_secs(600);
            settings.outcome_deadline = Duration::from_secs(600);
            settings.snapshots = snapshots.then(|| SnapshotSettings {
                directory: self.snapshots(),
                // They are made when the benchmark says so.
                making: None,
            });
        });
        node.log_id().await?;
        Ok(node)
    }

    fn snapshots(&self) -> std::path::PathBuf {
        self.directory.path().join("snapshots")
    }

    /// Redis loses everything that is the node's; an embedded node has lost it when it is gone.
    pub(super) async fn lose(&self) -> Result<()> {
        match self.redis()? {
            Some(redis) => Ok(redis.delete_scratch().await?),
            None => Ok(()),
        }
    }

    /// The gate's Redis, where there is one.
    pub(super) fn redis(&self) -> Result<Option<RedisGate>> {
        let redis = self
            .services
            .as_ref()
            .map(|(redis, _)| services::redis_gate(redis));
        redis.transpose()
    }

    /// A gate in Redis beside the node's.
    pub(super) fn redis_beside(&self) -> Result<Option<RedisGate>> {
        let services = self.services.as_ref();
        let beside = services.map(|(redis, _)| services::redis_gate(&beside(redis)));
        beside.transpose()
    }

    /// Removes what the run had to itself.
    pub(super) async fn clear(self) -> Result<()> {
        drop(self.log);
        let Some((redis, kafka)) = &self.services else {
            return Ok(());
        };
        let mut left = Leftovers::default();
        for redis in [redis, &beside(redis)] {
            left.unless(remove_keys(redis).await, keys_of(redis));
        }
        left.unless(remove_topics(kafka).await, topics_of(kafka));
        left.told()
    }
}

fn beside(redis: &RedisArgs) -> RedisArgs {
    RedisArgs {
        redis_namespace: format!("{}-beside", redis.redis_namespace),
        ..redis.clone()
    }
}

/// The most memory that this process has had, in bytes, where the kernel tells it; starts anew.
pub(super) fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    // What cannot be started anew is the peak since the start: too much, never too little.
    let _ = std::fs::write(Path::new("/proc/self/clear_refs"), "5");
    Some(kilobytes * 1024)
}

/// How large the files of a directory are.
pub(super) fn bytes_of(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).context("the directory cannot be read")? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
