//! The scenarios: which commands, which faults, how often. Each is explored exhaustively.

use crate::claims::Signs;
use crate::commands::Command;
use crate::state::{Faults, SKUS};

mod requests;
mod services;

#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) commands: Vec<Command>,
    /// What was supplied before; `None`: no such item.
    pub(crate) stock: [Option<i8>; SKUS],
    pub(crate) partitions: usize,
    pub(crate) faults: Faults,
    pub(crate) recoveries: usize,
    /// A node completes what it finds pending, concurrently with everything else.
    pub(crate) completes: bool,
    pub(crate) has_replica: bool,
    /// A read-only script may reach a replica.
    pub(crate) reads_anywhere: bool,
    /// New requests may use any older set.
    pub(crate) stale_sets: bool,
    /// The first two commands may share a call.
    pub(crate) batches: bool,
    /// Orders rest on an item's terms.
    pub(crate) terms: bool,
    /// Rebuilds leave out cancelled orders and their keys.
    pub(crate) prunes: bool,
    /// What the first attempt makes stands in the last partition.
    pub(crate) spreads: bool,
    /// Settles carry tail positions.
    pub(crate) positions: bool,
    /// The recovery by a node that knows only the last partition.
    pub(crate) old_node: Option<usize>,
    /// It is about claims and time alone.
    pub(crate) claims: Option<Signs>,
    /// Only with `--full`.
    pub(crate) full: bool,
}

const NO_FAULTS: Faults = Faults {
    call: 0,
    settle: 0,
    rebuild: 0,
    produce: 0,
    fence: 0,
    claim: 0,
    replicate: 0,
    promote: 0,
    split: 0,
    demote: 0,
    restart: 0,
    restart_older: 0,
    restart_empty: 0,
    flush: 0,
    lose_value: 0,
    generation: 0,
    planned: 0,
    leader: 0,
};

fn scenario(name: &'static str, text: &'static str, commands: Vec<Command>) -> Scenario {
    Scenario {
        name,
        text,
        commands,
        stock: [Some(1), Some(1)],
        partitions: 1,
        faults: NO_FAULTS,
        recoveries: 1,
        completes: false,
        has_replica: false,
        reads_anywhere: false,
        stale_sets: false,
        batches: false,
        terms: false,
        prunes: false,
        spreads: false,
        positions: false,
        old_node: None,
        claims: None,
        full: false,
    }
}

const PLANNED: Faults = Faults {
    planned: 1,
    ..NO_FAULTS
};

/// Every scenario, by what it is about.
pub(crate) fn all() -> Vec<Scenario> {
    let mut all = requests::commands();
    all.extend(requests::keys());
    all.extend(services::redis());
    all.extend(services::recovery());
    all.extend(services::rest());
    all
}
