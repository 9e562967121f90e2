//! THE PROMISES, CHECKED: a second, simple reading of the raw log, beside the gate's figures and
//! the read models' rows.
//!
//! In: the bytes of every entry of every partition ([`Audit::take_in`]), in order of offset within
//! a partition and in any order across them, and what is to be compared with them ([`Evidence`]).
//! Out: a [`Report`] with one verdict per [`Check`], each broken one with the places where it broke
//! and what mends it.
//!
//! What must stay true: this crate uses none of the code that it checks. It reads the format from
//! its description alone, folds with structures of its own, and is written to be obvious, so
//! that one mistake has to be made twice before it goes unseen. A change of the
//! format is therefore made here as well, by hand.
//!
//! What "never oversold" (S1) means here. Partitions are read independently, so the log has no
//! total order. But its records were written in some order, each partition's in its own, and all
//! of an epoch before any of the next: a record counts only before the next epoch's fence of its
//! partition, and an epoch decides nothing before all its fences stand. So for every SKU:
//! - **at the end of every epoch, and at the end of the log**, supplied − held − sold ≥ 0. (While
//!   the log is written to, "the end" is a [`Horizon`].)
//! - **at every moment of an epoch**: there is an order of its records, each partition's in its
//!   own, in which supplied − held − sold never is below 0. Where there is none, it was below,
//!   whichever the real order was (`moments`). For a SKU by itself that is all that the log can
//!   tell: no check could find more without trusting clocks.
//! - **at every moment of one partition**: all supply of a SKU stands in one partition, in order;
//!   supplied is never below 0 there.
//!
//! Where a sum is below zero, the records are put in order of their times to name the one since
//! which it was. That is a hint for a person; no clock takes part in the verdict.
//!
//! The modules in the order of an entry: `entry` and `body` read it, `fences` says whether it
//! counts, `versions`, `keys`, `orders`, `users` and `stock` fold what does, all within one
//! [`Part`] of the log; `whole` puts the parts together and judges what they say of each other,
//! `read_models` and `gate` compare (by `digest` what is too long to keep), [`report`] tells.
//!
//! Memory: about 850 bytes for each order with its key, its lines (1.5 of them) and its records
//! (see `examples/fold`, which measures).

use std::collections::BTreeMap;

use fnv::FnvHashSet;

mod body;
mod checks;
mod digest;
mod entry;
mod evidence;
mod fences;
mod gate;
mod keys;
mod moments;
mod orders;
mod part;
mod place;
mod read_models;
pub mod report;
mod stock;
mod time;
mod users;
mod versions;
mod whole;

pub use checks::Check;
pub use digest::OrderDigest;
pub use evidence::{
    Acknowledged, CatalogueRow, Checkpoint, Evidence, GateDifference, GateItem, GateOrder,
    GateThings, GateUser, GateValue, Given, Horizon, ItemRow, Ledger, LedgerEntry, OrderRow,
    ReadModelRows, StuckRecord, Thing, UserRow,
};
pub use part::Part;
pub use place::{Partition, Place, Topic};
pub use report::{CheckReport, Counts, Difference, Outcome, Report};

use keys::{Keys, Newest};
use report::Findings;
use versions::Records;
use whole::Whole;

/// An audit under way.
#[derive(Debug, Default)]
pub struct Audit {
    parts: BTreeMap<Partition, Part>,
    records: Records,
    keys: Keys,
}

impl Audit {
    /// An audit that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next entry of a partition, in order of offset. Topics that hold neither records
    /// nor epochs (`user-keys`) are passed over.
    pub fn take_in(&mut self, topic: &str, partition: u16, offset: u64, bytes: &[u8]) {
        if let Some(topic) = Topic::parse(topic) {
            let number = partition;
            let partition = Partition { topic, number };
            self.part(partition).take_in(offset, bytes);
        }
    }

    /// A partition as far as it was read.
    pub fn part(&mut self, partition: Partition) -> &mut Part {
        let part = self.parts.entry(partition);
        part.or_insert_with(|| Part::new(partition))
    }

    /// Takes a partition out, so that it can be read on beside others; [`Audit::join`] brings it
    /// back.
    pub fn take_part(&mut self, partition: Partition) -> Part {
        let part = self.parts.remove(&partition);
        part.unwrap_or_else(|| Part::new(partition))
    }

    /// Takes in a partition that was read beside this audit, from its start.
    pub fn join(&mut self, part: Part) {
        self.parts.insert(part.partition, part);
    }

    /// The SKUs of the items that came into the catalogue so far: what a gate has to be asked for.
    pub fn skus(&self) -> impl Iterator<Item = &str> {
        self.parts.values().flat_map(|part| part.stock.created())
    }

    /// The orders that were placed so far: what a gate has to be asked for.
    pub fn orders(&self) -> impl Iterator<Item = uuid::Uuid> {
        let orders = self.parts.values().flat_map(|part| part.orders.iter());
        orders.map(|(id, _)| id)
    }

    /// The users that registered so far, with the hash of each one's address: what a gate has to
    /// be asked for.
    pub fn users(&self) -> impl Iterator<Item = (uuid::Uuid, &str)> {
        let users = self.parts.values().flat_map(|part| part.users.iter());
        users.map(|(id, user)| (id, &*user.email_hash))
    }

    /// The id of the log, which is that of its first claim; `None` before one was read.
    pub fn log_id(&self) -> Option<uuid::Uuid> {
        let mut parts = self.parts.values();
        parts.find_map(|part| part.epochs.log_id())
    }

