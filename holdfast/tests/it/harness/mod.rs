//! Starts Holdfast as an operator does and speaks to it as a client does.
//!
//! [`System`] is a shop of a test's own, embedded or distributed over [`Services`]; [`Client`] is
//! somebody who uses it; [`Node`] is one process, which a test may signal, kill and start again.
//! Nothing here looks into the program: what cannot be asked over HTTP, with a signal or with a
//! subcommand is not tested here.

mod buyers;
mod client;
pub(crate) mod process;
pub(crate) mod servers;
mod services;
mod system;

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

pub(crate) use buyers::{buy, customers};
pub(crate) use client::{Answer, Api, Client, fresh_key};
pub(crate) use process::{Ended, Node, holdfast, run, run_with, signal};
pub(crate) use servers::{Server, alone};
pub(crate) use services::Services;
pub(crate) use system::{PASSWORD, System};

/// How long anything that "will happen by itself" may take. Generous, for it is only waited out
/// where a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// A variable that `cargo xtask test` sets.
pub(crate) fn environment(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run these tests with `cargo xtask test`"))
}

/// Asks again and again until there is something, and fails where nothing comes.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut turns = turns();
        loop {
            turns.tick().await;
            if let Some(found) = ask().await {
                return found;
            }
        }
    };
    in_time(what, asking).await
}

/// Fails where this does not come to an end.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(result) => result,
        Err(_) => panic!("it did not happen within {PATIENCE:?}: {what}"),
    }
}

/// The pace at which somebody asks again.
pub(crate) fn turns() -> Interval {
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}
