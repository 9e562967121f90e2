//! One partition, folded. Partitions know nothing of each other, so that they can be read side by
//! side; [`crate::Audit`] puts them together.

use crate::body::{Body, Event};
use crate::checks::Check;
use crate::digest::{EntryDigest, Step};
use crate::entry::{self, Entry, Kind};
use crate::fences::{Epochs, Fences, Standing};
use crate::keys::{Key, Newest, Use};
use crate::orders::Orders;
use crate::place::{Partition, Place, Topic};
use crate::report::{Counts, Findings};
use crate::stock::{self, Movement, Shelf};
use crate::users::Users;
use crate::versions::{self, Again, Counted};

/// The fold of one partition.
#[derive(Debug)]
pub struct Part {
    pub(crate) partition: Partition,
    pub(crate) findings: Findings,
    pub(crate) counts: Counts,
    pub(crate) fences: Fences,
    /// What the topic `epochs` says; empty for every other.
    pub(crate) epochs: Epochs,
    /// Records that count and were not collected yet.
    pub(crate) records: Vec<Counted>,
    /// Records whose versions were taken.
    pub(crate) again: Vec<Again>,
    /// Effects of keys that were not collected yet.
    pub(crate) keys: Vec<Use>,
    pub(crate) newest: Newest,
    pub(crate) orders: Orders,
    pub(crate) users: Users,
    pub(crate) stock: Shelf,
}

impl Part {
    /// A partition of which nothing was read.
    pub fn new(partition: Partition) -> Self {
        Self {
            partition,
            findings: Findings::default(),
            counts: Counts::default(),
            fences: Fences::default(),
            epochs: Epochs::default(),
            records: vec![],
            again: vec![],
            keys: vec![],
            newest: Newest::new(),
            orders: Orders::default(),
            users: Users::default(),
            stock: Shelf::default(),
        }
    }

    /// Which one it is.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// One past the last entry that was read.
    pub fn next_offset(&self) -> u64 {
        self.fences.next_offset()
    }

    /// Takes in the next entry, in order of offset.
    pub fn take_in(&mut self, offset: u64, bytes: &[u8]) {
        let partition = self.partition;
        let place = Place { partition, offset };
        self.counts.entries += 1;
        self.fences.step_to(place, &mut self.findings);
        if partition.topic == Topic::Epochs {
            return self.epochs.take_in(place, bytes, &mut self.findings);
        }
        self.findings.looked(Check::Readable);
        let entry = match Entry::read(bytes) {
            Ok(entry) => entry,
            Err(error) => {
                let found = format!("The envelope cannot be read: {error}.");
                let findings = &mut self.findings;
                return findings.broken(Check::Readable, "an entry", place, found);
            }
        };
        match self.fences.judge(&entry, place, &mut self.findings) {
            Standing::Valid => return self.record(place, &entry),
            Standing::Fence => self.counts.fences += 1,
            Standing::Void => self.counts.void += 1,
            Standing::Foreign => {}
        }
        self.pass_over(place, &entry);
    }

    /// Brings what was read into the order in which it is put together with other partitions, so
    /// that this happens beside their reading. May be called at any time.
    pub fn sort(&mut self) {
        self.records.sort();
        self.keys.sort();
    }

    /// A record that no fence makes void: it counts if its version follows.
    fn record(&mut self, place: Place, entry: &Entry<'_>) {
        let id = match entry.kind {
            Kind::Users | Kind::Orders => entry::uuid(entry.aggregate),
            Kind::Inventory | Kind::Fence => Some(uuid::Uuid::nil()),
        };
        let Some(id) = id else {
            let found = "Its aggregate's id is not a UUID in lower case.";
            let findings = &mut self.findings;
            return findings.broken(Check::Readable, entry.name(), place, found);
        };
        let reached = match entry.kind {
            Kind::Users => self.users.reached(id),
            Kind::Orders => self.orders.reached(id),
            Kind::Inventory | Kind::Fence => self.stock.reached(entry.aggregate, place),
        };
        if !versions::is_next(reached, entry, place, &mut self.findings) {
            self.again.push(Again::new(entry, place));
            return self.pass_over(place, entry);
        }
        self.counts.valid += 1;
        self.records.push(Counted {
            id: entry.id,
            place,
        });
        self.fences.counts(entry.epoch, place);
        match Body::read(entry) {
            Ok(body) => self.apply(id, place, entry, &body),
            Err(error) => {
                let found = format!("The body cannot be read: {error}.");
                let findings = &mut self.findings;
                findings.broken(Check::Readable, entry.name(), place, found);
            }
        }
    }

