//! The log and its readers: which records count, and what they add up to.
//!
//! The promises are judged by the readers' rules of the protocol, whatever rule a mutant left out;
//! only what a mutant's own recovery reads is read in its way.

use crate::commands::{DISCONTINUED, Kind, aggregate, snapshot_after, taken};
use crate::protocol::Protocol;
use crate::rules::Rule;
use crate::state::{
    AGGREGATES, ATTEMPTS, Data, Entry, Found, LOG, PARTITIONS, Partition, SKUS, State, Value, bit,
    small,
};

/// A fold of the valid log.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) version: [u8; AGGREGATES],
    pub(crate) snapshot: [u8; AGGREGATES],
    pub(crate) supplied: [i8; SKUS],
    pub(crate) held: [i8; SKUS],
    pub(crate) exists: [bool; SKUS],
    /// The version of an item's last terms.
    pub(crate) terms: [u8; SKUS],
    /// Versions of an item that set terms, as bits.
    pub(crate) all_terms: [u8; SKUS],
    /// Owners of the e-mail address, by attempt.
    pub(crate) owners: u8,
    /// How often each attempt took effect.
    pub(crate) effects: [u8; ATTEMPTS],
    /// The epoch of each attempt's valid record.
    pub(crate) epoch: [u8; ATTEMPTS],
    /// The terms that each attempt's valid order rests on.
    pub(crate) rests_on_terms: [u8; ATTEMPTS],
    /// A reader met a version gap and stopped.
    pub(crate) gap: bool,
}

impl Book {
    pub(crate) fn is_valid(&self, attempt: usize) -> bool {
        self.effects[attempt] > 0
    }
}

/// How far a reader reads, and by which rules.
#[derive(Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) until: [u8; PARTITIONS],
    pub(crate) skips_void: bool,
    pub(crate) skips_duplicates: bool,
    pub(crate) stops_at_gaps: bool,
    /// Giving up a claim removes only one's own.
    pub(crate) gives_up_own: bool,
    /// Where a reader went on from its checkpoint.
    pub(crate) resumes_at: Option<(usize, usize)>,
}

impl Reading {
    pub(crate) const TRUE: Self = Self {
        until: [u8::MAX; PARTITIONS],
        skips_void: true,
        skips_duplicates: true,
        stops_at_gaps: true,
        gives_up_own: true,
        resumes_at: None,
    };
}

/// What a tail finds for a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    Nothing,
    Copy(usize),
    HigherFence,
}

impl Protocol {
    /// The partition of an aggregate: items in the last one, what attempts make in the
    /// first, or, where the scenario spreads them, what the first attempt makes in the last.
    pub(crate) fn partition(&self, aggregate: usize) -> usize {
        let last = self.scenario.partitions - 1;
        match aggregate {
            0..SKUS => last,
            SKUS if self.scenario.spreads => last,
            _ => 0,
        }
    }

    pub(crate) fn partition_of(&self, attempt: usize) -> usize {
        self.partition(self.aggregate(attempt))
    }

    pub(crate) fn kind(&self, attempt: usize) -> &Kind {
        &self.scenario.commands[attempt].kind
    }

    /// Ids of what a command creates are made by the attempt.
    pub(crate) fn aggregate(&self, attempt: usize) -> usize {
        let command = &self.scenario.commands[attempt];
        let maker = match command.key {
            Some(key) if !self.keeps(Rule::IdsByAttempt) => key,
            _ => attempt,
        };
        aggregate(&command.kind, maker)
    }

    pub(crate) fn genesis(&self) -> Book {
        let mut book = Book::default();
        for sku in 0..SKUS {
            let Some(stock) = self.scenario.stock[sku] else {
                continue;
            };
            book.exists[sku] = true;
            book.supplied[sku] = stock;
            book.version[sku] = 1;
            book.snapshot[sku] = crate::commands::ACTIVE;
            book.terms[sku] = 1;
            book.all_terms[sku] = bit(1);
        }
        book
    }

    pub(crate) fn fold(&self, state: &State, reading: &Reading) -> Book {
        let mut book = self.genesis();
        for (index, partition) in state.log.iter().enumerate() {
            let mut highest = 0;
            let until = partition.len.min(reading.until[index]);
            for (offset, entry) in partition.entries[..usize::from(until)].iter().enumerate() {
                let resumes = reading.resumes_at == Some((index, offset));
                if resumes && !self.keeps(Rule::CheckpointsHoldFences) {
                    highest = 0;
                }
                if entry.is_fence() {
                    highest = highest.max(entry.epoch);
                    continue;
                }
                if entry.epoch < highest && reading.skips_void {
                    continue;
                }
                let known = book.version[self.aggregate(entry.attempt())];
                let version = entry.aggregate_version();
                if version <= known && reading.skips_duplicates {
                    continue;
                }
                if version > known + 1 {
                    book.gap = true;
                    if reading.stops_at_gaps {
                        break;
                    }
                }
                self.apply(&mut book, *entry, reading);
            }
        }
        book
    }

