//! The gate's scripts: the one atomic step on a Redis server, and when it refuses to run.

use crate::commands::{ACTIVE, CANCELLED, Kind, snapshot_after, taken};
use crate::protocol::Protocol;
use crate::rules::Rule;
use crate::state::{Data, Found, Role, SKUS, Server, State, Task, Value, bit, bits, small};

/// What the decide script says of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// With the record's version and its predecessors, by attempt.
    Decided { version: u8, before: u8 },
    /// The key's record is that of this attempt.
    Replay { attempt: usize, settled: bool },
    /// With the pending records that the refusal rests on.
    Refused { rests_on: u8, reason: Reason },
    /// The command's generation is two or more behind.
    TooOld,
    /// The version or the terms have changed.
    Conflict,
    /// These have to be completed first.
    First { before: u8 },
    /// The gate's data contradicts itself.
    Damage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Of an aggregate or a claim, or out of stock.
    Fact,
    UnknownSku,
    /// What was said of an earlier attempt, then.
    Remembered,
}

impl Protocol {
    /// Every key starts with its epoch.
    pub(crate) fn slot(&self, epoch: u8) -> usize {
        if self.keeps(Rule::KeysStartWithEpoch) {
            usize::from(epoch)
        } else {
            0
        }
    }

    /// Whether a script of an epoch answers `NOSCRIPT`, `READONLY` or "closed" on a server.
    pub(crate) fn is_closed(
        &self,
        state: &State,
        server: &Server,
        epoch: u8,
        writes: bool,
    ) -> bool {
        let loaded = server.scripts & bit(usize::from(epoch)) != 0;
        let is_master = server.role == Role::Master;
        let same_replid = server.replid == state.text[usize::from(epoch)];
        let marked = server.data[self.slot(epoch)].marker != 0;
        (!loaded && self.keeps(Rule::NodesNeverSendTheText))
            || (!is_master && (writes || self.keeps(Rule::ChecksRole)))
            || (!same_replid && self.keeps(Rule::ChecksReplid))
            || (!marked && self.keeps(Rule::ChecksMarker))
    }

    /// A SKU with a snapshot and neither value nor anything pending, or the reverse.
    pub(crate) fn is_damaged(&self, data: &Data) -> bool {
        (0..SKUS).any(|sku| {
            let pending = self.pending_on(data, sku) != 0;
            data.value[sku].present == 0 && (data.snapshot[sku] != 0) != pending
        })
    }

    /// The pending records of an aggregate, by attempt.
    pub(crate) fn pending_on(&self, data: &Data, aggregate: usize) -> u8 {
        bits(data.pending)
            .filter(|attempt| self.aggregate(*attempt) == aggregate)
            .map(bit)
            .sum()
    }

    /// Decides one command. All its checks come before its first write.
    pub(crate) fn decide(&self, data: &mut Data, attempt: usize, task: &Task) -> Reply {
        let seen = *data;
        self.decide_seeing(&seen, data, attempt, task)
    }

    /// `seen` is what the checks look at.
    pub(crate) fn decide_seeing(
        &self,
        seen: &Data,
        data: &mut Data,
        attempt: usize,
        task: &Task,
    ) -> Reply {
        if !self.keeps(Rule::KeyBeforeOtherChecks)
            && let refused @ Reply::Refused { .. } = self.check(seen, data, attempt, task)
        {
            return refused;
        }
        if let Some(reply) = self.known(seen, data, attempt) {
            return reply;
        }
        let behind = seen.generation.saturating_sub(task.generation);
        if behind >= 2 && self.keeps(Rule::ChecksGeneration) {
            return Reply::TooOld;
        }
        let reply = self.check(seen, data, attempt, task);
        match reply {
            Reply::Refused { .. } if self.remembers(attempt) => {
                data.enter(self.key(attempt), Found::Refused);
                data.key_generation[self.key(attempt)] = data.generation;
            }
            Reply::Decided { .. } => self.write(data, attempt, task),
            _ => {}
        }
        reply
    }

    fn remembers(&self, attempt: usize) -> bool {
        if self.scenario.commands[attempt].key.is_some() {
            self.keeps(Rule::RemembersRefusals)
        } else {
            self.keeps(Rule::EntersRecordIds)
        }
    }

