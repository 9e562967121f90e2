//! What the model knows at one moment: the log, the Redis servers, the tasks of the API nodes, the
//! recoveries, what is under way between them, and what clients were told.
//!
//! Everything is a byte, laid out without gaps: millions of states are copied, hashed and compared
//! as plain memory. Nodes as such have no state. Each task runs on a node of its own, which is the
//! most that tasks can be apart; a node that is paused or dead is one whose task takes no further
//! step, so every prefix of every schedule is already a history with that node dead at that
//! instruction, and its messages under way stay where they are.

use std::hash::{Hash, Hasher};

use zerocopy::{Immutable, IntoBytes};

/// Requests of clients at most.
pub(crate) const ATTEMPTS: usize = 4;
/// Nodes that complete what they find pending, after the attempts in [`State::tasks`].
pub(crate) const COMPLETERS: usize = 1;
pub(crate) const TASKS: usize = ATTEMPTS + COMPLETERS;
pub(crate) const SKUS: usize = 2;
/// Items first, then whatever each attempt may make (an order, a user).
pub(crate) const AGGREGATES: usize = SKUS + ATTEMPTS;
pub(crate) const PARTITIONS: usize = 2;
/// Epochs are 1 to 3. Slot 0 is for the mutant whose epochs share their keys.
pub(crate) const EPOCHS: usize = 4;
pub(crate) const SERVERS: usize = 2;
pub(crate) const RECOVERIES: usize = 2;
pub(crate) const LOG: usize = 12;
pub(crate) const FLOATING: usize = 3;

/// A fence, or a record as it stands in the log.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, IntoBytes, Immutable)]
pub(crate) struct Entry {
    /// 0: nothing; [`Entry::FENCE`]; otherwise 1 + the attempt that made it.
    pub(crate) what: u8,
    pub(crate) epoch: u8,
    /// The aggregate's version in the low half; in the high half the version of the terms that an
    /// order rests on. Of a fence under way: its partition.
    pub(crate) version: u8,
}

impl Entry {
    pub(crate) const FENCE: u8 = 0xff;

    pub(crate) fn fence(epoch: u8) -> Self {
        Self {
            what: Self::FENCE,
            epoch,
            version: 0,
        }
    }

    pub(crate) fn is_fence(self) -> bool {
        self.what == Self::FENCE
    }

    pub(crate) fn attempt(self) -> usize {
        usize::from(self.what) - 1
    }

    pub(crate) fn aggregate_version(self) -> u8 {
        self.version & 0x0f
    }

    pub(crate) fn terms(self) -> u8 {
        self.version >> 4
    }
}

#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) struct Partition {
    pub(crate) len: u8,
    /// So many entries stand on enough replicas: an append at or after them was acknowledged.
    pub(crate) safe: u8,
    pub(crate) entries: [Entry; LOG],
}

impl Partition {
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries[..usize::from(self.len)]
    }
}

/// What the gate holds of one SKU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) struct Value {
    pub(crate) present: u8,
    pub(crate) available: i8,
    /// The item's version that its settled terms come from.
    pub(crate) terms: u8,
    pub(crate) discontinued: u8,
}

/// What stands under an idempotency key, or under the record id of a command without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Refused,
    Record { attempt: usize, settled: bool },
}

/// The gate's data of one epoch on one server.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) struct Data {
    pub(crate) marker: u8,
    pub(crate) generation: u8,
    /// By attempt.
    pub(crate) pending: u8,
    /// Who claimed the one e-mail address: 1 + attempt.
    pub(crate) email: u8,
    pub(crate) value: [Value; SKUS],
    pub(crate) version: [u8; AGGREGATES],
    /// See [`crate::commands`].
    pub(crate) snapshot: [u8; AGGREGATES],
    /// See [`Data::found`].
    pub(crate) key: [u8; ATTEMPTS],
    pub(crate) key_generation: [u8; ATTEMPTS],
    /// [`Entry::version`] of a pending record.
    pub(crate) pending_version: [u8; ATTEMPTS],
    /// Where tails may start, if later than at the epoch's fence.
    pub(crate) position: [u8; PARTITIONS],
}

