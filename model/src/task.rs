//! The steps of a commit on its node, and of a completion, which takes the same from step 3 on.

use crate::action::Action;
use crate::commands::{After, CANCELLED, DISCONTINUED, Kind};
use crate::gate::{Reason, Reply};
use crate::log::{Reading, Sight};
use crate::promises::Promise;
use crate::protocol::Protocol;
use crate::rules::Rule;
use crate::state::{ATTEMPTS, Answer, Data, Entry, State, Step, TASKS, Task, bit, bits, small};

impl Protocol {
    pub(crate) fn task_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for task in 0..self.attempts() {
            match state.tasks[task].step {
                Step::Idle => {
                    for server in Self::masters(state) {
                        let newest = state.servers[server].pointer;
                        let oldest = if self.scenario.stale_sets { 1 } else { newest };
                        for epoch in oldest..=newest {
                            actions.push(Action::Begin {
                                task,
                                server,
                                epoch,
                            });
                        }
                    }
                }
                Step::Load => {
                    let servers = state.servers.len();
                    let reads = (0..servers).filter(|it| self.answers_reads(state, *it));
                    actions.extend(reads.map(|server| Action::Load { task, server }));
                }
                Step::Decide => {
                    for server in Self::masters(state) {
                        actions.push(Action::Decide { task, server });
                    }
                    actions.push(Action::CallTimesOut { task });
                }
                _ => {}
            }
            if state.late_calls & bit(task) != 0 {
                let servers = Self::masters(state);
                actions.extend(servers.map(|server| Action::LateCall { task, server }));
            }
        }
        if self.scenario.batches {
            for server in Self::masters(state) {
                for tasks in [[0, 1], [1, 0]] {
                    actions.push(Action::DecideTogether { tasks, server });
                }
            }
        }
        for task in 0..TASKS {
            self.common_actions(state, task, actions);
        }
        for floating in 0..state.floating.len() {
            actions.push(Action::Land { floating });
        }
    }

    fn answers_reads(&self, state: &State, server: usize) -> bool {
        match state.servers[server].role {
            crate::state::Role::Master => true,
            crate::state::Role::Replica => self.scenario.reads_anywhere,
            crate::state::Role::Down => false,
        }
    }

    fn common_actions(&self, state: &State, task: usize, actions: &mut Vec<Action>) {
        let early = !self.keeps(Rule::SettlesAfterReadBack);
        match state.tasks[task].step {
            Step::Idle if task >= ATTEMPTS && self.scenario.completes => {
                for server in Self::masters(state) {
                    for record in 0..self.attempts() {
                        actions.push(Action::Scan {
                            task,
                            server,
                            record,
                        });
                    }
                }
            }
            Step::Before => actions.push(Action::Before { task }),
            Step::Append | Step::Acknowledge => {
                actions.push(Action::Append { task });
                actions.push(Action::ProduceTimesOut { task });
                if self.scenario.faults.leader > 0 {
                    actions.push(Action::ReadBack { task });
                }
            }
            Step::ReadBack => actions.push(Action::ReadBack { task }),
            Step::Settle => actions.push(Action::SettleTimesOut { task }),
            _ => {}
        }
        if state.tasks[task].step == Step::Settle
            || (early && state.tasks[task].step == Step::ReadBack)
        {
            let servers = Self::masters(state);
            actions.extend(servers.map(|server| Action::Settle { task, server }));
        }
        if state.late_settles & bit(task) != 0 {
            let servers = Self::masters(state);
            actions.extend(servers.map(|server| Action::LateSettle { task, server }));
        }
    }

    fn may_begin(&self, state: &State, attempt: usize) -> bool {
        match self.scenario.commands[attempt].after {
            After::Nothing => true,
            After::Begun(other) => state.tasks[other].step != Step::Idle,
            After::InLog(other) => self.fold(state, &Reading::TRUE).is_valid(other),
            After::Answered(other) => state.tasks[other].answer == Answer::Yes,
            After::Epoch(epoch) => state.servers.iter().any(|it| it.pointer >= epoch),
        }
    }

    /// Takes (epoch, script hashes, generation) together. A new request may use a stale set that
    /// its node had cached; a request held up after this step holds a stale one anyhow.
    pub(crate) fn begin(&self, state: &mut State, task: usize, server: usize, epoch: u8) -> bool {
        if epoch == 0 || !self.may_begin(state, task) {
            return false;
        }
        // The orders' topic comes with the newer interface.
        let newer = state.newer_claims & bit(usize::from(epoch)) != 0;
        if self.scenario.old_node.is_some() && !newer {
            return false;
        }
        let partition = self.partition_of(task);
        let data = state.servers[server].data[self.slot(epoch)];
        let log = &state.log[partition];
        let fence = self.fence_position(log, epoch).map_or(0, small);
        let start = if self.keeps(Rule::TailNeverStartsAtEnd) {
            fence.max(data.position[partition])
        } else {
            log.len
        };
        let terms = match self.kind(task) {
            Kind::Order { lines } if self.scenario.terms => self.terms_seen(&data, lines[0].0),
            _ => 0,
        };
        let loads = self.scenario.commands[task].loads();
        state.tasks[task] = Task {
            step: if loads { Step::Load } else { Step::Decide },
            epoch,
            generation: data.generation,
            start,
            from: start,
            seen: terms,
            ..Task::default()
        };
        true
    }

    /// The version of the terms that a node takes for a SKU: settled ones only.
    fn terms_seen(&self, data: &Data, sku: usize) -> u8 {
        let reprices = bits(data.pending)
            .filter(|it| matches!(self.kind(*it), Kind::Reprice { sku: of } if *of == sku));
        match reprices.last() {
            Some(reprice) if !self.keeps(Rule::UsesSettledTerms) => data.pending_version[reprice],
            _ => data.value[sku].terms,
        }
    }

    /// Step 1, by a read-only script with the continuity and marker check.
    pub(crate) fn load(&self, state: &mut State, task: usize, server: usize) -> bool {
        let it = state.tasks[task];
        if self.is_closed(state, &state.servers[server], it.epoch, false)
            && self.keeps(Rule::LoadChecksContinuity)
        {
            self.give_up(state, task);
            return true;
        }
        let data = state.servers[server].data[self.slot(it.epoch)];
        let aggregate = self.aggregate(task);
        let snapshot = data.snapshot[aggregate];
        let log_in = matches!(self.kind(task), Kind::LogIn { .. });
        state.tasks[task].seen = data.version[aggregate];
        state.tasks[task].before = self.rests_on(&data, task);
        let finished = match self.kind(task) {
            Kind::Cancel { .. } | Kind::GiveUp { .. } => CANCELLED,
            Kind::Reprice { .. } | Kind::Discontinue { .. } => DISCONTINUED,
            _ => u8::MAX,
        };
        if log_in || snapshot == 0 || snapshot == finished {
            let agrees = log_in && snapshot != 0;
            state.tasks[task].flags |= if agrees { Task::AGREES } else { Task::REFUSES };
            let keyed = self.scenario.commands[task].key.is_some();
            if keyed && self.keeps(Rule::RemembersDomainRefusals) {
                // Through step 2 as well, to be remembered.
                state.tasks[task].before = 0;
                state.tasks[task].step = Step::Decide;
            } else {
                self.answer_as_fact(state, task);
            }
        } else {
            state.tasks[task].before = 0;
            state.tasks[task].step = Step::Decide;
        }
        true
    }

    /// A fact is answered only after the pending record that it rests on was read back.
    fn answer_as_fact(&self, state: &mut State, task: usize) {
        let rests = state.tasks[task].before != 0 && self.keeps(Rule::FactsRestOnTheLog);
        if rests {
            self.register_late(state, task);
            state.tasks[task].step = Step::Before;
        } else {
            self.answer_fact(state, task);
        }
    }

    pub(crate) fn answer_fact(&self, state: &mut State, task: usize) {
        let answer = if state.tasks[task].is(Task::AGREES) {
            Answer::Yes
        } else {
            Answer::No
        };
        self.answer(state, task, answer);
        state.tasks[task].step = Step::Done;
    }

    /// A waiter that is registered after its record was decided. Its tail may be anywhere: the
    /// worst is that it has passed all there is, for a copy that it does see is a valid one.
    fn register_late(&self, state: &mut State, task: usize) {
        let partition = match state.tasks[task].record {
            0 => self.partition_of(task),
            record => self.partition_of(usize::from(record) - 1),
        };
        let log = &state.log[partition];
        let (len, fence) = (log.len, self.fence_position(log, state.tasks[task].epoch));
        let it = &mut state.tasks[task];
        it.from = len;
        it.start = fence.map_or(0, small);
        it.flags |= Task::LATE;
    }

    /// Step 2. The script runs and its node gets the reply, in one step: what the reply says is
    /// fixed when it runs, and a node that is slow to get it is one that is slow to go on.
    pub(crate) fn call_decide(&self, state: &mut State, task: usize, server: usize) -> bool {
        let it = state.tasks[task];
        if self.is_closed(state, &state.servers[server], it.epoch, true) {
            return self.closed(state, task, server);
        }
        let data = &mut state.servers[server].data[self.slot(it.epoch)];
        // What it had to complete first is settled before it decides again.
        for earlier in bits(it.behind) {
            self.settle(data, earlier, it.behind);
        }
        state.tasks[task].behind = 0;
        let reply = self.decide(data, task, &it);
        self.note_decided(state, task, server);
        self.take_reply(state, task, server, reply);
        true
    }

    fn note_decided(&self, state: &mut State, task: usize, server: usize) {
        let data = &state.servers[server].data[self.slot(state.tasks[task].epoch)];
        if data.is_pending(task) {
            state.decided[task] = data.pending_version[task];
        }
    }

    /// Two commands in one call, one after the other.
    pub(crate) fn call_together(
        &self,
        state: &mut State,
        tasks: [usize; 2],
        server: usize,
    ) -> bool {
        let [one, other] = tasks.map(|task| state.tasks[task]);
        let together = one.step == Step::Decide && other.step == Step::Decide;
        if !together || one.epoch != other.epoch {
            return false;
        }
        if self.is_closed(state, &state.servers[server], one.epoch, true) {
            return false;
        }
        let data = &mut state.servers[server].data[self.slot(one.epoch)];
        let before = *data;
        let replies = [
            self.decide(data, tasks[0], &one),
            if self.keeps(Rule::OneAfterTheOther) {
                self.decide(data, tasks[1], &other)
            } else {
                self.decide_seeing(&before, data, tasks[1], &other)
            },
        ];
        for (task, reply) in tasks.into_iter().zip(replies) {
            self.note_decided(state, task, server);
            self.take_reply(state, task, server, reply);
        }
        true
    }

    fn closed(&self, state: &mut State, task: usize, server: usize) -> bool {
        let current = state.servers[server].pointer;
        if !self.keeps(Rule::StaysInItsEpoch) && current > state.tasks[task].epoch {
            // The mutant goes on in the new epoch.
            state.tasks[task].step = Step::Idle;
            return self.begin(state, task, server, current);
        }
        self.give_up(state, task);
        true
    }

    fn take_reply(&self, state: &mut State, task: usize, server: usize, reply: Reply) {
        match reply {
            Reply::Decided { version, before } => {
                let it = &mut state.tasks[task];
                it.record = 1 + small(task);
                it.version = version;
                it.flags &= !Task::REFUSES;
                self.carry_on(state, task, before);
            }
            Reply::Replay { attempt, settled } => {
                let epoch = state.tasks[task].epoch;
                let data = state.servers[server].data[self.slot(epoch)];
                let it = &mut state.tasks[task];
                it.record = 1 + small(attempt);
                it.version = data.pending_version[attempt];
                it.flags &= !Task::REFUSES;
                if settled || !self.keeps(Rule::PendingIsNoAnswer) {
                    self.answer(state, task, Answer::Yes);
                    state.tasks[task].step = Step::Done;
                } else {
                    self.register_late(state, task);
                    let chain = self.chain(&data, attempt);
                    self.carry_on(state, task, chain);
                }
            }
            Reply::Refused { rests_on, reason } => {
                if reason == Reason::UnknownSku && self.is_false_no(state, task) {
                    state.broken |= Promise::NoFalseNo as u8;
                }
                if reason == Reason::Remembered {
                    state.tasks[task].flags |= Task::REMEMBERED;
                }
                let it = &mut state.tasks[task];
                it.before = rests_on;
                it.flags |= Task::REFUSES;
                self.answer_as_fact(state, task);
            }
            Reply::TooOld | Reply::Damage => self.give_up(state, task),
            Reply::First { before } => {
                // Completed first, then decided again. (The bound of three does not matter here:
                // each time something pending is gone.)
                state.tasks[task].before = before;
                self.register_late(state, task);
                state.tasks[task].step = Step::Before;
            }
            Reply::Conflict => {
                let loads = self.scenario.commands[task].loads();
                if state.tasks[task].is(Task::AGAIN) {
                    self.give_up(state, task);
                    return;
                }
                let epoch = state.tasks[task].epoch;
                let data = state.servers[server].data[self.slot(epoch)];
                state.tasks[task].flags |= Task::AGAIN;
                state.tasks[task].flags &= !Task::REFUSES;
                if loads {
                    state.tasks[task].step = Step::Load;
                } else if let Kind::Order { lines } = self.kind(task) {
                    state.tasks[task].seen = self.terms_seen(&data, lines[0].0);
                }
            }
        }
    }

    fn carry_on(&self, state: &mut State, task: usize, before: u8) {
        let it = &mut state.tasks[task];
        it.before = before;
        it.step = if before != 0 && self.keeps(Rule::PredecessorsFirst) {
            Step::Before
        } else {
            Step::Append
        };
    }

    /// The predecessors of a pending record, by attempt.
    pub(crate) fn chain(&self, data: &Data, record: usize) -> u8 {
        let version = data.pending_version[record] & 0x0f;
        bits(self.pending_on(data, self.aggregate(record)))
            .filter(|it| data.pending_version[*it] & 0x0f < version)
            .map(bit)
            .sum()
    }

    pub(crate) fn call_times_out(&self, state: &mut State, task: usize) -> bool {
        if state.faults.call == 0 || state.late_calls & bit(task) != 0 {
            return false;
        }
        state.faults.call -= 1;
        state.late_calls |= bit(task);
        state.tasks[task].flags |= Task::MAYBE;
        true
    }

    /// Its node gets no reply. If it has none from another call either, it will call again.
    pub(crate) fn late_call(&self, state: &mut State, task: usize, server: usize) -> bool {
        let it = state.tasks[task];
        state.late_calls &= !bit(task);
        if !self.is_closed(state, &state.servers[server], it.epoch, true) {
            let data = &mut state.servers[server].data[self.slot(it.epoch)];
            self.decide(data, task, &it);
            self.note_decided(state, task, server);
        }
        true
    }

    /// *Unavailable*, or *outcome unknown* once an earlier call may have run.
    fn give_up(&self, state: &mut State, task: usize) {
        let maybe = state.tasks[task].is(Task::MAYBE) && self.keeps(Rule::MaybeRanIsUnknown);
        let answer = if maybe {
            Answer::Unknown
        } else {
            Answer::Unavailable
        };
        self.answer(state, task, answer);
        state.tasks[task].step = Step::Done;
    }

    /// A completer takes a pending record through steps 3 to 6.
    pub(crate) fn scan(
        &self,
        state: &mut State,
        task: usize,
        server: usize,
        record: usize,
    ) -> bool {
        let epoch = state.servers[server].pointer;
        let data = state.servers[server].data[self.slot(epoch)];
        if epoch == 0 || !data.is_pending(record) {
            return false;
        }
        state.tasks[task] = Task {
            epoch,
            record: 1 + small(record),
            version: data.pending_version[record],
            ..Task::default()
        };
        self.register_late(state, task);
        self.carry_on(state, task, self.chain(&data, record));
        true
    }

    pub(crate) fn entry(&self, task: &Task) -> Entry {
        Entry {
            what: task.record,
            epoch: task.epoch,
            version: task.version,
        }
    }

    pub(crate) fn sight_of(&self, state: &State, task: &Task) -> Sight {
        let partition = &state.log[self.partition_of(usize::from(task.record) - 1)];
        self.sight(partition, self.entry(task), task.start, task.from)
    }
}
