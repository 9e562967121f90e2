//! Steps 3 to 6 of a commit: predecessors, append, read-back, settle.

use crate::log::Sight;
use crate::protocol::Protocol;
use crate::rules::Rule;
use crate::state::{Answer, Entry, State, Step, Task, bit, bits};

impl Protocol {
    /// Step 3: the oldest predecessor is appended again and read back, in one step. (Nothing of its
    /// node lies between, and what the tail will find is fixed once it has landed.) Its waiter is
    /// registered only now and may have missed an earlier copy.
    pub(crate) fn put_before(&self, state: &mut State, task: usize) -> bool {
        let it = state.tasks[task];
        let version = |earlier: &usize| state.decided[*earlier] & 0x0f;
        let first = if self.keeps(Rule::OldestFirst) {
            bits(it.before).min_by_key(version)
        } else {
            bits(it.before).max_by_key(version)
        };
        let Some(first) = first else {
            return false;
        };
        let partition = self.partition_of(first);
        let log = &state.log[partition];
        let fenced = log
            .entries()
            .iter()
            .any(|entry| entry.is_fence() && entry.epoch > it.epoch);
        if fenced && self.keeps(Rule::TailHeedsFences) {
            // Only a record's own waiter decides its answer.
            let answer = if self.keeps(Rule::OwnWaiterDecides) {
                Answer::Unknown
            } else {
                Answer::Unavailable
            };
            self.answer(state, task, answer);
            state.tasks[task].step = Step::Done;
            return true;
        }
        let entry = Entry {
            what: 1 + crate::state::small(first),
            epoch: it.epoch,
            version: state.decided[first],
        };
        if self.keeps(Rule::PredecessorsAreReadBack) {
            self.append_copy(state, partition, entry);
        } else if !state.float(entry) {
            return false;
        }
        let it = &mut state.tasks[task];
        it.before &= !bit(first);
        it.behind |= bit(first);
        if it.before == 0 {
            self.after_before(state, task);
        }
        true
    }

    /// Appends, unless the same record stands there already and no higher fence does: then another
    /// copy would be a duplicate to every fold and would show each waiter what the first one does,
    /// so the log stays as it is, and the answer is that a copy was there. (Duplicates come all the
    /// same, from produces that nobody knows of.) This keeps completions and retries from
    /// multiplying the states.
    fn append_copy(&self, state: &mut State, partition: usize, entry: Entry) -> bool {
        let log = &mut state.log[partition];
        let safe = &log.entries[..usize::from(log.safe)];
        let higher = |it: &Entry| it.is_fence() && it.epoch > entry.epoch;
        if safe.contains(&entry) && !log.entries().iter().any(higher) {
            log.safe = log.len;
            return true;
        }
        state.append(partition, entry);
        state.log[partition].safe = state.log[partition].len;
        false
    }

    fn after_before(&self, state: &mut State, task: usize) {
        let it = &mut state.tasks[task];
        if it.is(Task::REFUSES | Task::AGREES) {
            self.answer_fact(state, task);
        } else if it.record == 0 {
            it.flags &= !Task::LATE;
            it.step = Step::Decide;
        } else {
            it.step = Step::Append;
        }
    }

    /// Step 4, acknowledged.
    pub(crate) fn append_record(&self, state: &mut State, task: usize) -> bool {
        let it = state.tasks[task];
        let partition = self.partition_of(usize::from(it.record) - 1);
        if !self.keeps(Rule::WaiterBeforeDecide) && !it.is(Task::LATE) {
            state.tasks[task].from = state.log[partition].len;
        }
        if !self.keeps(Rule::StartIsFixedBeforeDecide) {
            let slot = self.slot(it.epoch);
            let kept = Self::masters(state).map(|at| state.servers[at].data[slot].position);
            let start = kept.map(|kept| kept[partition]).max().unwrap_or(0);
            state.tasks[task].start = start.max(it.start);
            state.tasks[task].from = state.tasks[task].start;
        }
        if self.append_copy(state, partition, self.entry(&it)) {
            state.tasks[task].from = state.tasks[task].start;
        }
        if it.step == Step::Acknowledge {
            // The tail saw a copy before, and this append stands at or after it.
            self.accept(state, task);
        } else if self.keeps(Rule::ReadsBack) {
            state.tasks[task].step = Step::ReadBack;
        } else {
            self.accept(state, task);
        }
        true
    }

    fn accept(&self, state: &mut State, task: usize) {
        self.answer(state, task, Answer::Yes);
        state.tasks[task].step = Step::Settle;
    }

