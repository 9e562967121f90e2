//! The scripts' texts, one set per epoch.
//!
//! The text of a script contains its epoch, its keys and the master's replication id. A server
//! that lost data answers `NOSCRIPT` (a restart forgets scripts, a replica never has them) or has
//! another replication id, so no script ever runs on data that it does not belong to. For the
//! same reason the texts are never sent with `EVAL` and never stored as Functions, which persist.

use domain::quantity::SUPPLIED_MAX;
use record::envelope::VERSION_AT;

use super::keys::{Namespace, OF_EPOCH};
use crate::planted::{self, Planted::StockCheckLeftOut};

pub(super) const LOAD: &str = "load";
pub(super) const DECIDE: &str = "decide";
pub(super) const SETTLE: &str = "settle";
pub(super) const PENDING: &str = "pending";
pub(super) const TAIL_STARTS: &str = "tail_starts";

/// What a script may do; the server refuses the rest, so that a full Redis can still drain.
#[derive(Debug, Clone, Copy)]
enum Flags {
    Reads,
    Writes,
    WritesOnFullMemory,
}

/// The scripts that the current pointer names.
const OF_POINTER: [(&str, Flags, &str); 5] = [
    (LOAD, Flags::Reads, include_str!("scripts/load.lua")),
    (DECIDE, Flags::Writes, include_str!("scripts/decide.lua")),
    (
        SETTLE,
        Flags::WritesOnFullMemory,
        include_str!("scripts/settle.lua"),
    ),
    (PENDING, Flags::Reads, include_str!("scripts/pending.lua")),
    (
        TAIL_STARTS,
        Flags::Reads,
        include_str!("scripts/tail_starts.lua"),
    ),
];
const PUBLISH: &str = include_str!("scripts/publish.lua");
const PRELUDE: &str = include_str!("scripts/prelude.lua");

/// What is written into the text of an epoch's scripts.
#[derive(Debug)]
pub(super) struct Epoch<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) number: u64,
    pub(super) master_replid: &'a str,
    pub(super) entries_per_generation: u64,
}

impl Epoch<'_> {
    /// The scripts that nodes call, by name.
    pub(super) fn scripts(&self) -> impl Iterator<Item = (&'static str, String)> {
        OF_POINTER
            .into_iter()
            .map(|(name, flags, body)| (name, self.text(flags, body)))
    }

    /// The script that makes the epoch current.
    pub(super) fn publish(&self) -> String {
        self.text(Flags::Writes, PUBLISH)
    }

    fn text(&self, flags: Flags, body: &str) -> String {
        let first_line = match flags {
            Flags::Reads => "#!lua flags=no-writes",
            Flags::Writes => "#!lua",
            Flags::WritesOnFullMemory => "#!lua flags=allow-oom",
        };
        let constants = self.constants();
        format!("{first_line}\n{constants}\n{PRELUDE}\n{body}")
    }

    fn constants(&self) -> String {
        let Self {
            namespace,
            number,
            master_replid,
            entries_per_generation,
        } = self;
        let (pointer, prefix) = (namespace.pointer(), namespace.prefix(*number));
        let (first, last) = (VERSION_AT.start + 1, VERSION_AT.end);
        let checks_stock = !planted::is(StockCheckLeftOut);
        [
            format!("local POINTER, PREFIX = '{pointer}', '{prefix}'"),
            format!("local EPOCH, MASTER_REPLID = '{number}', '{master_replid}'"),
            format!("local OF_EPOCH = '{}'", OF_EPOCH.join(" ")),
            format!("local ENTRIES_PER_GENERATION = {entries_per_generation}"),
            format!("local VERSION_FIRST, VERSION_LAST = {first}, {last}"),
            format!("local SUPPLIED_MAX, CHECKS_STOCK = {SUPPLIED_MAX}, {checks_stock}"),
        ]
        .join("\n")
    }
}