    /// What does not count is still written as it has to be.
    fn pass_over(&mut self, place: Place, entry: &Entry<'_>) {
        if let Err(error) = entry.check_body() {
            let found = format!("The body cannot be read: {error}.");
            let findings = &mut self.findings;
            findings.broken(Check::Readable, entry.name(), place, found);
        }
    }

    fn apply(&mut self, id: uuid::Uuid, place: Place, entry: &Entry<'_>, body: &Body<'_>) {
        let newest = self.newest.entry(entry.epoch).or_insert(body.time);
        *newest = body.time.max(*newest);
        if let Some(key) = body.key {
            self.keys.push(Use {
                key: Key::read(key),
                epoch: entry.epoch,
                place,
                time: body.time,
            });
        }
        body.check_movements(entry, place, &mut self.findings);
        for event in &body.events {
            self.happen(id, place, entry, body, event);
        }
        // What the record states, not what its events would give: whether the two are one is a
        // check of its own, and readers in other languages rely on the statement.
        let order = (entry.kind == Kind::Orders).then_some(id);
        for units in &body.movements {
            let ledger_entry = body.ledger_entry(place, units, order);
            let movement = Movement {
                sku: self.stock.number(units.sku, place),
                offset: place.offset,
                epoch: entry.epoch,
                time: body.time,
                quantity: units.quantity,
                entry: EntryDigest::new(&ledger_entry),
            };
            self.stock.take_in(movement);
        }
    }

    fn happen(
        &mut self,
        id: uuid::Uuid,
        place: Place,
        entry: &Entry<'_>,
        body: &Body<'_>,
        event: &Event<'_>,
    ) {
        let (stock, findings) = (&mut self.stock, &mut self.findings);
        match event {
            Event::OrderPlaced(placed) => {
                let lines = placed.lines.iter();
                let lines = lines.map(|line| (stock.number(line.sku, place), line.quantity));
                let placed = (placed, body.actor);
                self.orders.place(id, entry, placed, lines, place, findings);
            }
            Event::OrderCancelled {
                returned,
                reason,
                at,
            } => {
                let returned = returned.iter();
                let returned =
                    returned.map(|units| (stock.number(units.sku, place), units.quantity));
                let step = Step {
                    version: entry.version,
                    at: *at,
                    actor: body.actor,
                    kind: "order-cancelled",
                    reason: reason.as_deref(),
                };
                let cancelled = (returned.collect(), step);
                self.orders.cancel(id, entry, cancelled, place, findings);
            }
            Event::ItemCreated { sku, terms } => {
                stock.create(entry, sku, body.time, place, findings);
                stock.change(entry, terms, place);
            }
            Event::ItemChanged(terms) => stock.change(entry, terms, place),
            Event::ItemDiscontinued => stock.discontinue(entry, place),
            Event::StockMoved { sku, .. } => stock::belongs(entry, sku, place, findings),
            Event::UserRegistered(registered) => {
                self.users.register(id, entry, registered, place, findings);
            }
            Event::RoleChanged { role } => self.users.change_role(id, role, place),
            Event::Other => {}
        }
    }

    /// Every aggregate's partition is the 64-bit FNV-1a hash of its id's bytes, modulo the topic's
    /// count.
    pub(crate) fn check_partition(&self, count: u16, findings: &mut Findings) {
        let mut look = |noun: &str, id: &str| {
            let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            let number = hash % u64::from(count.max(1));
            if number != u64::from(self.partition.number) {
                let found = format!(
                    "It has records in {}, but belongs into {}/{number}.",
                    self.partition,
                    self.partition.topic.as_str()
                );
                findings.broken(Check::Versions, format!("{noun} {id}"), None, found);
            }
        };
        let mut buffer = uuid::Uuid::encode_buffer();
        for id in self.orders.ids() {
            look("order", id.as_hyphenated().encode_lower(&mut buffer));
        }
        for id in self.users.ids() {
            look("user", id.as_hyphenated().encode_lower(&mut buffer));
        }
        for sku in self.stock.with_records() {
            look("sku", sku);
        }
    }
}
