//! Settings of the gate's recovery from the log, and of its planned changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use command_api::epoch::snapshot::{Making, SnapshotSettings};
use command_api::settings::Settings;

use super::{DataArgs, KafkaArgs, KeyArgs, RedisArgs, ShopArgs};

/// How often it is looked whether a snapshot is due.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How the log is read into the gate.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReadingArgs {
    /// Where snapshots of the folded log are kept, so that a recovery reads only what came since.
    /// Servers of one log may share it. Default: snapshots in the data directory.
    #[arg(long, env = "HOLDFAST_SNAPSHOT_DIR", value_name = "DIR")]
    pub snapshot_dir: Option<PathBuf>,
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
}

impl ReadingArgs {
    fn tune(&self, data: &Path, settings: &mut Settings, making: Option<Making>) {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        settings.fold_tasks = self.fold_tasks.unwrap_or_else(cores);
        settings.recovery_wait = Duration::from_secs(self.recovery_wait_seconds);
        let directory = match &self.snapshot_dir {
            Some(directory) => directory.clone(),
            None => data.join("snapshots"),
        };
        settings.snapshots = Some(SnapshotSettings { directory, making });
    }
}

/// How a server rebuilds the gate from the log.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecoveryArgs {
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// A snapshot is made after so many records, at leisure; 0: none is made. While one is made the
    /// whole fold is in memory: about 0.7 KB for each living order and 0.2 KB for each remembered
    /// key, at its peak up to three times that.
    #[arg(
        long,
        env = "HOLDFAST_SNAPSHOT_RECORDS",
        value_name = "RECORDS",
        default_value_t = 250_000
    )]
    pub snapshot_records: u64,
    #[command(flatten)]
    pub retention: RetentionArgs,
}

impl RecoveryArgs {
    /// Hands them over.
    pub(crate) fn tune(&self, data: &Path, settings: &mut Settings) {
        let making = Making {
            every_records: self.snapshot_records,
            look_every: LOOK_EVERY,
        };
        let making = (self.snapshot_records > 0).then_some(making);
        self.reading.tune(data, settings, making);
        settings.key_retention = self.retention.keys();
    }
}

/// How a tool does it beside servers. It makes no snapshots, and has no retention of its own: what
/// it forgot would be missing in the gate of the servers, which promise to remember it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ToolRecoveryArgs {
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Hours that the servers remember successful idempotency keys: their own setting. On Redis and
    /// Kafka the gate is not rebuilt without it, for older keys are forgotten then.
    #[arg(long, env = "HOLDFAST_KEY_RETENTION_HOURS", value_name = "HOURS")]
    pub key_retention_hours: Option<u64>,
}

impl ToolRecoveryArgs {
    /// Hands them over, for a gate that is shared with servers.
    pub(crate) fn tune(&self, data: &Path, settings: &mut Settings) {
        self.reading.tune(data, settings, None);
        match self.key_retention_hours {
            Some(hours) => settings.key_retention = of_hours(hours),
            None => settings.rebuilds = false,
        }
    }

    /// Hands them over, for a gate that nobody else has.
    pub(crate) fn tune_alone(&self, data: &Path, settings: &mut Settings) {
        self.tune(data, settings);
        settings.rebuilds = true;
    }
}

/// How long keys count.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetentionArgs {
    /// Hours that successful idempotency keys are remembered, and finished orders kept in the
    /// gate; at most until the next change of the epoch after that. The same on every server.
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
        of_hours(self.key_retention_hours)
    }
}

fn of_hours(hours: u64) -> Duration {
    Duration::from_secs(hours.saturating_mul(3600))
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
    pub recovery: ToolRecoveryArgs,
}