    fn apply(&self, book: &mut Book, entry: Entry, reading: &Reading) {
        let attempt = entry.attempt();
        let kind = self.kind(attempt);
        let aggregate = self.aggregate(attempt);
        book.version[aggregate] = entry.aggregate_version();
        book.snapshot[aggregate] = snapshot_after(kind, book.snapshot[aggregate]);
        book.effects[attempt] += 1;
        book.epoch[attempt] = entry.epoch;
        book.rests_on_terms[attempt] = entry.terms();
        match *kind {
            Kind::Order { .. } => hold(book, taken(kind), 1),
            Kind::Cancel { order } => hold(book, taken(self.kind(order)), -1),
            Kind::Move { sku, quantity } => book.supplied[sku] += quantity,
            Kind::Create { sku } => {
                book.exists[sku] = true;
                set_terms(book, sku, entry);
            }
            Kind::Reprice { sku } | Kind::Discontinue { sku } => set_terms(book, sku, entry),
            Kind::Register => book.owners |= bit(attempt),
            Kind::GiveUp { user } if reading.gives_up_own => book.owners &= !bit(user),
            Kind::GiveUp { .. } => book.owners = 0,
            Kind::LogIn { .. } => {}
        }
    }

    /// What a rebuild writes, from a fold: everything but what pruning leaves out.
    pub(crate) fn gate_of(&self, book: &Book, highest_counts: bool) -> Data {
        let mut data = Data::default();
        for sku in 0..SKUS {
            if book.exists[sku] {
                data.value[sku] = Value {
                    present: 1,
                    available: book.supplied[sku] - book.held[sku],
                    terms: book.terms[sku],
                    discontinued: u8::from(book.snapshot[sku] == DISCONTINUED),
                };
            }
        }
        data.version = book.version;
        data.snapshot = book.snapshot;
        for attempt in 0..self.attempts() {
            if book.is_valid(attempt) && self.scenario.commands[attempt].key.is_some() {
                self.enter_rebuilt(&mut data, book, attempt, highest_counts);
            }
        }
        if let Some(owner) = crate::state::bits(book.owners).last() {
            data.email = 1 + small(owner);
        }
        if self.scenario.prunes {
            self.prune(&mut data);
        }
        data
    }

    /// Of several valid records of one key, the one of the highest epoch counts.
    fn enter_rebuilt(&self, data: &mut Data, book: &Book, attempt: usize, highest: bool) {
        let key = self.key(attempt);
        if let Found::Record { attempt: other, .. } = data.found(key)
            && (book.epoch[other] > book.epoch[attempt] || !highest)
        {
            return;
        }
        let settled = true;
        data.enter(key, Found::Record { attempt, settled });
    }

    /// Leaves out cancelled orders and their keys, which count as past their retention. Items are
    /// never left out, for a client chose their id.
    pub(crate) fn prune(&self, data: &mut Data) {
        for attempt in 0..self.attempts() {
            let aggregate = self.aggregate(attempt);
            let is_order = matches!(self.kind(attempt), Kind::Order { .. });
            if is_order && data.snapshot[aggregate] == crate::commands::CANCELLED {
                data.version[aggregate] = 0;
                data.snapshot[aggregate] = 0;
                let key = self.key(attempt);
                if let Found::Record { attempt: other, .. } = data.found(key)
                    && other == attempt
                {
                    data.enter(key, Found::Nothing);
                }
            }
        }
        for sku in 0..SKUS {
            if !self.keeps(Rule::NeverPruneItems) && data.snapshot[sku] == DISCONTINUED {
                data.version[sku] = 0;
                data.snapshot[sku] = 0;
                data.value[sku] = Value::default();
            }
        }
    }

    /// Where a tail of an epoch starts: at the epoch's own fence, the first copy of it.
    pub(crate) fn fence_position(&self, partition: &Partition, epoch: u8) -> Option<usize> {
        let mut fences = partition
            .entries()
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.is_fence() && entry.epoch == epoch);
        if self.keeps(Rule::TailStartsAtFirstFence) {
            fences.next()
        } else {
            fences.next_back()
        }
        .map(|(offset, _)| offset)
    }

    /// What a tail that started at `start` shows to a waiter registered at `from`.
    ///
    /// A tail reads in order, so what it finds is decided by the log's order alone and not by when
    /// it reads: it is looked up when it is asked for, and tails need no position of their own.
    pub(crate) fn sight(&self, partition: &Partition, record: Entry, start: u8, from: u8) -> Sight {
        for (offset, entry) in partition.entries().iter().enumerate() {
            if offset < usize::from(start) {
                continue;
            }
            let fenced = entry.is_fence() && entry.epoch > record.epoch;
            if fenced && self.keeps(Rule::TailHeedsFences) {
                return Sight::HigherFence;
            }
            if offset >= usize::from(from) && *entry == record {
                return Sight::Copy(offset);
            }
        }
        Sight::Nothing
    }
}

fn hold(book: &mut Book, quantities: [i8; SKUS], sign: i8) {
    for (held, quantity) in book.held.iter_mut().zip(quantities) {
        *held += sign * quantity;
    }
}

fn set_terms(book: &mut Book, sku: usize, entry: Entry) {
    book.terms[sku] = entry.aggregate_version();
    book.all_terms[sku] |= bit(usize::from(entry.aggregate_version()));
}

impl State {
    pub(crate) fn append(&mut self, partition: usize, entry: Entry) {
        let log = &mut self.log[partition];
        assert!(
            usize::from(log.len) < LOG,
            "a partition is longer than the model's bound"
        );
        log.entries[usize::from(log.len)] = entry;
        log.len += 1;
    }

    /// A produce of which nobody knows: it lands later, or never.
    pub(crate) fn float(&mut self, entry: Entry) -> bool {
        let Some(free) = self.floating.iter_mut().find(|it| it.what == 0) else {
            return false;
        };
        *free = entry;
        self.floating.sort_unstable();
        true
    }

    pub(crate) fn highest_fence(&self) -> u8 {
        let entries = self.log.iter().flat_map(Partition::entries);
        entries
            .filter(|entry| entry.is_fence())
            .map(|entry| entry.epoch)
            .max()
            .unwrap_or(0)
    }
}
