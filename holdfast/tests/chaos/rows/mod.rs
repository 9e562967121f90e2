//! What is injected, row by row, named after the faults table (`../SCENARIOS.md`).

mod nodes;

use std::fmt;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use crate::scene::Scene;
use crate::shop::Role;

/// Injects a fault and returns when it is over.
type Inject = for<'a, 'b> fn(&'a mut Scene<'b>) -> LocalBoxFuture<'a, ()>;

/// One fault.
#[derive(Clone)]
pub(crate) struct Row {
    /// `F5.b`.
    pub(crate) id: &'static str,
    /// In words.
    pub(crate) fault: &'static str,
    /// What processes have set when the shop opens.
    pub(crate) failpoints: &'static [(Role, &'static str)],
    /// From the fault's end to the first 2xx.
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

    const fn new(id: &'static str, fault: &'static str, inject: Inject) -> Self {
        Self {
            id,
            fault,
            failpoints: &[],
            answers_within: Duration::from_secs(10),
            short: false,
            inject,
        }
    }

    const fn with(mut self, failpoints: &'static [(Role, &'static str)]) -> Self {
        self.failpoints = failpoints;
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
    [nodes::ROWS].concat()
}
