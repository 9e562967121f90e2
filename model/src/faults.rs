//! What happens to Redis, to Kafka's leaders, and by plan; each a stated number of times.

use crate::action::{Action, Fault};
use crate::protocol::Protocol;
use crate::rules::Rule;
use crate::state::{Data, Role, SERVERS, SKUS, State, Value};

impl Protocol {
    pub(crate) fn fault_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.faults;
        let mut push = |left: u8, fault: Fault| {
            if left > 0 {
                actions.push(Action::Fault(fault));
            }
        };
        push(left.replicate, Fault::Replicate);
        push(left.promote, Fault::Promote);
        push(left.split, Fault::Split);
        push(left.demote, Fault::Demote);
        push(left.restart, Fault::Restart);
        push(left.restart_older, Fault::RestartOlder);
        push(left.restart_empty, Fault::RestartEmpty);
        push(left.flush, Fault::Flush);
        for sku in 0..SKUS {
            push(left.lose_value, Fault::LoseValue { sku });
        }
        push(left.generation, Fault::NextGeneration);
        for partition in 0..self.scenario.partitions {
            push(left.leader, Fault::LeaderGoes { partition });
        }
        if !self.keeps(Rule::NothingReleasedByTimeOut) {
            for record in 0..self.attempts() {
                push(1, Fault::Release { record });
            }
        }
        if !self.keeps(Rule::PrunesOnlyInRebuild) {
            push(1, Fault::Prune);
        }
    }

    pub(crate) fn happen(&self, state: &mut State, fault: Fault) -> bool {
        let left = &mut state.faults;
        match fault {
            Fault::Replicate => left.replicate -= 1,
            Fault::Promote => left.promote -= 1,
            Fault::Split => left.split -= 1,
            Fault::Demote => left.demote -= 1,
            Fault::Restart => left.restart -= 1,
            Fault::RestartOlder => left.restart_older -= 1,
            Fault::RestartEmpty => left.restart_empty -= 1,
            Fault::Flush => left.flush -= 1,
            Fault::LoseValue { .. } => left.lose_value -= 1,
            Fault::NextGeneration => left.generation -= 1,
            Fault::LeaderGoes { .. } => left.leader -= 1,
            Fault::Release { .. } | Fault::Prune => {}
        }
        let Some(master) = Self::masters(state).next() else {
            return false;
        };
        let other = SERVERS - 1 - master;
        let current = self.slot(state.servers[master].pointer);
        if matches!(
            fault,
            Fault::Restart | Fault::RestartOlder | Fault::RestartEmpty
        ) {
            state.servers[master].scripts = 0;
            if self.keeps(Rule::RestartChangesReplid) {
                state.last_replid += 1;
                state.servers[master].replid = state.last_replid;
            }
        }
        match fault {
            Fault::Replicate => Self::replicate(state, master, other),
            Fault::Promote => Self::promote(state, other, |old| old.role = Role::Down),
            Fault::Split => Self::promote(state, other, |_| {}),
            // Until it has synchronised, it keeps its data and its replication id.
            Fault::Demote => Self::promote(state, other, |old| old.role = Role::Replica),
            Fault::Restart => true,
            Fault::RestartOlder => {
                let file = state.servers[other];
                let server = &mut state.servers[master];
                server.pointer = file.pointer;
                server.data = file.data;
                true
            }
            Fault::RestartEmpty | Fault::Flush => Self::empty(state, master),
            Fault::LoseValue { sku } => {
                let value = &mut state.servers[master].data[current].value[sku];
                let lost = value.present != 0;
                *value = Value::default();
                lost
            }
            Fault::NextGeneration => {
                let data = &mut state.servers[master].data[current];
                self.next_generation(data);
                true
            }
            Fault::LeaderGoes { partition } => self.leader_goes(state, partition),
            Fault::Release { record } => {
                let data = &mut state.servers[master].data[current];
                let pending = data.is_pending(record);
                if pending {
                    self.release(data, record);
                }
                pending
            }
            Fault::Prune => {
                let data = &mut state.servers[master].data[current];
                let before = *data;
                self.prune(data);
                *data != before
            }
        }
    }

    /// A replica that takes over everything also forgets its own replication id.
    fn replicate(state: &mut State, master: usize, replica: usize) -> bool {
        if state.servers[replica].role != Role::Replica {
            return false;
        }
        let from = state.servers[master];
        let to = &mut state.servers[replica];
        let before = *to;
        to.data = from.data;
        to.pointer = from.pointer;
        to.replid = from.replid;
        *to != before
    }

    fn promote(
        state: &mut State,
        replica: usize,
        becomes: impl Fn(&mut crate::state::Server),
    ) -> bool {
        if state.servers[replica].role != Role::Replica {
            return false;
        }
        becomes(&mut state.servers[SERVERS - 1 - replica]);
        state.last_replid += 1;
        state.servers[replica].role = Role::Master;
        state.servers[replica].replid = state.last_replid;
        true
    }

    fn empty(state: &mut State, master: usize) -> bool {
        let server = &mut state.servers[master];
        server.pointer = 0;
        server.data.fill(Data::default());
        true
    }
}
