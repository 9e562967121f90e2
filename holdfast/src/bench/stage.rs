//! Where a benchmark takes place: servers of its own, and on services keys, topics and a database
//! of its own, so that no shop's data is touched. All of it is removed afterwards.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use command_api::gate::Gate;
use command_api::gate::redis::SCRATCH_PREFIX as SCRATCH_NAMESPACE;
use event_log::EventLog;
use event_log::kafka::{SCRATCH_PREFIX, delete_scratch};
use event_log::sqlite::SqliteLog;
use migrations::Database;
use migrations::scratch::ScratchDatabase;
use tokio_util::sync::CancellationToken;

use super::leftovers::Leftovers;
use super::unless_stopped;
use crate::embedded::read_models_file;
use crate::load::process::Watched;
use crate::load::server::{Server, Throwaway, Variables};
use crate::load::shop::Shop;
use crate::services;
use crate::settings::{BenchArgs, Hidden, KafkaArgs, MysqlArgs, Place, RedisArgs, place};

/// Connections of a SQLite reader, as the server has them.
const SQLITE_READERS: u32 = 4;

/// The servers of a run and what they stand on.
pub(crate) struct Stage {
    /// Their directory.
    pub(crate) throwaway: Throwaway,
    /// Their API.
    pub(crate) shop: Shop,
    /// Every process that takes part, the load itself included.
    pub(crate) watched: Vec<Watched>,
    servers: Vec<Server>,
    /// `None`: embedded.
    pub(crate) scratch: Option<Scratch>,
}

/// What a run has to itself on services.
pub(crate) struct Scratch {
    redis: RedisArgs,
    kafka: KafkaArgs,
    mysql: MysqlArgs,
    database: ScratchDatabase,
}

impl Stage {
    /// Starts everything. Stopped meanwhile, it leaves nothing.
    ///
    /// # Errors
    /// One sentence that says what does not start.
    pub(crate) async fn set(args: &BenchArgs, stopping: &CancellationToken) -> Result<Self> {
        match place(&args.redis, &args.kafka, &args.mysql)? {
            Place::Embedded => unless_stopped(stopping, Self::embedded()).await,
            Place::Services => Self::on_services(Scratch::make(args).await?, stopping).await,
        }
    }

    async fn embedded() -> Result<Self> {
        let throwaway = Throwaway::new(vec![])?;
        let server = throwaway.start_role("serve").await?;
        let shop = Shop::open(&server.target, &server.target, &throwaway.admin).await?;
        let watched = watched(std::slice::from_ref(&server), None);
        Ok(Self {
            throwaway,
            shop,
            watched,
            servers: vec![server],
            scratch: None,
        })
    }

    async fn on_services(scratch: Scratch, stopping: &CancellationToken) -> Result<Self> {
        match unless_stopped(stopping, Self::roles(&scratch)).await {
            Ok((throwaway, servers, shop)) => {
                let watched = watched(&servers, Some(&scratch));
                Ok(Self {
                    throwaway,
                    shop,
                    watched,
                    servers,
                    scratch: Some(scratch),
                })
            }
            Err(error) => {
                // What did not start is the sentence to end with.
                if let Err(left) = scratch.remove().await {
                    eprintln!("holdfast: {left:#}");
                }
                Err(error)
            }
        }
    }

    async fn roles(scratch: &Scratch) -> Result<(Throwaway, Vec<Server>, Shop)> {
        let throwaway = Throwaway::new(scratch.variables())?;
        // One after the other: the first one makes the keys, the second one the tables.
        let writes = throwaway.start_role("command-api").await?;
        let projectors = throwaway.start_role("projectors").await?;
        let reads = throwaway.start_role("query-api").await?;
        let shop = Shop::open(&writes.target, &reads.target, &throwaway.admin).await?;
        Ok((throwaway, vec![writes, projectors, reads], shop))
    }

