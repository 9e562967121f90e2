//! Concurrency inside a process: the structures that the tasks of a command node share, under
//! schedules that shuttle chooses, at random and by priority (PCT).
//!
//! The code under test is command-api's own (without its HTTP side), compiled here with shuttle's
//! forms of tokio and parking_lot, so that every lock, channel and wake-up is a point where
//! another task may go on. Nothing sleeps: a sleep is a pause of no length, a time limit never
//! passes. What the world does (the log, the gate, other nodes) is in [`log`] and [`gate`], and
//! draws its faults from the schedule too: a schedule is a whole history, and can be run again.
//!
//! Each of [`scenarios`] states what must hold. [`plants`] are faults that they must find. The
//! ordinary test is brief, with a fixed seed; `cargo xtask interleavings` searches with a new one
//! for as long as one likes.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "most of it is the copy of command-api, whose checks are run there"
)]

include!(concat!(env!("OUT_DIR"), "/command-api/modules.rs"));

pub mod plants;
pub mod scenarios;
pub mod schedules;

mod gated;
mod log;

/// `watch::Sender::new` of tokio.
fn watch_sender<T>(first: T) -> tokio::sync::watch::Sender<T> {
    tokio::sync::watch::channel(first).0
}
