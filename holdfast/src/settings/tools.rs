//! Settings of what looks at a system, rebuilds it, shows or measures it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::recovery::RetentionArgs;
use super::{DataArgs, KafkaArgs, MysqlArgs, RedisArgs};

/// Settings of `replay`.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub mysql: MysqlArgs,
}

/// Settings of `audit`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub data: DataArgs,
    /// Redis is asked where it is given, to compare the gate with the log.
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub mysql: MysqlArgs,
    #[command(flatten)]
    pub retention: RetentionArgs,
    /// What was acknowledged and so has to be in the log: one per line, an order's or a record's
    /// id, a Location (/v1/orders/…), a place (orders/0@7) or a Consistency-Token.
    #[arg(long, value_name = "FILE")]
    pub acknowledged: Option<PathBuf>,
    /// The servers' secrets file, with which consistency tokens are read. Default: secrets.json in
    /// the data directory.
    #[arg(long, env = "HOLDFAST_SECRETS_FILE", value_name = "FILE")]
    pub secrets_file: Option<PathBuf>,
    /// Keep watching: read on, compare again and again, print what changes. Ends on Ctrl-C or
    /// SIGTERM, with exit code 1 if a promise was broken meanwhile.
    #[arg(long)]
    pub follow: bool,
    /// Seconds between two looks. Each reads what is new in the log, but all of the read models
    /// and of the gate.
    #[arg(long, value_name = "SECONDS", requires = "follow", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub interval: u64,
    /// Serve the result for Prometheus at this address, under /metrics.
    #[arg(long, value_name = "ADDRESS", requires = "follow")]
    pub metrics: Option<SocketAddr>,
    /// Print the result as JSON; with --follow, a line at each change.
    #[arg(long)]
    pub json: bool,
}

/// Settings of `log`.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub data: DataArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// Only records of this order.
    #[arg(long, conflicts_with = "sku")]
    pub order: Option<String>,
    /// Only records that are about this SKU or move its stock.
    #[arg(long)]
    pub sku: Option<String>,
    /// Print records as JSON, one per line.
    #[arg(long)]
    pub json: bool,
}

/// Settings of `sale`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SaleArgs {
    /// Buyers, each ordering one unit at once.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub buyers: u32,
    /// Units for sale.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub stock: u32,
    /// A running server; without it a throwaway embedded one is used.
    #[arg(long, value_name = "URL", requires = "yes")]
    pub server: Option<String>,
    /// Yes, place orders on that server.
    #[arg(long)]
    pub yes: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Settings of `bench`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BenchArgs {
    /// Concurrent connections.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: u32,
    /// Seconds of each measurement, after as many to warm up.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,
    #[command(flatten)]
    pub redis: RedisArgs,
    #[command(flatten)]
    pub kafka: KafkaArgs,
    #[command(flatten)]
    pub mysql: MysqlArgs,
    /// Measure recoveries instead: a log is filled, and the gate lost.
    #[arg(long)]
    pub recovery: bool,
    /// Records in that log.
    #[arg(long, default_value_t = 1_000_000, requires = "recovery",
        value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    pub records: u64,
    /// Living orders among them; the others were placed and cancelled.
    #[arg(long, default_value_t = 100_000, requires = "recovery",
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub live_orders: u64,
    /// Days over which they are spread, the last one being today: keys of the last week count.
    #[arg(long, default_value_t = 70, requires = "recovery",
        value_parser = clap::value_parser!(u64).range(1..=3_650))]
    pub days: u64,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Serve nothing but a token's check, with this key: the benchmark starts itself so.
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) bare_http: Option<PathBuf>,
}
