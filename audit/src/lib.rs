//! THE PROMISES, CHECKED: a second, simple reading of the raw log, beside the gate's figures and
//! the read models' rows.
//!
//! In: the bytes of every entry of every partition ([`Audit::take_in`]), in order of offset within
//! a partition and in any order across them, and what is to be compared with them ([`Evidence`]).
//! Out: a [`Report`] with one verdict per [`Check`], each broken one with the places where it broke
//! and what mends it.
//!
//! What must stay true: this crate uses none of the code that it checks. It reads the format from
//! its description alone, folds with structures of its own, and is written to be obvious rather
//! than fast, so that one mistake has to be made twice before it goes unseen. A change of the
//! format is therefore made here as well, by hand.
//!
//! What "never oversold" (S1) means here. Partitions are read independently, so the log has no
//! total order, and most of its moments cannot be told apart afterwards. What can be known is
//! checked, exactly:
//! - **At the end of every epoch.** A record counts only before the next epoch's fence of its
//!   partition, and an epoch decides nothing before all its fences stand. So the sum over the
//!   valid records of all epochs up to one is what the log held when the next one began: at each of
//!   these moments, and at the end, supplied − held − sold ≥ 0 for every SKU. (While the log is
//!   written to, "the end" is a [`Horizon`].)
//! - **At every moment of one partition.** All supply of a SKU stands in one partition, in order:
//!   supplied is never below 0 there.
//!
//! Where a sum is below zero, the records are put in order of (epoch, time) to name the one since
//! which it was. That is a hint for a person; no clock takes part in the verdict.
//!
//! The modules in the order of an entry: [`entry`](self) and `body` read it, `fences` says whether
//! it counts, `versions`, `keys`, `orders` and `stock` fold what does, `read_models` and `gate`
//! compare, [`report`] tells.
//!
//! Memory: about 600 bytes for each order of one line (see `examples/fold.rs`, which measures).

use fnv::FnvHashMap;

mod body;
mod checks;
mod entry;
mod evidence;
mod fences;
mod gate;
mod keys;
mod orders;
mod place;
mod read_models;
pub mod report;
mod stock;
mod time;
mod versions;

pub use checks::Check;
pub use evidence::{
    Acknowledged, Checkpoint, Evidence, GateItem, Given, Horizon, ItemRow, OrderRow, ReadModelRows,
};
pub use place::{Partition, Place, Topic};
pub use report::{CheckReport, Counts, Difference, Outcome, Report};

use body::{Body, Event};
use entry::{Entry, Kind};
use fences::{Epochs, Fences, Standing};
use keys::Keys;
use orders::Orders;
use report::Findings;
use stock::{Movement, Stock};
use versions::{Succession, Versions};

/// An audit under way.
#[derive(Debug, Default)]
pub struct Audit {
    findings: Findings,
    counts: Counts,
    fences: FnvHashMap<Partition, Fences>,
    epochs: Epochs,
    versions: Versions,
    keys: Keys,
    orders: Orders,
    stock: Stock,
}

impl Audit {
    /// An audit that has read nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next entry of a partition, in order of offset. Topics that hold neither records
    /// nor epochs (`user-keys`) are passed over.
    pub fn take_in(&mut self, topic: &str, partition: u16, offset: u64, bytes: &[u8]) {
        let Some(topic) = Topic::parse(topic) else {
            return;
        };
        let partition = Partition {
            topic,
            number: partition,
        };
        let place = Place { partition, offset };
        self.counts.entries += 1;
        let fences = self.fences.entry(partition).or_default();
        fences.step_to(place, &mut self.findings);
        if topic == Topic::Epochs {
            return self.epochs.take_in(place, bytes, &mut self.findings);
        }
        self.findings.looked(Check::Readable);
        let entry = match Entry::read(bytes) {
            Ok(entry) => entry,
            Err(error) => {
                let found = format!("The envelope cannot be read: {error}.");
                return self
                    .findings
                    .broken(Check::Readable, "an entry", place, found);
            }
        };
        match fences.judge(&entry, place, &mut self.findings) {
            Standing::Fence => self.counts.fences += 1,
            Standing::Void => self.counts.void += 1,
            Standing::Valid => self.record(place, &entry),
        }
    }