    /// An unknown outcome: the same record is appended again, whatever becomes of this one.
    pub(crate) fn produce_times_out(&self, state: &mut State, task: usize) -> bool {
        let it = state.tasks[task];
        if state.faults.produce == 0 || !state.float(self.entry(&it)) {
            return false;
        }
        state.faults.produce -= 1;
        if !self.keeps(Rule::AppendsAgain) {
            self.answer(state, task, Answer::Unavailable);
            state.tasks[task].step = Step::Done;
        }
        true
    }

    pub(crate) fn land(&self, state: &mut State, floating: usize) -> bool {
        let entry = state.floating[floating];
        if entry.what == 0 {
            return false;
        }
        state.floating[floating] = Entry::default();
        state.floating.sort_unstable();
        if entry.is_fence() {
            state.append(usize::from(entry.version), Entry::fence(entry.epoch));
        } else {
            state.append(self.partition_of(entry.attempt()), entry);
        }
        true
    }

    /// Step 5.
    pub(crate) fn read_back(&self, state: &mut State, task: usize) -> bool {
        let it = state.tasks[task];
        let acknowledged = it.step == Step::ReadBack;
        match self.sight_of(state, &it) {
            Sight::Nothing => return false,
            Sight::Copy(_) if acknowledged || !self.keeps(Rule::WaitsForAcknowledgement) => {
                self.accept(state, task);
            }
            Sight::Copy(_) if it.step == Step::Acknowledge => return false,
            Sight::Copy(offset) => {
                let it = &mut state.tasks[task];
                it.seen = crate::state::small(offset);
                it.step = Step::Acknowledge;
            }
            Sight::HigherFence if it.step == Step::Acknowledge => return false,
            Sight::HigherFence => {
                let late = it.is(Task::LATE) && self.keeps(Rule::LateWaiterIsUnknown);
                let answer = if late {
                    Answer::Unknown
                } else {
                    Answer::Unavailable
                };
                self.answer(state, task, answer);
                state.tasks[task].step = Step::Done;
            }
        }
        true
    }

    /// The leader goes, and with it what stood on too few replicas. A tail that had read further
    /// finds the log shortened.
    pub(crate) fn leader_goes(&self, state: &mut State, partition: usize) -> bool {
        let log = &mut state.log[partition];
        if log.safe == log.len {
            return false;
        }
        let safe = usize::from(log.safe);
        log.entries[safe..].fill(Entry::default());
        log.len = log.safe;
        let len = log.len;
        for task in 0..state.tasks.len() {
            let it = &state.tasks[task];
            let shortened = it.step == Step::Acknowledge
                && self.partition_of(usize::from(it.record) - 1) == partition
                && it.seen >= len;
            if shortened && self.keeps(Rule::ShortenedLogIsUnknown) {
                self.answer(state, task, Answer::Unknown);
                state.tasks[task].step = Step::Done;
            }
        }
        true
    }

    /// Step 6.
    pub(crate) fn call_settle(&self, state: &mut State, task: usize, server: usize) -> bool {
        let early = state.tasks[task].step == Step::ReadBack;
        let before = *state;
        self.run_settle(state, task, server);
        if !early {
            state.tasks[task].step = Step::Done;
        }
        *state != before
    }

    fn run_settle(&self, state: &mut State, task: usize, server: usize) {
        let it = state.tasks[task];
        if self.is_closed(state, &state.servers[server], it.epoch, true)
            && self.keeps(Rule::SettleChecksContinuity)
        {
            return;
        }
        let record = usize::from(it.record) - 1;
        let partition = self.partition_of(record);
        let len = state.log[partition].len;
        let sight = self.sight_of(state, &it);
        let data = &mut state.servers[server].data[self.slot(it.epoch)];
        self.settle(data, record, it.behind);
        if self.scenario.positions {
            let position = match sight {
                _ if !self.keeps(Rule::PositionIsContiguous) => len,
                Sight::Copy(offset) => 1 + crate::state::small(offset),
                _ => 0,
            };
            data.position[partition] = data.position[partition].max(position);
        }
    }

    pub(crate) fn settle_times_out(&self, state: &mut State, task: usize) -> bool {
        if state.faults.settle == 0 || state.late_settles & bit(task) != 0 {
            return false;
        }
        state.faults.settle -= 1;
        state.late_settles |= bit(task);
        true
    }

    pub(crate) fn late_settle(&self, state: &mut State, task: usize, server: usize) -> bool {
        state.late_settles &= !bit(task);
        self.run_settle(state, task, server);
        true
    }
}
