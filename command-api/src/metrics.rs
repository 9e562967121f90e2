//! The names of what a command node measures.

/// Recoveries that were carried out here.
pub const RECOVERIES: &str = "holdfast_recoveries_total";
/// Commands by result.
pub const COMMANDS: &str = "holdfast_commands_total";
/// Pending records that this node completed for others.
pub const COMPLETIONS: &str = "holdfast_completions_total";