    /// A record that no fence makes void: it counts if its version follows.
    fn record(&mut self, place: Place, entry: &Entry<'_>) {
        match self.versions.follow(entry, place, &mut self.findings) {
            Succession::Duplicate => {
                self.counts.duplicates += 1;
                return;
            }
            Succession::Conflict => return,
            Succession::Next => self.counts.valid += 1,
        }
        let body = match Body::read(entry) {
            Ok(body) => body,
            Err(error) => {
                let about = entry.name();
                let found = format!("The body cannot be read: {error}.");
                return self.findings.broken(Check::Readable, about, place, found);
            }
        };
        self.keys.take_in(entry, &body, place, &mut self.findings);
        body.check_movements(entry, place, &mut self.findings);
        self.apply(place, entry, &body);
    }

    fn apply(&mut self, place: Place, entry: &Entry<'_>, body: &Body<'_>) {
        for event in &body.events {
            match event {
                Event::OrderPlaced(placed) => {
                    let lines = self.stock.numbered(&placed.lines);
                    self.orders
                        .place(entry, placed, lines, place, &mut self.findings);
                }
                Event::OrderCancelled { returned } => {
                    let returned = self.stock.numbered(returned);
                    self.orders
                        .cancel(entry, &returned, place, &mut self.findings);
                }
                Event::ItemCreated { sku } => {
                    self.stock.create(entry, sku, place, &mut self.findings);
                }
                Event::StockMoved { sku, .. } => {
                    self.stock.belongs(entry, sku, place, &mut self.findings);
                }
                Event::Other => {}
            }
        }
        // What the record states, not what its events would give: whether the two are one is a
        // check of its own, and readers in other languages rely on the statement.
        for (sku, quantity) in &body.movements {
            let movement = Movement {
                place,
                epoch: entry.epoch,
                time: body.time,
                quantity: *quantity,
            };
            self.stock.take_in(sku, movement);
        }
    }

    /// The SKUs of the items that came into the catalogue so far: what a gate has to be asked for.
    pub fn skus(&self) -> impl Iterator<Item = &str> {
        let created = self.stock.iter().filter(|item| item.created.is_some());
        created.map(|item| item.sku.as_ref())
    }

    /// Compares the fold with the evidence and tells.
    pub fn finish(mut self, evidence: &Evidence) -> Report {
        let findings = &mut self.findings;
        self.epochs.finish(&self.fences, findings);
        self.keys.finish(evidence.key_retention, findings);
        let held = self.orders.held();
        self.stock.finish(&held, &evidence.horizon, findings);
        self.acknowledged(evidence);
        let findings = &mut self.findings;
        match &evidence.read_models {
            Ok(rows) => {
                read_models::compare(rows, &self.fences, &self.orders, &self.stock, findings);
            }
            Err(because) => findings.not_checked(Check::ReadModels, because),
        }
        match &evidence.gate {
            Ok(items) => gate::compare(items, &self.stock, findings),
            Err(because) => findings.not_checked(Check::Gate, because),
        }
        self.counts.partitions = self.fences.len() as u64;
        self.counts.epochs = self.fences.values().map(Fences::count).max().unwrap_or(0) as u64;
        self.counts.orders = self.orders.len() as u64;
        self.counts.items = self.stock.created() as u64;
        self.counts.keys = self.keys.len() as u64;
        self.findings.report(self.counts, evidence.differences_max)
    }

    /// I2: what was answered with a success has exactly one valid record.
    fn acknowledged(&mut self, evidence: &Evidence) {
        let acknowledged = match &evidence.acknowledged {
            Ok(acknowledged) => acknowledged,
            Err(because) => return self.findings.not_checked(Check::Acknowledged, because),
        };
        for command in acknowledged {
            self.findings.looked(Check::Acknowledged);
            let (about, records) = match command {
                Acknowledged::Record(id) => (format!("record {id}"), self.versions.records_of(*id)),
                Acknowledged::Order(id) => {
                    let placed = self.orders.is_placed(&id.to_string());
                    (format!("order {id}"), u32::from(placed))
                }
            };
            if records != 1 {
                let found =
                    format!("It was acknowledged, but {records} valid records stand in the log.");
                self.findings
                    .broken(Check::Acknowledged, about, None, found);
            }
        }
    }
}

impl Entry<'_> {
    /// The aggregate, as people name it.
    fn name(&self) -> String {
        let noun = match self.kind {
            Kind::Users => "user",
            Kind::Orders => "order",
            Kind::Inventory => "sku",
            Kind::Fence => "fence",
        };
        format!("{noun} {}", self.aggregate)
    }
}
