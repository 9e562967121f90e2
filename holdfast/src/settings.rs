//! Every setting: a flag and a `HOLDFAST_…` variable, read once.
//!
//! Secrets come in as [`Hidden`]: they are never printed, by `--help`, by an error or by a log
//! line. Settings that contradict each other stop the start with one sentence.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand};
use domain::money::Currency;

mod recovery;
mod tools;

pub(crate) use recovery::{EpochChangeArgs, EpochCommand, RecoveryArgs, ToolRecoveryArgs};
pub(crate) use tools::{AuditArgs, BenchArgs, LogArgs, ReplayArgs, SaleArgs};

/// A value that is never shown: a URL with a password, say.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Hidden(String);

impl Hidden {
    /// The value, for the one place that needs it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl From<&str> for Hidden {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// An order backend that cannot oversell.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to run; nothing is `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The settings of `serve`, where no command is given.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
#[expect(
    clippy::enum_variant_names,
    reason = "`command-api` is the name of a role"
)]
pub(crate) enum Command {
    /// Run everything in one process: embedded, or on Redis, Kafka and MySQL.
    Serve(Box<ServeArgs>),
    /// Run the write side (distributed): HTTP commands, Redis, Kafka.
    CommandApi(Box<CommandApiArgs>),
    /// Run the projectors (distributed): Kafka to MySQL.
    Projectors(Box<ProjectorsArgs>),
    /// Run the read side (distributed): HTTP queries from MySQL.
    QueryApi(Box<QueryApiArgs>),
    /// Manage users.
    #[command(subcommand)]
    User(UserCommand),
    /// Manage the gate's epochs.
    #[command(subcommand)]
    Epoch(EpochCommand),
    /// Rebuild the read models from the log, check them and swap them in.
    Replay(Box<ReplayArgs>),
    /// Fold the whole log and check every promise; exit code 1 if one is broken.
    Audit(Box<AuditArgs>),
    /// Show records as people read them.
    Log(Box<LogArgs>),
    /// A flash sale, live on the screen, then its audit.
    Sale(Box<SaleArgs>),
    /// Measure: accepted orders and sold-out answers per second, beside the raw parts alone.
    Bench(Box<BenchArgs>),
}

/// Commands about users.
#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user with a role. The password comes from a prompt, from stdin, or from
    /// HOLDFAST_PASSWORD; never from an argument.
    Create(Box<UserCreateArgs>),
}

/// Where an embedded system keeps its files, and where keys are looked for by default.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataArgs {
    /// The data directory.
    #[arg(
        long,
        env = "HOLDFAST_DATA",
        value_name = "DIR",
        default_value = "./holdfast-data"
    )]
    pub data: PathBuf,
}

/// The shop.
#[derive(Debug, Clone, Args)]
pub(crate) struct ShopArgs {
    /// The shop's one currency (ISO 4217), stated for good in the log's first record.
    #[arg(long, env = "HOLDFAST_CURRENCY", default_value = "EUR", value_parser = currency)]
    pub currency: Currency,
}

fn currency(text: &str) -> Result<Currency, String> {
    Currency::parse(text).map_err(|error| error.to_string())
}

/// Redis.
#[derive(Debug, Clone, Args)]
pub(crate) struct RedisArgs {
    /// Redis 7 or later, or Valkey: redis://[:password@]host:port[/db].
    #[arg(
        long,
        env = "HOLDFAST_REDIS",
        value_name = "URL",
        hide_env_values = true
    )]
    pub redis: Option<Hidden>,
    /// Stands in the name of every key, so that shops can share a Redis.
    #[arg(long, env = "HOLDFAST_REDIS_NAMESPACE", default_value = "holdfast")]
    pub redis_namespace: String,
}

