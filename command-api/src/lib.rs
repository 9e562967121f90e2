//! Command → reservation → log.
//!
//! A request comes in over HTTP, is decided by the pure domain, takes its stock in the gate in
//! one atomic step, and is appended to the log; the answer is given when it was read back. The
//! steps stand, readable as the protocol, in [`commit`].
//!
//! In the order a command passes them: [`http`], [`commands`] (one file per aggregate), [`commit`],
//! [`batch`](crate::commit) and the calls of the [`gate`], [`read_back`], [`settle`],
//! [`completion`] for what its own node left behind; [`epoch`] rebuilds the gate from the log.

pub mod clock;
pub mod commands;
pub mod commit;
pub mod completion;
pub mod epoch;
pub mod gate;
pub mod http;
pub mod metrics;
pub mod planted;
pub mod read_back;
pub mod settings;
pub mod settle;
pub mod work;

mod attempt;
mod batch;
mod calls;
mod handler;
mod turns;
