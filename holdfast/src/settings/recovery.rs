//! Settings of the gate's recovery from the log, and of its planned changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use command_api::epoch::snapshot::SnapshotSettings;
use command_api::settings::Settings;

use super::{DataArgs, KafkaArgs, KeyArgs, RedisArgs, ShopArgs};

/// How the gate is rebuilt from the log.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecoveryArgs {
    /// Where snapshots of the folded log are kept, so that a recovery reads only what came since;
    /// one directory per process. Default: snapshots in the data directory.
    #[arg(long, env = "HOLDFAST_SNAPSHOT_DIR", value_name = "DIR")]
    pub snapshot_dir: Option<PathBuf>,
    /// A snapshot is made after so many records, at leisure; 0: never. While one is made the whole
    /// fold is in memory: about 0.7 KB for each living order and 0.2 KB for each remembered key, at
    /// its peak up to three times that.
    #[arg(
        long,
        env = "HOLDFAST_SNAPSHOT_RECORDS",
        value_name = "RECORDS",
        default_value_t = 250_000
    )]
    pub snapshot_records: u64,
    /// How many tasks fold the log at once. Default: one for each core.
    #[arg(long, env = "HOLDFAST_FOLD_TASKS", value_name = "TASKS")]
    pub fold_tasks: Option<usize>,
    /// Seconds that a command waits for a recovery before it is answered 503.
    #[arg(
        long,
        env = "HOLDFAST_RECOVERY_WAIT_SECONDS",
        value_name = "SECONDS",
        default_value_t = 5
    )]
    pub recovery_wait_seconds: u64,
    #[command(flatten)]
    pub retention: RetentionArgs,
}

/// How long keys count.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetentionArgs {
    /// Hours that successful idempotency keys are remembered, and finished orders kept in the
    /// gate; at most until the next change of the epoch after that.
    #[arg(
        long,
        env = "HOLDFAST_KEY_RETENTION_HOURS",
        value_name = "HOURS",
        default_value_t = 168
    )]
    pub key_retention_hours: u64,
}

impl RetentionArgs {
    /// How long idempotency keys are remembered.
    pub(crate) fn keys(&self) -> Duration {
        Duration::from_secs(self.key_retention_hours.saturating_mul(3600))
    }
}

impl RecoveryArgs {
    /// Hands them over.
    pub(crate) fn tune(&self, data: &Path, settings: &mut Settings) {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        settings.fold_tasks = self.fold_tasks.unwrap_or_else(cores);
        settings.recovery_wait = Duration::from_secs(self.recovery_wait_seconds);
        settings.key_retention = self.retention.keys();
        settings.snapshots = (self.snapshot_records > 0).then(|| SnapshotSettings {
            directory: match &self.snapshot_dir {
                Some(directory) => directory.clone(),
                None => data.join("snapshots"),
            },
            every_records: self.snapshot_records,
        });
    }
}

/// Commands about epochs.
#[derive(Debug, Subcommand)]
pub(crate) enum EpochCommand {
    /// Rebuild the gate from the log without finished orders and old keys. Commands wait while it
    /// is written; do it in a quiet minute.
    Change(Box<EpochChangeArgs>),
}

/// Settings of `epoch change`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EpochChangeArgs {
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
    pub recovery: RecoveryArgs,
}
