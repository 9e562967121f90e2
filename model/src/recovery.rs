//! A recovery, step by step, by any node that has a reason.

use crate::action::Action;
use crate::log::Reading;
use crate::protocol::{Protocol, ends};
use crate::rules::Rule;
use crate::state::{
    Data, EPOCHS, Entry, PARTITIONS, Phase, RECOVERIES, Recovery, Role, State, bit, bits, small,
};

/// The parts in which a rebuild writes the gate's data.
pub(crate) const PARTS: usize = 2;
const ALL_PARTS: u8 = 0b11;

impl Protocol {
    pub(crate) fn recovery_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for recovery in 0..self.scenario.recoveries.min(RECOVERIES) {
            let it = &state.recoveries[recovery];
            match it.phase {
                Phase::Idle => {
                    if self.looks_first(recovery) && it.epoch == 0 {
                        actions.push(Action::Look { recovery });
                    } else {
                        for server in Self::masters(state) {
                            actions.push(Action::Claim { recovery, server });
                        }
                        actions.push(Action::ClaimTimesOut { recovery });
                    }
                }
                Phase::Fence => {
                    for partition in 0..self.scenario.partitions {
                        actions.push(Action::Fence {
                            recovery,
                            partition,
                        });
                        actions.push(Action::FenceTimesOut {
                            recovery,
                            partition,
                        });
                    }
                }
                Phase::Done => {}
                _ => self.redis_actions(state, recovery, actions),
            }
            for part in 0..PARTS {
                if it.late & bit(part) != 0 {
                    for server in Self::masters(state) {
                        actions.push(Action::LateRebuild {
                            recovery,
                            server,
                            part,
                        });
                    }
                }
            }
            if it.late_publish != 0 {
                for server in Self::masters(state) {
                    actions.push(Action::LatePublish { recovery, server });
                }
            }
        }
    }

    fn redis_actions(&self, state: &State, recovery: usize, actions: &mut Vec<Action>) {
        let it = &state.recoveries[recovery];
        for server in self.reach(state, it) {
            match it.phase {
                Phase::Clear | Phase::ClearRest => actions.push(Action::Clear { recovery, server }),
                Phase::Identify => actions.push(Action::Identify { recovery, server }),
                Phase::Mark => actions.push(Action::Mark { recovery, server }),
                Phase::Rebuild => {
                    for part in (0..PARTS).filter(|part| it.rebuilt & bit(*part) == 0) {
                        actions.push(Action::Rebuild {
                            recovery,
                            server,
                            part,
                        });
                        actions.push(Action::RebuildTimesOut { recovery, part });
                    }
                }
                Phase::Load => actions.push(Action::LoadScripts { recovery, server }),
                Phase::Publish => {
                    actions.push(Action::Publish { recovery, server });
                    actions.push(Action::PublishTimesOut { recovery });
                }
                _ => {}
            }
        }
    }

    /// A connection stays where it is as long as there is a master; then any other one.
    fn reach(&self, state: &State, recovery: &Recovery) -> Vec<usize> {
        let own = usize::from(recovery.server) - 1;
        if state.servers[own].role == Role::Master {
            vec![own]
        } else {
            Self::masters(state).collect()
        }
    }

    fn is_old(&self, recovery: usize) -> bool {
        self.scenario.old_node == Some(recovery)
    }

    /// Whether what it sees before it claims is a step of its own: only where that matters.
    fn looks_first(&self, recovery: usize) -> bool {
        self.is_old(recovery) || !self.keeps(Rule::ClaimIsReadBack)
    }

    /// Looks at all earlier claims before it claims.
    pub(crate) fn look(&self, state: &mut State, recovery: usize) -> bool {
        let unknown = state.newer_claims != 0 && self.keeps(Rule::LooksBeforeClaim);
        let number = state.claims + 1;
        let it = &mut state.recoveries[recovery];
        it.epoch = number;
        if self.is_old(recovery) && unknown {
            it.phase = Phase::Done;
        }
        true
    }

    /// A reason to recover: the current epoch is closed or damaged on a master, or there is none,
    /// or an epoch change is planned.
    pub(crate) fn has_reason(&self, state: &State, server: usize) -> bool {
        let it = &state.servers[server];
        let epoch = it.pointer;
        epoch == 0
            || self.is_closed(state, it, epoch, true)
            || (self.is_damaged(&it.data[self.slot(epoch)]) && self.keeps(Rule::DamageIsAReason))
    }

    /// Step 1: the claim is acknowledged and read back.
    pub(crate) fn claim(&self, state: &mut State, recovery: usize, server: usize) -> bool {
        if usize::from(state.claims) + 1 >= EPOCHS {
            return false;
        }
        if !self.has_reason(state, server) && self.keeps(Rule::ClaimsForAReason) {
            if state.faults.planned == 0 {
                return false;
            }
            state.faults.planned -= 1;
        }
        state.claims += 1;
        let number = state.claims;
        let folded = if self.keeps(Rule::FoldsUpToFences) {
            [0; PARTITIONS]
        } else {
            ends(state)
        };
        if self.scenario.old_node.is_some() && !self.is_old(recovery) {
            state.newer_claims |= bit(usize::from(number));
        }
        let unknown = state.newer_claims != 0 && self.keeps(Rule::LooksAtClaimReadBack);
        let gives_up = self.is_old(recovery) && unknown;
        let it = &mut state.recoveries[recovery];
        let foreseen = it.epoch;
        *it = Recovery {
            phase: match (gives_up, self.keeps(Rule::Fences)) {
                (true, _) => Phase::Done,
                (false, true) => Phase::Fence,
                (false, false) => Phase::Clear,
            },
            epoch: if self.keeps(Rule::ClaimIsReadBack) {
                number
            } else {
                foreseen
            },
            server: 1 + small(server),
            folded,
            ..Recovery::default()
        };
        if !self.keeps(Rule::ClearsAfterFences) {
            self.delete_lower(state, recovery, server);
        }
        true
    }

    pub(crate) fn claim_times_out(&self, state: &mut State, recovery: usize) -> bool {
        let idle = state.recoveries[recovery].phase == Phase::Idle;
        let reason = state.faults.planned > 0
            || Self::masters(state).any(|server| self.has_reason(state, server));
        if !idle || !reason || state.faults.claim == 0 || usize::from(state.claims) + 2 >= EPOCHS {
            return false;
        }
        state.faults.claim -= 1;
        state.claims += 1;
        true
    }

    /// The partitions that a recovery knows and fences, as bits.
    fn known_partitions(&self, recovery: usize) -> u8 {
        if self.is_old(recovery) || !self.keeps(Rule::FencesEveryPartition) {
            bit(self.scenario.partitions - 1)
        } else {
            self.all_partitions()
        }
    }

    /// Step 2: a fence is appended and read back, in one step. (What stands before it is fixed once
    /// it has landed.) A higher fence met before it: another node is ahead.
    pub(crate) fn fence(&self, state: &mut State, recovery: usize, partition: usize) -> bool {
        let it = state.recoveries[recovery];
        let known = self.known_partitions(recovery);
        if it.fenced & bit(partition) != 0 || known & bit(partition) == 0 {
            return false;
        }
        let entries = state.log[partition].entries();
        let behind = entries
            .iter()
            .any(|entry| entry.is_fence() && entry.epoch > it.epoch);
        state.append(partition, Entry::fence(it.epoch));
        state.log[partition].safe = state.log[partition].len;
        let it = &mut state.recoveries[recovery];
        it.fenced |= bit(partition);
        if behind && self.keeps(Rule::StopsAtHigherFence) {
            it.phase = Phase::Done;
        } else if it.fenced == known {
            it.phase = Phase::Clear;
        }
        true
    }

    pub(crate) fn fence_times_out(
        &self,
        state: &mut State,
        recovery: usize,
        partition: usize,
    ) -> bool {
        let it = state.recoveries[recovery];
        let entry = Entry {
            version: small(partition),
            ..Entry::fence(it.epoch)
        };
        let done = it.fenced & bit(partition) != 0;
        if done || state.faults.fence == 0 || !state.float(entry) {
            return false;
        }
        state.faults.fence -= 1;
        if !self.keeps(Rule::FencesAreReadBack) {
            let known = self.known_partitions(recovery);
            let it = &mut state.recoveries[recovery];
            it.fenced |= bit(partition);
            if it.fenced == known {
                it.phase = Phase::Clear;
            }
        }
        true
    }

    /// Step 3: lower epochs' data goes, in one `UNLINK` that also names their markers.
    pub(crate) fn clear(&self, state: &mut State, recovery: usize, server: usize) -> bool {
        let rest = state.recoveries[recovery].phase == Phase::ClearRest;
        if self.keeps(Rule::ClearsAfterFences) {
            let data = &mut state.servers[server].data;
            let lower = 1..usize::from(state.recoveries[recovery].epoch);
            for data in &mut data[lower] {
                let marker = data.marker;
                if !self.keeps(Rule::MarkersGoWithData) && !rest {
                    // Markers first, data afterwards.
                    data.marker = 0;
                } else {
                    *data = Data::default();
                    if rest || !self.keeps(Rule::UnlinkNamesMarkers) {
                        data.marker = marker;
                    }
                }
            }
        }
        let it = &mut state.recoveries[recovery];
        let twice = !self.keeps(Rule::MarkersGoWithData) && !rest;
        it.phase = if twice {
            Phase::ClearRest
        } else {
            Phase::Identify
        };
        it.server = 1 + small(server);
        true
    }

    fn delete_lower(&self, state: &mut State, recovery: usize, server: usize) {
        let lower = 1..usize::from(state.recoveries[recovery].epoch);
        state.servers[server].data[lower].fill(Data::default());
    }

    pub(crate) fn identify(&self, state: &mut State, recovery: usize, server: usize) -> bool {
        let replid = state.servers[server].replid;
        let it = &mut state.recoveries[recovery];
        it.replid = replid;
        it.server = 1 + small(server);
        it.phase = if self.keeps(Rule::MarkerFirst) {
            Phase::Mark
        } else {
            Phase::Rebuild
        };
        true
    }

    pub(crate) fn mark(&self, state: &mut State, recovery: usize, server: usize) -> bool {
        let it = &mut state.recoveries[recovery];
        let slot = self.slot(it.epoch);
        it.server = 1 + small(server);
        it.phase = if self.keeps(Rule::MarkerFirst) {
            Phase::Rebuild
        } else {
            Phase::Load
        };
        state.servers[server].data[slot].marker = 1;
        true
    }

    /// What the log up to the fences gives, or nothing where a reader stops.
    pub(crate) fn rebuilt(&self, state: &State, it: &Recovery) -> Option<Data> {
        let mut until = [0; PARTITIONS];
        for partition in bits(self.all_partitions()) {
            let log = &state.log[partition];
            let mut fences = log.entries().iter().enumerate();
            let fence = fences.find(|(_, entry)| entry.is_fence() && entry.epoch == it.epoch);
            until[partition] = match fence {
                _ if !self.keeps(Rule::FoldsUpToFences) => it.folded[partition],
                Some((offset, _)) => small(offset),
                // Only of a partition that it does not fence.
                None => log.len,
            };
        }
        if let Some(recovery) = self.scenario.old_node
            && state.recoveries[recovery] == *it
        {
            until[0] = 0;
        }
        let reading = Reading {
            until,
            skips_void: self.keeps(Rule::FoldsSkipVoid),
            skips_duplicates: self.keeps(Rule::FoldsSkipDuplicates),
            stops_at_gaps: self.keeps(Rule::FoldsStopAtGaps),
            gives_up_own: self.keeps(Rule::GivesUpOnlyItsOwn),
            resumes_at: None,
        };
        let book = self.fold(state, &reading);
        let stopped = book.gap && self.keeps(Rule::FoldsStopAtGaps);
        let highest = self.keeps(Rule::HighestEpochOfKeyCounts);
        (!stopped).then(|| self.gate_of(&book, highest))
    }

    pub(crate) fn rebuild(
        &self,
        state: &mut State,
        recovery: usize,
        server: usize,
        part: usize,
    ) -> bool {
        if !self.write_part(state, recovery, server, part) {
            state.recoveries[recovery].phase = Phase::Done;
            return true;
        }
        state.recoveries[recovery].server = 1 + small(server);
        self.part_is_in(state, recovery, part);
        true
    }

    fn write_part(&self, state: &mut State, recovery: usize, server: usize, part: usize) -> bool {
        let it = state.recoveries[recovery];
        let Some(built) = self.rebuilt(state, &it) else {
            return false;
        };
        let data = &mut state.servers[server].data[self.slot(it.epoch)];
        if part == 0 {
            data.value = built.value;
        } else {
            *data = Data {
                value: data.value,
                marker: data.marker,
                ..built
            };
        }
        true
    }

    fn part_is_in(&self, state: &mut State, recovery: usize, part: usize) {
        let it = &mut state.recoveries[recovery];
        it.rebuilt |= bit(part);
        if it.rebuilt == ALL_PARTS {
            it.phase = if self.keeps(Rule::MarkerFirst) {
                Phase::Load
            } else {
                Phase::Mark
            };
        }
    }

    /// A call without an answer ends this try.
    pub(crate) fn rebuild_times_out(
        &self,
        state: &mut State,
        recovery: usize,
        part: usize,
    ) -> bool {
        if state.faults.rebuild == 0 {
            return false;
        }
        state.faults.rebuild -= 1;
        state.recoveries[recovery].late |= bit(part);
        if !self.keeps(Rule::RepliesBeforePublish) {
            self.part_is_in(state, recovery, part);
        } else if self.keeps(Rule::UnansweredCallEndsTry) {
            state.recoveries[recovery].phase = Phase::Done;
        }
        true
    }

    pub(crate) fn late_rebuild(
        &self,
        state: &mut State,
        recovery: usize,
        server: usize,
        part: usize,
    ) -> bool {
        state.recoveries[recovery].late &= !bit(part);
        self.write_part(state, recovery, server, part);
        true
    }

    /// Step 4: the scripts, on the primary only. Their text contains the epoch and the replid.
    pub(crate) fn load_scripts(&self, state: &mut State, recovery: usize, server: usize) -> bool {
        let it = state.recoveries[recovery];
        let epoch = usize::from(it.epoch);
        state.text[epoch] = if self.keeps(Rule::ReplidIsReadBeforeRebuild) {
            it.replid
        } else {
            state.servers[server].replid
        };
        for (index, at) in state.servers.iter_mut().enumerate() {
            let replica = at.role == Role::Replica && !self.keeps(Rule::ScriptsNeverOnReplicas);
            if index == server || replica {
                at.scripts |= bit(epoch);
            }
        }
        let it = &mut state.recoveries[recovery];
        it.server = 1 + small(server);
        it.phase = Phase::Publish;
        true
    }

    pub(crate) fn publish(&self, state: &mut State, recovery: usize, server: usize) -> bool {
        self.point(state, recovery, server);
        state.recoveries[recovery].phase = Phase::Done;
        true
    }

    fn point(&self, state: &mut State, recovery: usize, server: usize) {
        let epoch = state.recoveries[recovery].epoch;
        let pointer = &mut state.servers[server].pointer;
        if *pointer < epoch || !self.keeps(Rule::PublishesOnlyIfLower) {
            *pointer = epoch;
            if self.keeps(Rule::PublishClosesLower) {
                self.delete_lower(state, recovery, server);
            }
        }
    }

    /// After publish was attempted, another try needs a new claim.
    pub(crate) fn publish_times_out(&self, state: &mut State, recovery: usize) -> bool {
        if state.faults.rebuild == 0 {
            return false;
        }
        state.faults.rebuild -= 1;
        let it = &mut state.recoveries[recovery];
        it.late_publish = 1;
        if self.keeps(Rule::NewClaimAfterPublish) {
            it.phase = Phase::Done;
        } else {
            it.phase = Phase::Clear;
            it.rebuilt = 0;
        }
        true
    }

    pub(crate) fn late_publish(&self, state: &mut State, recovery: usize, server: usize) -> bool {
        state.recoveries[recovery].late_publish = 0;
        self.point(state, recovery, server);
        true
    }
}