const REFUSED: u8 = 0x40;
const SETTLED: u8 = 0x80;

impl Data {
    pub(crate) fn found(&self, key: usize) -> Found {
        match self.key[key] {
            0 => Found::Nothing,
            REFUSED => Found::Refused,
            entry => Found::Record {
                attempt: usize::from(entry & !SETTLED) - 1,
                settled: entry & SETTLED != 0,
            },
        }
    }

    pub(crate) fn enter(&mut self, key: usize, found: Found) {
        self.key[key] = match found {
            Found::Nothing => 0,
            Found::Refused => REFUSED,
            Found::Record { attempt, settled } => {
                1 + small(attempt) + if settled { SETTLED } else { 0 }
            }
        };
    }

    pub(crate) fn is_pending(&self, attempt: usize) -> bool {
        self.pending & bit(attempt) != 0
    }
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) enum Role {
    #[default]
    Down,
    Master,
    Replica,
}

#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) struct Server {
    pub(crate) role: Role,
    pub(crate) replid: u8,
    /// The epochs whose scripts it has loaded.
    pub(crate) scripts: u8,
    /// The current pointer: an epoch, or 0.
    pub(crate) pointer: u8,
    pub(crate) data: [Data; EPOCHS],
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) enum Step {
    /// Not begun.
    #[default]
    Idle,
    Load,
    Decide,
    /// Its predecessors, or what its answer rests on, first.
    Before,
    Append,
    ReadBack,
    /// Its tail saw a copy; the append is not acknowledged yet.
    Acknowledge,
    Settle,
    Done,
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) enum Answer {
    #[default]
    None,
    /// 2xx.
    Yes,
    /// 404, 409, 422.
    No,
    /// 503: this request changed nothing.
    Unavailable,
    /// 503: outcome unknown.
    Unknown,
}

/// A command under way on a node, or a completion.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) struct Task {
    pub(crate) step: Step,
    pub(crate) answer: Answer,
    /// The set (epoch, script hashes, generation) that it took.
    pub(crate) epoch: u8,
    pub(crate) generation: u8,
    /// Whose record it carries: 1 + attempt.
    pub(crate) record: u8,
    /// [`Entry::version`] of that record.
    pub(crate) version: u8,
    /// Predecessors still to be put into the log, by attempt.
    pub(crate) before: u8,
    /// Predecessors that it read back, by attempt.
    pub(crate) behind: u8,
    /// Where its node's tail started in the partition of its record.
    pub(crate) start: u8,
    /// From where on its waiter sees copies.
    pub(crate) from: u8,
    /// The version that it loaded; the terms that it saw; where it saw a copy.
    pub(crate) seen: u8,
    /// Bits of [`Task::MAYBE`] and others.
    pub(crate) flags: u8,
}

impl Task {
    /// An earlier call may have run.
    pub(crate) const MAYBE: u8 = 1;
    /// Its waiter was registered only after a copy may have been seen.
    pub(crate) const LATE: u8 = 2;
    /// What it puts into the log first is what a refusal rests on, or a yes without a record.
    pub(crate) const REFUSES: u8 = 4;
    pub(crate) const AGREES: u8 = 8;
    /// The refusal that it was told is that of an earlier time.
    pub(crate) const REMEMBERED: u8 = 32;
    /// It decided a second time.
    pub(crate) const AGAIN: u8 = 16;

    pub(crate) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, IntoBytes, Immutable)]
pub(crate) enum Phase {
    #[default]
    Idle,
    Fence,
    Clear,
    /// The mutant that deletes in two steps is between them.
    ClearRest,
    Identify,
    Mark,
    Rebuild,
    Load,
    Publish,
    Done,
}