    /// Idempotency key and record id.
    fn known(&self, seen: &Data, data: &mut Data, attempt: usize) -> Option<Reply> {
        let key = self.key(attempt);
        match seen.found(key) {
            Found::Nothing => None,
            Found::Refused => {
                if self.keeps(Rule::RefusalsMoveToNewest) {
                    data.key_generation[key] = data.generation;
                }
                Some(self.refused_before(seen, attempt))
            }
            Found::Record { attempt: first, .. }
                if !self.same_request(first, attempt) && self.keeps(Rule::ComparesFingerprints) =>
            {
                Some(Reply::Refused {
                    rests_on: 0,
                    reason: Reason::Fact,
                })
            }
            Found::Record {
                attempt: first,
                settled,
            } if first != attempt || settled => Some(Reply::Replay {
                attempt: first,
                settled,
            }),
            Found::Record { .. } => Some(Reply::Decided {
                version: seen.pending_version[attempt],
                before: self.chain(seen, attempt),
            }),
        }
    }

    /// A remembered "already cancelled" rests on the cancellation, like the first one; a remembered
    /// "no such order" rests on nothing, although there may be one by now.
    fn refused_before(&self, seen: &Data, attempt: usize) -> Reply {
        let is_fact = seen.snapshot[self.aggregate(attempt)] == CANCELLED;
        let rests = is_fact && self.keeps(Rule::FoundRefusalsRestToo);
        Reply::Refused {
            rests_on: if rests {
                self.rests_on(seen, attempt)
            } else {
                0
            },
            reason: if is_fact {
                Reason::Fact
            } else {
                Reason::Remembered
            },
        }
    }

    /// The pending records that a refusal as a fact, or a yes without a record, rests on.
    pub(crate) fn rests_on(&self, data: &Data, attempt: usize) -> u8 {
        match self.kind(attempt) {
            Kind::Order { .. } | Kind::Move { .. } => 0,
            Kind::Register => match usize::from(data.email) {
                0 => 0,
                owner => data.pending & bit(owner - 1),
            },
            _ => self.pending_on(data, self.aggregate(attempt)) & !bit(attempt),
        }
    }

    fn check(&self, seen: &Data, data: &mut Data, attempt: usize, task: &Task) -> Reply {
        let aggregate = self.aggregate(attempt);
        let command = &self.scenario.commands[attempt];
        if command.loads()
            && self.keeps(Rule::ChecksVersion)
            && seen.version[aggregate] != task.seen
        {
            return Reply::Conflict;
        }
        let refused = Reply::Refused {
            rests_on: self.rests_on(seen, attempt),
            reason: Reason::Fact,
        };
        match command.kind {
            // The domain has refused it.
            _ if command.loads() && task.is(Task::REFUSES) => return refused,
            Kind::Register if seen.email != 0 && self.keeps(Rule::ChecksClaims) => return refused,
            Kind::Create { sku } if seen.version[sku] != 0 => return refused,
            Kind::Move { sku, quantity } => {
                if let Some(reply) = self.check_known(seen, sku) {
                    return reply;
                }
                let short = seen.value[sku].available + quantity < 0;
                if short && self.keeps(Rule::ChecksStock) {
                    return refused;
                }
            }
            Kind::Order { lines } => {
                if let Some(reply) = self.check_lines(seen, data, lines, task) {
                    return reply;
                }
            }
            _ => {}
        }
        Reply::Decided {
            version: self.next_version(seen, attempt, task) | self.terms_of(attempt, task) << 4,
            before: self.pending_on(seen, aggregate),
        }
    }

    /// One after the loaded one; of what was not loaded, the script takes the next one itself.
    fn next_version(&self, data: &Data, attempt: usize, task: &Task) -> u8 {
        if self.scenario.commands[attempt].loads() {
            task.seen + 1
        } else {
            data.version[self.aggregate(attempt)] + 1
        }
    }

    fn terms_of(&self, attempt: usize, task: &Task) -> u8 {
        match self.kind(attempt) {
            Kind::Order { .. } => task.seen,
            _ => 0,
        }
    }

    /// A missing value means an unknown SKU or damage, never 0 and never unlimited.
    fn check_known(&self, seen: &Data, sku: usize) -> Option<Reply> {
        if seen.value[sku].present != 0 || !self.keeps(Rule::MissingIsNotUnlimited) {
            return None;
        }
        let before = self.pending_on(seen, sku);
        Some(match (seen.snapshot[sku] != 0, before != 0) {
            (_, true) if self.keeps(Rule::CompletesBeforeUnknown) => Reply::First { before },
            (true, false) if self.keeps(Rule::DamageIsNotUnknown) => Reply::Damage,
            _ => Reply::Refused {
                rests_on: 0,
                reason: Reason::UnknownSku,
            },
        })
    }

