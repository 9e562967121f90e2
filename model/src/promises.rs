//! S1 to S5, asked of every state, and whether the system can be put in order again from there.
//!
//! "In order again" is asked by doing it: all nodes die here, everything under way is lost, and one
//! fresh node does, without a fault, what the protocol makes a node do. If it has a reason to
//! recover, it recovers; otherwise it completes what is pending. Then an epoch is open, nothing is
//! pending, and the gate is what the valid log gives. In a split this is asked of either master.

use std::fmt;

use crate::commands::{After, Kind, taken};
use crate::log::{Book, Reading};
use crate::protocol::{Protocol, ends};
use crate::rules::Rule;
use crate::state::{Answer, Data, Entry, Found, Recovery, SKUS, State, bit, bits, small};

#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// S1
    NeverOversold = 1,
    /// S2
    NothingLost = 2,
    /// S3
    Once = 4,
    /// S4
    NothingLeaks = 8,
    /// S5
    NoFalseNo = 16,
    /// An order rests on terms that stand in the log; none is accepted after the item is gone.
    Terms = 32,
    /// An e-mail address has one owner.
    OneOwner = 64,
    /// A reader that went on from its checkpoint folds what one from the start does.
    ReadersAgree = 128,
}

impl Promise {
    pub(crate) const ALL: [Self; 8] = [
        Self::NeverOversold,
        Self::NothingLost,
        Self::Once,
        Self::NothingLeaks,
        Self::NoFalseNo,
        Self::Terms,
        Self::OneOwner,
        Self::ReadersAgree,
    ];
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverOversold => "S1",
            Self::NothingLost => "S2",
            Self::Once => "S3",
            Self::NothingLeaks => "S4",
            Self::NoFalseNo => "S5",
            Self::Terms => "terms",
            Self::OneOwner => "one owner",
            Self::ReadersAgree => "readers",
        })
    }
}

impl Protocol {
    /// The first promise that a state breaks, and how.
    pub(crate) fn broken(&self, state: &State) -> Option<(Promise, &'static str)> {
        let book = self.fold(state, &Reading::TRUE);
        self.broken_answer(state, &book)
            .into_iter()
            .chain(self.broken_log(state, &book))
            .find(|(promise, _)| self.asks(*promise))
            .or_else(|| self.broken_order(state, &book))
    }

    fn asks(&self, promise: Promise) -> bool {
        self.asked & promise as u8 != 0
    }

    /// Promises about the log alone.
    fn broken_log(&self, state: &State, book: &Book) -> Vec<(Promise, &'static str)> {
        let mut broken = Vec::new();
        if (0..SKUS).any(|sku| book.supplied[sku] < book.held[sku]) {
            broken.push((
                Promise::NeverOversold,
                "the valid log holds more than was supplied",
            ));
        }
        if self.is_twice(book) {
            broken.push((Promise::Once, "one command took effect twice"));
        }
        if book.owners.count_ones() > 1 {
            broken.push((Promise::OneOwner, "an e-mail address has two owners"));
        }
        if self.scenario.terms && self.terms_broken(book) {
            broken.push((
                Promise::Terms,
                "an order rests on terms that are not in force",
            ));
        }
        if self.readers_differ(state, book) {
            broken.push((
                Promise::ReadersAgree,
                "a reader took a void record as valid",
            ));
        }
        broken
    }

    /// Promises about what clients were told.
    fn broken_answer(&self, state: &State, book: &Book) -> Vec<(Promise, &'static str)> {
        let mut broken = Vec::new();
        let flagged = |promise: Promise| state.broken & promise as u8 != 0;
        if self.is_lost(state, book) {
            broken.push((
                Promise::NothingLost,
                "a 2xx was given for what is not valid in the log",
            ));
        }
        if flagged(Promise::NothingLost) {
            broken.push((
                Promise::NothingLost,
                "a yes rests on what is not in the log",
            ));
        }
        if bits(state.denied).any(|attempt| book.is_valid(attempt)) {
            broken.push((
                Promise::NoFalseNo,
                "a client was told no of what took effect",
            ));
        }
        if flagged(Promise::NoFalseNo) {
            broken.push((Promise::NoFalseNo, "a refusal states what is not so"));
        }
        broken
    }

    /// Whether the system can be put in order again.
    fn broken_order(&self, state: &State, book: &Book) -> Option<(Promise, &'static str)> {
        if !self.asks(Promise::NothingLeaks) {
            return None;
        }
        Self::masters(state)
            .find_map(|server| self.in_order_again(state, server, book).err())
            .map(|why| (Promise::NothingLeaks, why))
    }