/// A node that recovers.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) struct Recovery {
    pub(crate) phase: Phase,
    pub(crate) epoch: u8,
    /// By partition.
    pub(crate) fenced: u8,
    /// The parts of the gate's data that it wrote, as bits.
    pub(crate) rebuilt: u8,
    /// 1 + the server that it is connected to.
    pub(crate) server: u8,
    /// The `master_replid` that it read.
    pub(crate) replid: u8,
    /// Parts whose call is under way although nobody waits for it.
    pub(crate) late: u8,
    /// A publish is under way although nobody waits for it.
    pub(crate) late_publish: u8,
    /// Where the log ended when it folded it (only the mutant that folds first).
    pub(crate) folded: [u8; PARTITIONS],
}

/// How often each fault may still happen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) struct Faults {
    /// A call of decide whose reply nobody gets; a copy of it arrives later or never.
    pub(crate) call: u8,
    /// A call of settle, likewise.
    pub(crate) settle: u8,
    /// A call of a rebuild or a publish, likewise.
    pub(crate) rebuild: u8,
    /// A produce with an unknown outcome: the record lands later, or again, or never.
    pub(crate) produce: u8,
    /// A fence's produce with an unknown outcome.
    pub(crate) fence: u8,
    /// A claim's produce with an unknown outcome.
    pub(crate) claim: u8,
    /// Redis' replica (or file) takes over what the master has now.
    pub(crate) replicate: u8,
    /// The replica is promoted, the old master is dead.
    pub(crate) promote: u8,
    /// The replica is promoted, the old master goes on serving.
    pub(crate) split: u8,
    /// The replica is promoted, the old master becomes its replica.
    pub(crate) demote: u8,
    /// Redis restarts with its data whole.
    pub(crate) restart: u8,
    /// Redis restarts with an older file.
    pub(crate) restart_older: u8,
    /// Redis restarts empty.
    pub(crate) restart_empty: u8,
    /// `FLUSHALL`.
    pub(crate) flush: u8,
    /// One SKU's value is deleted.
    pub(crate) lose_value: u8,
    /// A generation of refusals is full.
    pub(crate) generation: u8,
    /// A planned epoch change.
    pub(crate) planned: u8,
    /// A leader's last entries are on too few replicas, and it goes.
    pub(crate) leader: u8,
}

#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, IntoBytes, Immutable)]
pub(crate) struct State {
    pub(crate) log: [Partition; PARTITIONS],
    pub(crate) servers: [Server; SERVERS],
    pub(crate) tasks: [Task; TASKS],
    pub(crate) recoveries: [Recovery; RECOVERIES],
    /// Produces under way of which nobody knows, sorted.
    pub(crate) floating: [Entry; FLOATING],
    /// Calls of decide under way for which nobody waits, by attempt.
    pub(crate) late_calls: u8,
    /// Calls of settle likewise, by task.
    pub(crate) late_settles: u8,
    /// The `master_replid` in the text of each epoch's scripts.
    pub(crate) text: [u8; EPOCHS],
    /// The last claim's number, and those that name an interface that old nodes do not know.
    pub(crate) claims: u8,
    pub(crate) newer_claims: u8,
    pub(crate) last_replid: u8,
    /// [`Entry::version`] of each attempt's record as it was last decided: what a node reads in the
    /// pending record that it completes.
    pub(crate) decided: [u8; ATTEMPTS],
    pub(crate) faults: Faults,
    /// Attempts that a client was told had changed nothing.
    pub(crate) denied: u8,
    /// [`crate::promises::Promise`] broken by an answer at the moment it was given.
    pub(crate) broken: u8,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(self.as_bytes());
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("State")
    }
}

pub(crate) fn bit(index: usize) -> u8 {
    1 << index
}

/// Bounds are far below 256.
#[expect(
    clippy::cast_possible_truncation,
    reason = "all bounds of the model are small"
)]
pub(crate) fn small(index: usize) -> u8 {
    index as u8
}

pub(crate) fn bits(mask: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |index| mask & bit(*index) != 0)
}