/// Kafka.
#[derive(Debug, Clone, Args)]
pub(crate) struct KafkaArgs {
    /// Kafka brokers: host:port, separated by commas.
    #[arg(
        long,
        env = "HOLDFAST_KAFKA",
        value_name = "BROKERS",
        hide_env_values = true
    )]
    pub kafka: Option<String>,
    /// Accept a Kafka of one broker: what it acknowledged is as durable as its disk.
    #[arg(long, env = "HOLDFAST_KAFKA_SINGLE_BROKER")]
    pub kafka_single_broker: bool,
    /// Stands before the name of every topic.
    #[arg(long, env = "HOLDFAST_KAFKA_PREFIX", default_value = "holdfast.")]
    pub kafka_prefix: String,
    /// A setting of librdkafka, such as security.protocol=SASL_SSL; may be given again.
    #[arg(
        long,
        env = "HOLDFAST_KAFKA_SETTINGS",
        value_name = "NAME=VALUE",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub kafka_setting: Vec<Hidden>,
}

/// MySQL.
#[derive(Debug, Clone, Args)]
pub(crate) struct MysqlArgs {
    /// MySQL 8.4 or later, or MariaDB 10.11 or later: mysql://user:password@host:port/database.
    #[arg(
        long,
        env = "HOLDFAST_MYSQL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub mysql: Option<Hidden>,
    /// Connections that queries share.
    #[arg(long, env = "HOLDFAST_MYSQL_CONNECTIONS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub mysql_connections: u32,
}

/// Keys and secrets.
#[derive(Debug, Clone, Args)]
pub(crate) struct KeyArgs {
    /// The secrets file (personal data, fingerprints, tokens). Default: secrets.json in the data
    /// directory, made there at the first start.
    #[arg(long, env = "HOLDFAST_SECRETS_FILE", value_name = "FILE")]
    pub secrets_file: Option<PathBuf>,
    /// The private key that signs access tokens (PEM). Default: jwt-key.pem in the data
    /// directory, made there at the first start.
    #[arg(long, env = "HOLDFAST_JWT_KEY_FILE", value_name = "FILE")]
    pub jwt_key_file: Option<PathBuf>,
    /// A further public key that tokens are accepted from (PEM), so that keys rotate; may be
    /// given again.
    #[arg(
        long,
        env = "HOLDFAST_JWT_PUBLIC_KEY_FILE",
        value_name = "FILE",
        value_delimiter = ','
    )]
    pub jwt_public_key_file: Vec<PathBuf>,
}

/// HTTP.
#[derive(Debug, Clone, Args)]
pub(crate) struct HttpArgs {
    /// Where to listen.
    #[arg(
        long,
        env = "HOLDFAST_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080"
    )]
    pub listen: SocketAddr,
    /// An origin whose scripts may use the API (CORS); may be given again; * is every one.
    #[arg(
        long,
        env = "HOLDFAST_CORS_ORIGINS",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<String>,
    /// A proxy whose X-Forwarded-For is believed; may be given again.
    #[arg(
        long,
        env = "HOLDFAST_TRUSTED_PROXIES",
        value_name = "ADDRESS",
        value_delimiter = ','
    )]
    pub trusted_proxies: Vec<IpAddr>,
    /// Seconds that a connection may take to send a request's head, and may be idle.
    #[arg(long, env = "HOLDFAST_HEAD_TIMEOUT_SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub head_timeout_seconds: u64,
    /// Seconds until the process ends after SIGTERM or Ctrl-C; a second signal ends it at once.
    #[arg(long, env = "HOLDFAST_SHUTDOWN_SECONDS", default_value_t = 20)]
    pub shutdown_seconds: u64,
}

impl HttpArgs {
    /// See [`HttpArgs::head_timeout_seconds`].
    pub(crate) fn head_timeout(&self) -> Duration {
        Duration::from_secs(self.head_timeout_seconds)
    }

    /// See [`HttpArgs::shutdown_seconds`].
    pub(crate) fn shutdown(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds)
    }
}

/// The first administrator.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdminArgs {
    /// The first administrator's address, on an empty log.
    #[arg(long, env = "HOLDFAST_ADMIN_EMAIL", hide_env_values = true)]
    pub admin_email: Option<String>,
}