    fn is_lost(&self, state: &State, book: &Book) -> bool {
        state.tasks.iter().enumerate().any(|(attempt, task)| {
            let Some(record) = usize::from(task.record).checked_sub(1) else {
                return false;
            };
            // A yes to what another command did is none to this one.
            task.answer == Answer::Yes
                && !(book.is_valid(record) && self.same_request(record, attempt))
        })
    }

    fn is_twice(&self, book: &Book) -> bool {
        (0..self.attempts()).any(|attempt| {
            let retries = (0..self.attempts()).filter(|it| self.key(*it) == self.key(attempt));
            let effects: u8 = retries.map(|it| book.effects[it]).sum();
            // After a key was pruned, the same key is a new command.
            book.effects[attempt] > 1 || (effects > 1 && !self.scenario.prunes)
        })
    }

    fn terms_broken(&self, book: &Book) -> bool {
        (0..self.attempts())
            .filter(|it| book.is_valid(*it))
            .any(|attempt| {
                let sums = taken(self.kind(attempt));
                let unknown = (0..SKUS).any(|sku| {
                    let terms = usize::from(book.rests_on_terms[attempt]);
                    sums[sku] != 0 && book.all_terms[sku] & bit(terms) == 0
                });
                let gone = match self.scenario.commands[attempt].after {
                    After::Answered(other) => matches!(self.kind(other), Kind::Discontinue { .. }),
                    _ => false,
                };
                unknown || gone
            })
    }

    fn readers_differ(&self, state: &State, book: &Book) -> bool {
        let places = (0..state.log.len()).flat_map(|partition| {
            let offsets = 0..state.log[partition].entries().len();
            offsets.map(move |offset| (partition, offset))
        });
        places.into_iter().any(|place| {
            let reading = Reading {
                resumes_at: Some(place),
                ..Reading::TRUE
            };
            self.fold(state, &reading) != *book
        })
    }

    fn in_order_again(
        &self,
        state: &State,
        server: usize,
        book: &Book,
    ) -> Result<(), &'static str> {
        if book.gap {
            return Err("a reader meets a version gap and stops for good");
        }
        let at = &state.servers[server];
        if self.has_reason(state, server) || state.highest_fence() > at.pointer {
            return self.recovers(state, book);
        }
        let mut after = *state;
        self.completes(&mut after, server)?;
        let book = self.fold(&after, &Reading::TRUE);
        let mut data = after.servers[server].data[self.slot(at.pointer)];
        if self.scenario.prunes {
            self.prune(&mut data);
        }
        self.is_same(&data, &self.gate_of(&book, true))
    }

    /// One recovery, with nobody else about.
    fn recovers(&self, state: &State, book: &Book) -> Result<(), &'static str> {
        let recovery = Recovery {
            epoch: state.claims + 1,
            folded: ends(state),
            ..Recovery::default()
        };
        let built = self
            .rebuilt(state, &recovery)
            .ok_or("a recovery cannot read the log")?;
        self.is_same(&built, &self.gate_of(book, true))
    }

    fn completes(&self, state: &mut State, server: usize) -> Result<(), &'static str> {
        let epoch = state.servers[server].pointer;
        let slot = self.slot(epoch);
        for _ in 0..self.attempts() {
            let data = state.servers[server].data[slot];
            let first = bits(data.pending).min_by_key(|it| data.pending_version[*it] & 0x0f);
            let Some(record) = first else {
                return Ok(());
            };
            if !self.keeps(Rule::PendingIsCompleted) {
                return Err("a record stays pending for ever: its stock is held by nobody");
            }
            let entry = Entry {
                what: 1 + small(record),
                epoch,
                version: data.pending_version[record],
            };
            let partition = self.partition_of(record);
            if !state.log[partition].entries().contains(&entry) {
                state.append(partition, entry);
            }
            self.settle(&mut state.servers[server].data[slot], record, 0);
        }
        if state.servers[server].data[slot].pending == 0 {
            Ok(())
        } else {
            Err("a record stays pending for ever")
        }
    }

    fn is_same(&self, data: &Data, log: &Data) -> Result<(), &'static str> {
        if data.value != log.value {
            return Err("the gate's figures differ from the log's, and nothing is pending");
        }
        if data.version != log.version || data.snapshot != log.snapshot {
            return Err("the gate's aggregates differ from the log's, and nothing is pending");
        }
        if data.email != log.email {
            return Err("the gate's claim differs from the log's, and nothing is pending");
        }
        let keys_differ = (0..self.attempts()).any(|attempt| {
            let key = self.key(attempt);
            let keyed = self.scenario.commands[attempt].key.is_some();
            let found = match data.found(key) {
                Found::Refused => Found::Nothing,
                found => found,
            };
            keyed && found != log.found(key)
        });
        if keys_differ {
            return Err("the gate's keys differ from the log's, and nothing is pending");
        }
        Ok(())
    }
}