    /// Whether an epoch's number comes from a claim of this log.
    pub fn is_claimed(&self, epoch: u64) -> bool {
        let mut parts = self.parts.values();
        parts.any(|part| part.epochs.is_claimed(epoch))
    }

    /// One past the last entry that was read of a partition.
    pub fn next_offset(&self, partition: Partition) -> u64 {
        self.parts.get(&partition).map_or(0, Part::next_offset)
    }

    /// Which of these things of the gate are not as they are in the log so far.
    pub fn differing(&self, gate: &GateThings) -> Vec<GateDifference> {
        gate::compare_things(gate, &Whole::new(&self.parts))
    }

    /// Compares the fold with the evidence and tells.
    pub fn finish(mut self, evidence: &Evidence) -> Report {
        self.report(evidence)
    }

    /// As [`Audit::finish`]; the audit can go on reading.
    pub fn report(&mut self, evidence: &Evidence) -> Report {
        let (mut findings, mut counts) = (Findings::default(), Counts::default());
        let mut newest = Newest::new();
        for part in self.parts.values_mut() {
            part.sort();
            self.records.add(&mut part.records);
            self.keys.add(&mut part.keys);
            findings.add(&part.findings);
            counts.add(&part.counts);
            counts.orders += part.orders.len();
            counts.items += part.stock.created().count() as u64;
            for (epoch, time) in &part.newest {
                let newest = newest.entry(*epoch).or_insert(*time);
                *newest = (*newest).max(*time);
            }
        }
        let read = self.parts.values().filter(|part| part.counts.entries > 0);
        counts.partitions = read.count() as u64;
        counts.keys = self.keys.len() as u64;
        let whole = Whole::new(&self.parts);
        check_epochs(&self.parts, &evidence.horizon, &mut findings);
        self.records.check(&mut findings);
        let again = self.parts.values().flat_map(|part| &part.again);
        let copies = again.filter(|again| self.records.is_copy(again, &mut findings));
        counts.duplicates = copies.count() as u64;
        self.keys
            .check(&newest, evidence.key_retention, &mut findings);
        let held = whole.held_where(|_, order| order.cancelled.is_none());
        whole.check(&evidence.horizon, &evidence.strangers, &mut findings);
        whole.stock.check(&held, &evidence.horizon, &mut findings);
        self.acknowledged(evidence, &whole, &mut findings);
        match &evidence.read_models {
            Ok(rows) => read_models::compare(rows, &whole, &mut findings),
            Err(because) => findings.not_checked(Check::ReadModels, because),
        }
        compare_gate(evidence, &whole, &mut findings);
        let fences = self.parts.values().map(|part| part.fences.count());
        counts.epochs = fences.max().unwrap_or(0) as u64;
        findings.report(counts, evidence.differences_max)
    }

    /// I2: what was answered with a success has exactly one valid record.
    fn acknowledged(&self, evidence: &Evidence, whole: &Whole<'_>, findings: &mut Findings) {
        let acknowledged = match &evidence.acknowledged {
            Ok(acknowledged) => acknowledged,
            Err(because) => return findings.not_checked(Check::Acknowledged, because),
        };
        let asked = acknowledged.iter().filter_map(|command| match command {
            Acknowledged::Place(place) => Some(*place),
            _ => None,
        });
        let mut missing: FnvHashSet<Place> = asked.collect();
        if !missing.is_empty() {
            for place in self.records.places() {
                missing.remove(&place);
            }
        }
        let placed = |id| usize::from(whole.order(id).is_some());
        for command in acknowledged {
            findings.looked(Check::Acknowledged);
            let (about, records) = match command {
                Acknowledged::Record(id) => (format!("record {id}"), self.records.of(*id)),
                Acknowledged::Order(id) => (format!("order {id}"), placed(*id)),
                Acknowledged::Id(id) => {
                    let records = self.records.of(*id).max(placed(*id));
                    (format!("record or order {id}"), records)
                }
                Acknowledged::Place(place) => {
                    let records = usize::from(!missing.contains(place));
                    (format!("the record at {place}"), records)
                }
            };
            if records != 1 {
                let found =
                    format!("It was acknowledged, but {records} valid records stand in the log.");
                findings.broken(Check::Acknowledged, about, None, found);
            }
        }
    }
}

fn compare_gate(evidence: &Evidence, whole: &Whole<'_>, findings: &mut Findings) {
    let mut differs = vec![];
    match (&evidence.gate, &evidence.gate_things) {
        (Err(because), Err(_)) => findings.not_checked(Check::Gate, because),
        (items, things) => {
            if let Ok(items) = items {
                findings.looked_at(Check::Gate, items.len() as u64);
                differs.extend(gate::compare_items(items, &whole.stock));
            }
            if let Ok(things) = things {
                findings.looked_at(Check::Gate, things.len());
                differs.extend(gate::compare_things(things, whole));
            }
        }
    }
    for differs in differs {
        let about = differs.thing.to_string();
        findings.broken(Check::Gate, about, differs.since, differs.found);
    }
}

/// What the topic of epochs says of the others: their fences, and which partition is whose.
fn check_epochs(parts: &BTreeMap<Partition, Part>, horizon: &Horizon, findings: &mut Findings) {
    let nothing = fences::Epochs::default();
    let of_epochs = parts.iter().find(|(of, _)| of.topic == Topic::Epochs);
    let epochs = of_epochs.map_or(&nothing, |(_, part)| &part.epochs);
    let fences = parts.iter().map(|(of, part)| (*of, &part.fences));
    epochs.check(fences, horizon, findings);
    for (partition, part) in parts {
        if let Some(count) = epochs.count(partition.topic) {
            part.check_partition(count, findings);
        }
    }
}