    /// The log that the servers write, for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) async fn log(&self) -> Result<Arc<dyn EventLog>> {
        match &self.scratch {
            Some(scratch) => services::open_log(&scratch.kafka).await,
            None => Ok(Arc::new(SqliteLog::open_read_only(self.throwaway.path())?)),
        }
    }

    /// The read models as query-api reads them.
    ///
    /// # Errors
    /// When the database's URL cannot be used.
    pub(crate) fn read_models(&self) -> Result<Database> {
        match &self.scratch {
            Some(scratch) => {
                let connections = scratch.mysql.mysql_connections;
                Ok(Database::mysql(scratch.database.url(), connections)?)
            }
            None => {
                let file = read_models_file(self.throwaway.path());
                Ok(Database::sqlite_reader(&file, SQLITE_READERS))
            }
        }
    }

    /// Ends the servers; their data stays until [`Stage::clear`].
    ///
    /// # Errors
    /// When one cannot be ended.
    pub(crate) async fn end_servers(&mut self) -> Result<()> {
        for server in self.servers.drain(..) {
            server.kill().await?;
        }
        Ok(())
    }

    /// Removes what the run had to itself.
    ///
    /// # Errors
    /// One sentence that names what is left behind.
    pub(crate) async fn clear(mut self) -> Result<()> {
        let ended = self.end_servers().await;
        let removed = match self.scratch.take() {
            Some(scratch) => scratch.remove().await,
            None => Ok(()),
        };
        ended.and(removed)
    }
}

impl Scratch {
    async fn make(args: &BenchArgs) -> Result<Self> {
        let Some(url) = &args.mysql.mysql else {
            bail!("--mysql is missing")
        };
        let run = uuid::Uuid::new_v4().simple();
        let database = ScratchDatabase::create(url.reveal()).await.context(
            "the benchmark makes a database of its own and drops it afterwards; give a --mysql \
             whose user may create databases",
        )?;
        let redis = RedisArgs {
            redis_namespace: format!("{SCRATCH_NAMESPACE}{run}"),
            ..args.redis.clone()
        };
        let kafka = KafkaArgs {
            kafka_prefix: format!("{SCRATCH_PREFIX}{run}."),
            ..args.kafka.clone()
        };
        Ok(Self {
            redis,
            kafka,
            mysql: args.mysql.clone(),
            database,
        })
    }

