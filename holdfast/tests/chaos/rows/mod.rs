//! What is injected, row by row, named after the faults table (`../SCENARIOS.md`).

/// A row and the function that plays it.
macro_rules! row {
    ($id:literal, $fault:literal, $inject:ident) => {
        $crate::rows::Row::new(
            $id,
            $fault,
            concat!(file!(), "::", stringify!($inject)),
            |scene| Box::pin($inject(scene)),
        )
    };
}

mod clocks;
mod disk;
mod failover;
mod kafka;
mod mysql;
mod network;
mod nodes;
mod projectors;
mod recovery;
mod redis;
mod snapshots;
mod storm;
mod versions;

use std::fmt;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use crate::scene::Scene;

/// Injects a fault and returns when it is over.
type Inject = for<'a, 'b> fn(&'a mut Scene<'b>) -> LocalBoxFuture<'a, ()>;

/// One fault.
#[derive(Clone)]
pub(crate) struct Row {
    /// `F5.b`.
    pub(crate) id: &'static str,
    /// In words.
    pub(crate) fault: &'static str,
    /// Where its function is, as `SCENARIOS.md` names it.
    pub(crate) source: &'static str,
    /// The point at which something happens to a process once the row has armed it, such as
    /// `commit.decided=kill`.
    pub(crate) failpoint: &'static str,
    /// From the fault's end to the first 2xx, at most: several times what it takes, for a busy machine
    /// breaks no promise.
    pub(crate) answers_within: Duration,
    /// Whether CI has time for it.
    pub(crate) short: bool,
    pub(crate) inject: Inject,
}

impl Row {
    /// `F5` of `F5.b`.
    pub(crate) fn kind(&self) -> &str {
        self.id.split('.').next().unwrap_or(self.id)
    }

    const fn new(
        id: &'static str,
        fault: &'static str,
        source: &'static str,
        inject: Inject,
    ) -> Self {
        Self {
            id,
            fault,
            source,
            failpoint: "",
            answers_within: Duration::from_secs(30),
            short: false,
            inject,
        }
    }

    const fn at(mut self, failpoint: &'static str) -> Self {
        self.failpoint = failpoint;
        self
    }

    const fn answers_within(mut self, seconds: u64) -> Self {
        self.answers_within = Duration::from_secs(seconds);
        self
    }

    const fn in_short(mut self) -> Self {
        self.short = true;
        self
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// All rows, in the table's order.
pub(crate) fn all() -> Vec<Row> {
    [
        nodes::ROWS,
        network::ROWS,
        redis::ROWS,
        failover::ROWS,
        recovery::ROWS,
        snapshots::ROWS,
        recovery::MORE_LOST,
        kafka::ROWS,
        projectors::ROWS,
        mysql::ROWS,
        versions::ROWS,
        clocks::ROWS,
        disk::ROWS,
        storm::ROWS,
    ]
    .concat()
}
