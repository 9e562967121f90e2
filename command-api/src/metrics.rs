//! The names of what a command node measures.

/// Recoveries that were carried out here, planned changes among them.
pub const RECOVERIES: &str = "holdfast_recoveries_total";
/// How long each stage of a recovery took.
pub const RECOVERY_SECONDS: &str = "holdfast_recovery_seconds";
/// Records that the recovery under way, or the last one, has folded.
pub const RECOVERY_FOLDED: &str = "holdfast_recovery_records_folded";
/// Records that it has to fold.
pub const RECOVERY_TOTAL: &str = "holdfast_recovery_records";
/// Pieces of the gate that it has written.
pub const RECOVERY_WRITTEN: &str = "holdfast_recovery_pieces_written";
/// Pieces that it has to write, about.
pub const RECOVERY_PIECES: &str = "holdfast_recovery_pieces";
/// Looks for a snapshot: used, passed over, or none there.
pub const SNAPSHOTS_USED: &str = "holdfast_snapshot_looks_total";
/// How large the last snapshot made here is.
pub const SNAPSHOT_BYTES: &str = "holdfast_snapshot_bytes";
/// How many records it covers.
pub const SNAPSHOT_RECORDS: &str = "holdfast_snapshot_records";
/// When it was made, in seconds since 1970.
pub const SNAPSHOT_MADE_SECONDS: &str = "holdfast_snapshot_made_timestamp_seconds";
/// Commands by result.
pub const COMMANDS: &str = "holdfast_commands_total";
/// Pending records that this node completed for others.
pub const COMPLETIONS: &str = "holdfast_completions_total";