    /// A gate of its own, beside the servers'.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub(crate) async fn gate_beside(&self) -> Result<Arc<dyn Gate>> {
        services::open_gate(&self.redis_beside()).await
    }

    /// A log of its own, beside the servers'.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub(crate) async fn log_beside(&self) -> Result<Arc<dyn EventLog>> {
        services::open_log(&self.kafka_beside()).await
    }

    /// An empty database beside the servers', to be removed by the caller.
    ///
    /// # Errors
    /// When MySQL does not answer.
    pub(crate) async fn database_beside(&self) -> Result<ScratchDatabase> {
        Ok(ScratchDatabase::create(self.database.url()).await?)
    }

    fn redis_beside(&self) -> RedisArgs {
        let namespace = format!("{}-parts", self.redis.redis_namespace);
        RedisArgs {
            redis_namespace: namespace,
            ..self.redis.clone()
        }
    }

    fn kafka_beside(&self) -> KafkaArgs {
        KafkaArgs {
            kafka_prefix: format!("{}parts.", self.kafka.kafka_prefix),
            ..self.kafka.clone()
        }
    }

    fn variables(&self) -> Variables {
        let revealed = |hidden: &Option<Hidden>| hidden.as_ref().map(|h| h.reveal().to_owned());
        let settings: Vec<_> = self
            .kafka
            .kafka_setting
            .iter()
            .map(Hidden::reveal)
            .collect();
        vec![
            (
                "HOLDFAST_REDIS",
                revealed(&self.redis.redis).unwrap_or_default(),
            ),
            (
                "HOLDFAST_REDIS_NAMESPACE",
                self.redis.redis_namespace.clone(),
            ),
            (
                "HOLDFAST_KAFKA",
                self.kafka.kafka.clone().unwrap_or_default(),
            ),
            ("HOLDFAST_KAFKA_PREFIX", self.kafka.kafka_prefix.clone()),
            (
                "HOLDFAST_KAFKA_SINGLE_BROKER",
                self.kafka.kafka_single_broker.to_string(),
            ),
            ("HOLDFAST_KAFKA_SETTINGS", settings.join(",")),
            ("HOLDFAST_MYSQL", self.database.url().to_owned()),
            (
                "HOLDFAST_MYSQL_CONNECTIONS",
                self.mysql.mysql_connections.to_string(),
            ),
        ]
    }

    /// The services that run on this machine and can be seen.
    fn watched(&self) -> Vec<Watched> {
        let urls = [
            ("redis", self.redis.redis.as_ref().map(Hidden::reveal), 6379),
            ("kafka", self.kafka.kafka.as_deref(), 9092),
            ("mysql", Some(self.database.url()), 3306),
        ];
        let local = |(name, url, default): (&'static str, Option<&str>, u16)| {
            Watched::listening(name, local_port(url?, default)?)
        };
        urls.into_iter().filter_map(local).collect()
    }

    async fn remove(self) -> Result<()> {
        let mut left = Leftovers::default();
        for redis in [&self.redis, &self.redis_beside()] {
            left.unless(remove_keys(redis).await, keys_of(redis));
        }
        for kafka in [&self.kafka, &self.kafka_beside()] {
            left.unless(remove_topics(kafka).await, topics_of(kafka));
        }
        let database = format!("the database {}", self.database.name());
        left.unless(self.database.remove().await, database);
        left.told()
    }
}

/// Removes a gate of a run.
///
/// # Errors
/// When Redis does not answer.
pub(super) async fn remove_keys(redis: &RedisArgs) -> Result<()> {
    Ok(services::redis_gate(redis)?.delete_scratch().await?)
}

/// Removes a log of a run.
///
/// # Errors
/// When Kafka does not answer or refuses.
pub(super) async fn remove_topics(kafka: &KafkaArgs) -> Result<()> {
    Ok(delete_scratch(services::kafka_settings(kafka)?).await?)
}

/// How a person finds a gate of a run.
pub(super) fn keys_of(redis: &RedisArgs) -> String {
    format!("the Redis keys {{{}}}:*", redis.redis_namespace)
}

/// How a person finds a log of a run.
pub(super) fn topics_of(kafka: &KafkaArgs) -> String {
    format!("the Kafka topics {}*", kafka.kafka_prefix)
}

fn watched(servers: &[Server], scratch: Option<&Scratch>) -> Vec<Watched> {
    let mut watched: Vec<_> = servers.iter().filter_map(Server::watched).collect();
    watched.extend(scratch.map(Scratch::watched).unwrap_or_default());
    watched.push(Watched::own("load"));
    watched
}

/// The port of a URL or of `host:port`, if the host is this machine.
pub(crate) fn local_port(url: &str, default: u16) -> Option<u16> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', ',']).next()?;
    let host_and_port = authority.rsplit('@').next()?;
    let (host, port) = host_and_port
        .rsplit_once(':')
        .unwrap_or((host_and_port, ""));
    let here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    here.then(|| port.parse().unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_service_on_this_machine_is_found() {
        assert_eq!(
            local_port("redis://:p%40@127.0.0.1:7000/2", 6379),
            Some(7000)
        );
        assert_eq!(local_port("mysql://u:p@localhost/shop", 3306), Some(3306));
        assert_eq!(
            local_port("127.0.0.1:9093,127.0.0.1:9094", 9092),
            Some(9093)
        );
        assert_eq!(local_port("kafka.example:9092", 9092), None);
    }
}