    fn check_lines(
        &self,
        seen: &Data,
        data: &mut Data,
        lines: [(usize, i8); 2],
        task: &Task,
    ) -> Option<Reply> {
        let kind = Kind::Order { lines };
        let refused = Reply::Refused {
            rests_on: 0,
            reason: Reason::Fact,
        };
        for (sku, sum) in taken(&kind).into_iter().enumerate() {
            if sum == 0 {
                continue;
            }
            if let Some(reply) = self.check_known(seen, sku) {
                return Some(reply);
            }
            let value = &seen.value[sku];
            let terms_changed = self.scenario.terms && value.terms != task.seen;
            if terms_changed && self.keeps(Rule::ChecksTerms) {
                return Some(Reply::Conflict);
            }
            if value.discontinued != 0 && self.keeps(Rule::ChecksStatus) {
                return Some(refused);
            }
            let needed = if self.keeps(Rule::SumsMovements) {
                sum
            } else {
                let quantities = lines.iter().filter(|line| line.0 == sku);
                quantities.map(|line| line.1).max().unwrap_or(0)
            };
            let unlimited = value.present == 0;
            if value.available < needed && !unlimited && self.keeps(Rule::ChecksStock) {
                return Some(refused);
            }
            if !self.keeps(Rule::ChecksBeforeWrites) {
                data.value[sku].available -= sum;
            }
        }
        None
    }

    /// What a decision writes: snapshot, version, key, pending record, and what lowers availability.
    fn write(&self, data: &mut Data, attempt: usize, task: &Task) {
        let aggregate = self.aggregate(attempt);
        let kind = self.kind(attempt);
        data.version[aggregate] = self.next_version(data, attempt, task);
        data.snapshot[aggregate] = snapshot_after(kind, data.snapshot[aggregate]);
        data.pending |= bit(attempt);
        data.pending_version[attempt] = data.version[aggregate] | self.terms_of(attempt, task) << 4;
        let keyed = self.scenario.commands[attempt].key.is_some();
        let enters = match keyed {
            true => self.keeps(Rule::KeysAtDecide),
            false => self.keeps(Rule::EntersRecordIds),
        };
        if enters {
            let settled = false;
            data.enter(self.key(attempt), Found::Record { attempt, settled });
            data.key_generation[self.key(attempt)] = if keyed { 0 } else { data.generation };
        }
        match *kind {
            // The mutant that takes while it checks has taken already.
            Kind::Order { .. }
                if self.keeps(Rule::TakesAtDecide) && self.keeps(Rule::ChecksBeforeWrites) =>
            {
                take(data, taken(kind), 1);
            }
            Kind::Cancel { order } if !self.keeps(Rule::FreesAtSettle) => {
                take(data, taken(self.kind(order)), -1);
            }
            Kind::Move { sku, quantity } if !self.moves_at_settle(quantity) => {
                data.value[sku].available += quantity;
            }
            Kind::Create { sku } if !self.keeps(Rule::ValueAtSettle) => make_value(data, sku),
            Kind::Reprice { sku } if !self.keeps(Rule::TermsAtSettle) => {
                data.value[sku].terms = data.version[sku];
            }
            Kind::Discontinue { sku } if self.keeps(Rule::DiscontinuesAtDecide) => {
                data.value[sku].discontinued = 1;
                data.value[sku].terms = data.version[sku];
            }
            Kind::Register if self.keeps(Rule::ClaimsAtDecide) => data.email = 1 + small(attempt),
            Kind::GiveUp { .. } if !self.keeps(Rule::GivesUpAtSettle) => data.email = 0,
            _ => {}
        }
    }

    /// Supply counts once it stands in the log, a loss at once.
    fn moves_at_settle(&self, quantity: i8) -> bool {
        if quantity > 0 {
            self.keeps(Rule::SuppliesAtSettle)
        } else {
            !self.keeps(Rule::LossesAtDecide)
        }
    }

    /// Settles a record and, before it, its predecessors that are pending still.
    pub(crate) fn settle(&self, data: &mut Data, attempt: usize, behind: u8) {
        if self.keeps(Rule::PredecessorsSettleFirst) {
            let mut before: Vec<usize> = bits(behind & data.pending).collect();
            before.sort_by_key(|it| data.pending_version[*it] & 0x0f);
            for earlier in before {
                self.settle_one(data, earlier);
            }
        }
        self.settle_one(data, attempt);
    }

