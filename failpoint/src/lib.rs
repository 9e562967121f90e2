//! Named points at which a test kills the program, stops it, or sets its clock wrong.
//!
//! What a signal from outside can only hit by luck (a node that dies between two steps of the
//! protocol) happens here on purpose: [`reached!`] marks the place, and the variable `FAILPOINTS`
//! of the process says what happens there:
//!
//! ```text
//! FAILPOINTS="commit.decided=return(kill@/tmp/armed);clock=return(/tmp/seconds)"
//! ```
//!
//! `kill` ends the process as a power cut would, `stop` stops all of its instructions until
//! somebody sends SIGCONT. With a file, it happens when the file is there, to the first who comes:
//! it is deleted. Counts and chains are those of the crate `fail`.
//!
//! The clock is wrong by the seconds that stand in its file. It is `command-api`'s, by which
//! records, sessions, failed log-ins and new access tokens are dated. Not shifted is what judges
//! access tokens (`contract`) and the time in ids (UUIDv7): both ask the machine. `snapshots=return(1)` lets a node look every second whether a
//! snapshot of its fold is due.
//!
//! What must stay true: without the feature `active` the marks are nothing at all, and with it no
//! release build compiles. So nothing that is shipped has a single one of them.

#[cfg(feature = "active")]
mod active;
#[cfg(feature = "active")]
pub use active::{clock_shift_seconds, pass, snapshots_every};

#[cfg(all(feature = "active", not(debug_assertions)))]
compile_error!("failpoints are for tests only");

/// Marks a point by its name, such as `"commit.decided"`: the step that has just been done.
#[cfg(feature = "active")]
#[macro_export]
macro_rules! reached {
    ($name:literal) => {
        $crate::pass($name)
    };
}

/// Marks a point by its name, such as `"commit.decided"`: the step that has just been done.
#[cfg(not(feature = "active"))]
#[macro_export]
macro_rules! reached {
    ($name:literal) => {};
}

/// How often it is looked whether a snapshot is due: as always.
#[cfg(not(feature = "active"))]
pub const fn snapshots_every() -> Option<std::time::Duration> {
    None
}

/// By how much this process' clock is wrong: not at all.
#[cfg(not(feature = "active"))]
pub const fn clock_shift_seconds() -> i64 {
    0
}