/// Settings of `serve`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub http: HttpArgs,
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub mysql: MysqlArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub shop: ShopArgs,
    #[command(flatten)]
    pub recovery: RecoveryArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Settings of `command-api`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CommandApiArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub http: HttpArgs,
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub shop: ShopArgs,
    #[command(flatten)]
    pub recovery: RecoveryArgs,
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Settings of `projectors`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectorsArgs {
    #[command(flatten)]
    pub http: HttpArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub mysql: MysqlArgs,
}

/// Settings of `query-api`.
#[derive(Debug, Clone, Args)]
pub(crate) struct QueryApiArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub http: HttpArgs,
    #[command(flatten)]
    pub mysql: MysqlArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    /// Where command-api serves its public keys: http://host:port/.well-known/jwks.json.
    #[arg(long, env = "HOLDFAST_JWKS_URL", value_name = "URL")]
    pub jwks_url: Option<String>,
}

/// Settings of `user create`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UserCreateArgs {
    /// The user's address.
    #[arg(long)]
    pub email: String,
    /// The user's name.
    #[arg(long, default_value = "Administrator")]
    pub name: String,
    /// What the user may do.
    #[arg(long, value_enum)]
    pub role: RoleArg,
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub keys: KeyArgs,
    #[command(flatten)]
    pub shop: ShopArgs,
    #[command(flatten)]
    pub recovery: ToolRecoveryArgs,
}

/// A role on the command line.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum RoleArg {
    /// Orders of one's own.
    Customer,
    /// Inventory and every order.
    Staff,
    /// Staff, roles and projections.
    Admin,
}

/// Where the system runs, once contradictions are ruled out.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In this process and its data directory.
    Embedded,
    /// On Redis, Kafka and MySQL.
    Services,
}

/// All three services or none.
///
/// # Errors
/// One sentence that names what is missing.
pub(crate) fn place(redis: &RedisArgs, kafka: &KafkaArgs, mysql: &MysqlArgs) -> Result<Place> {
    match (&redis.redis, &kafka.kafka, &mysql.mysql) {
        (None, None, None) if kafka.kafka_single_broker => {
            bail!(
                "--kafka-single-broker was given without --kafka; give --redis, --kafka and --mysql, or none of them"
            )
        }
        (None, None, None) => Ok(Place::Embedded),
        (Some(_), Some(_), Some(_)) => Ok(Place::Services),
        (redis, kafka, mysql) => {
            let missing = [
                (redis.is_none(), "--redis"),
                (kafka.is_none(), "--kafka"),
                (mysql.is_none(), "--mysql"),
            ];
            let missing: Vec<_> = missing
                .into_iter()
                .filter(|(missing, _)| *missing)
                .map(|(_, name)| name)
                .collect();
            bail!(
                "{} missing: give --redis, --kafka and --mysql together to run on services, or none of them to run embedded",
                match missing.as_slice() {
                    [one] => format!("{one} is"),
                    several => format!("{} are", several.join(" and ")),
                }
            )
        }
    }
}

/// Removes variables that are set but empty: they count as unset (compose files pass them so).
pub(crate) fn forget_empty_variables() {
    let empty: Vec<_> = std::env::vars_os()
        .filter(|(name, value)| name.to_string_lossy().starts_with("HOLDFAST_") && value.is_empty())
        .map(|(name, _)| name)
        .collect();
    for name in empty {
        // SAFETY: called first in `main`, before any other thread exists.
        unsafe { std::env::remove_var(name) }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn some_services_without_the_others_are_refused_by_name() {
        let cli = Cli::try_parse_from(["holdfast", "--redis", "redis://:marked@h"]).unwrap();
        let error = place(&cli.serve.redis, &cli.serve.kafka, &cli.serve.mysql).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("--kafka and --mysql are missing"),
            "{error}"
        );
        assert!(
            !format!("{cli:?}").contains("marked"),
            "a secret is never printed"
        );
    }
}
