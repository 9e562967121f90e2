//! The model itself: a scenario, the rules that are kept, and every step that may come next.

use stateright::{Model, Property};

use crate::action::Action;
use crate::promises::Promise;
use crate::rules::Rule;
use crate::scenario::Scenario;
use crate::state::{Entry, PARTITIONS, Role, Server, State, bit, small};

#[derive(Clone)]
pub(crate) struct Protocol {
    pub(crate) scenario: Scenario,
    /// As bits, by [`Rule`].
    left_out: u128,
    /// The promises that are asked, as bits, by [`Promise`].
    pub(crate) asked: u8,
}

impl Protocol {
    pub(crate) fn new(scenario: Scenario, without: &[Rule]) -> Self {
        let left_out = without.iter().map(|rule| 1 << *rule as u32).sum();
        Self {
            scenario,
            left_out,
            asked: u8::MAX,
        }
    }

    /// The same, but only these promises count.
    pub(crate) fn asking(self, promises: &[Promise]) -> Self {
        let asked = promises.iter().map(|promise| *promise as u8).sum();
        Self { asked, ..self }
    }

    pub(crate) fn keeps(&self, rule: Rule) -> bool {
        self.left_out & (1 << rule as u32) == 0
    }

    pub(crate) fn attempts(&self) -> usize {
        self.scenario.commands.len()
    }

    /// The place of an attempt's idempotency key, or of its record id if it has none.
    pub(crate) fn key(&self, attempt: usize) -> usize {
        self.scenario.commands[attempt].key.unwrap_or(attempt)
    }

    /// Whether two attempts bear the same key and the same fingerprint.
    pub(crate) fn same_request(&self, one: usize, other: usize) -> bool {
        self.key(one) == self.key(other) && self.kind(one) == self.kind(other)
    }

    /// The partitions that a fence goes to, as bits.
    pub(crate) fn all_partitions(&self) -> u8 {
        (0..self.scenario.partitions).map(bit).sum()
    }

    /// Epoch 1 is open on the first server; the log begins with its fences. What was before is in
    /// [`Protocol::genesis`].
    fn first_state(&self) -> State {
        let mut state = State {
            faults: self.scenario.faults,
            claims: 1,
            last_replid: 1,
            ..State::default()
        };
        for partition in 0..self.scenario.partitions {
            state.append(partition, Entry::fence(1));
            state.log[partition].safe = state.log[partition].len;
        }
        state.text[1] = 1;
        let mut data = self.gate_of(&self.genesis(), true);
        data.marker = 1;
        let master = &mut state.servers[0];
        *master = Server {
            role: Role::Master,
            replid: 1,
            scripts: bit(1),
            pointer: 1,
            ..*master
        };
        master.data[self.slot(1)] = data;
        if self.scenario.has_replica {
            let scripts = if self.keeps(Rule::ScriptsNeverOnReplicas) {
                0
            } else {
                bit(1)
            };
            state.servers[1] = Server {
                role: Role::Replica,
                scripts,
                ..state.servers[0]
            };
        }
        state
    }

    pub(crate) fn masters(state: &State) -> impl Iterator<Item = usize> {
        let servers = state.servers;
        (0..servers.len()).filter(move |it| servers[*it].role == Role::Master)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.first_state()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.task_actions(state, actions);
        self.recovery_actions(state, actions);
        self.fault_actions(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = *last;
        self.perform(&mut state, action).then_some(state)
    }

    /// One property, so that the first state that breaks it ends the search: breadth-first and on
    /// one thread, its history is one of the shortest. Which promise it breaks is asked afterwards.
    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("the promises hold", |protocol, state| {
            protocol.broken(state).is_none()
        })]
    }
}

impl Protocol {
    fn perform(&self, state: &mut State, action: Action) -> bool {
        match action {
            Action::Begin {
                task,
                server,
                epoch,
            } => self.begin(state, task, server, epoch),
            Action::Load { task, server } => self.load(state, task, server),
            Action::Decide { task, server } => self.call_decide(state, task, server),
            Action::DecideTogether { tasks, server } => self.call_together(state, tasks, server),
            Action::CallTimesOut { task } => self.call_times_out(state, task),
            Action::LateCall { task, server } => self.late_call(state, task, server),
            Action::Scan {
                task,
                server,
                record,
            } => self.scan(state, task, server, record),
            Action::Before { task } => self.put_before(state, task),
            Action::Append { task } => self.append_record(state, task),
            Action::ProduceTimesOut { task } => self.produce_times_out(state, task),
            Action::Land { floating } => self.land(state, floating),
            Action::ReadBack { task } => self.read_back(state, task),
            Action::Settle { task, server } => self.call_settle(state, task, server),
            Action::SettleTimesOut { task } => self.settle_times_out(state, task),
            Action::LateSettle { task, server } => self.late_settle(state, task, server),
            Action::Look { recovery } => self.look(state, recovery),
            Action::Claim { recovery, server } => self.claim(state, recovery, server),
            Action::ClaimTimesOut { recovery } => self.claim_times_out(state, recovery),
            Action::Fence {
                recovery,
                partition,
            } => self.fence(state, recovery, partition),
            Action::FenceTimesOut {
                recovery,
                partition,
            } => self.fence_times_out(state, recovery, partition),
            Action::Clear { recovery, server } => self.clear(state, recovery, server),
            Action::Identify { recovery, server } => self.identify(state, recovery, server),
            Action::Mark { recovery, server } => self.mark(state, recovery, server),
            Action::Rebuild {
                recovery,
                server,
                part,
            } => self.rebuild(state, recovery, server, part),
            Action::RebuildTimesOut { recovery, part } => {
                self.rebuild_times_out(state, recovery, part)
            }
            Action::LateRebuild {
                recovery,
                server,
                part,
            } => self.late_rebuild(state, recovery, server, part),
            Action::LoadScripts { recovery, server } => self.load_scripts(state, recovery, server),
            Action::Publish { recovery, server } => self.publish(state, recovery, server),
            Action::PublishTimesOut { recovery } => self.publish_times_out(state, recovery),
            Action::LatePublish { recovery, server } => self.late_publish(state, recovery, server),
            Action::Fault(fault) => self.happen(state, fault),
        }
    }
}

/// Where a number of partitions begins and ends is the same for all of them.
pub(crate) fn ends(state: &State) -> [u8; PARTITIONS] {
    let mut ends = [0; PARTITIONS];
    for (end, partition) in ends.iter_mut().zip(&state.log) {
        *end = small(partition.entries().len());
    }
    ends
}