    fn settle_one(&self, data: &mut Data, attempt: usize) {
        if !data.is_pending(attempt) && self.keeps(Rule::SettlesOnlyPending) {
            return;
        }
        let kind = *self.kind(attempt);
        // Only its creating record makes a SKU's value: the other stays pending.
        if let Kind::Move { sku, .. } | Kind::Reprice { sku } | Kind::Discontinue { sku } = kind
            && data.value[sku].present == 0
        {
            if self.keeps(Rule::OnlyCreationMakesValue) {
                return;
            }
            make_value(data, sku);
        }
        data.pending &= !bit(attempt);
        let key = self.key(attempt);
        let keyed = self.scenario.commands[attempt].key.is_some();
        let at_settle = keyed && !self.keeps(Rule::KeysAtDecide);
        if at_settle
            || matches!(data.found(key), Found::Record { attempt: it, .. } if it == attempt)
        {
            let settled = true;
            data.enter(key, Found::Record { attempt, settled });
        }
        match kind {
            Kind::Order { .. } if !self.keeps(Rule::TakesAtDecide) => take(data, taken(&kind), 1),
            Kind::Cancel { order } if self.keeps(Rule::FreesAtSettle) => {
                take(data, taken(self.kind(order)), -1);
            }
            Kind::Move { sku, quantity } if self.moves_at_settle(quantity) => {
                data.value[sku].available += quantity;
            }
            Kind::Create { sku } if self.keeps(Rule::ValueAtSettle) => make_value(data, sku),
            Kind::Reprice { sku } => {
                let version = data.pending_version[attempt] & 0x0f;
                if version > data.value[sku].terms || !self.keeps(Rule::TermsSettleByVersion) {
                    data.value[sku].terms = version;
                    data.value[sku].discontinued = 0;
                }
            }
            Kind::Discontinue { sku } if !self.keeps(Rule::DiscontinuesAtDecide) => {
                let version = data.pending_version[attempt] & 0x0f;
                if version > data.value[sku].terms {
                    data.value[sku].terms = version;
                    data.value[sku].discontinued = 1;
                }
            }
            Kind::Register if !self.keeps(Rule::ClaimsAtDecide) => data.email = 1 + small(attempt),
            Kind::GiveUp { user } if self.keeps(Rule::GivesUpAtSettle) => {
                let own = data.email == 1 + small(user);
                if own || !self.keeps(Rule::GivesUpOnlyItsOwn) {
                    data.email = 0;
                }
            }
            _ => {}
        }
    }

    /// A generation is full: a new one begins, and one is dropped two generations later.
    pub(crate) fn next_generation(&self, data: &mut Data) {
        data.generation += 1;
        let kept = if self.keeps(Rule::KeepsTwoGenerations) {
            2
        } else {
            1
        };
        for attempt in 0..self.attempts() {
            let key = self.key(attempt);
            let in_generation = match data.found(key) {
                Found::Nothing => false,
                Found::Refused => true,
                Found::Record { .. } => self.scenario.commands[attempt].key.is_none(),
            };
            if in_generation && data.key_generation[key] + kept <= data.generation {
                data.enter(key, Found::Nothing);
                data.key_generation[key] = 0;
            }
        }
    }

    /// The mutant that releases what a node that seems dead had reserved.
    pub(crate) fn release(&self, data: &mut Data, attempt: usize) {
        data.pending &= !bit(attempt);
        data.enter(self.key(attempt), Found::Nothing);
        let aggregate = self.aggregate(attempt);
        data.version[aggregate] -= 1;
        match self.kind(attempt) {
            kind @ Kind::Order { .. } => {
                data.snapshot[aggregate] = 0;
                take(data, taken(kind), -1);
            }
            Kind::Cancel { .. } => data.snapshot[aggregate] = CANCELLED - 1,
            _ => {}
        }
    }
}

fn take(data: &mut Data, quantities: [i8; SKUS], sign: i8) {
    for (value, quantity) in data.value.iter_mut().zip(quantities) {
        value.available -= sign * quantity;
    }
}

fn make_value(data: &mut Data, sku: usize) {
    data.snapshot[sku] = ACTIVE.max(data.snapshot[sku]);
    data.value[sku] = Value {
        present: 1,
        available: 0,
        terms: 1,
        discontinued: 0,
    };
}
