//! What one seed means: how large its world is and what goes wrong in it.
//!
//! Every seed has its own few kinds of faults at its own rates: a world in which everything fails
//! at once seldom gets far enough to show a rare bug.

use std::collections::BTreeMap;
use std::fmt;

use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// The most kinds of faults in one world.
const KINDS_MAX: usize = 28;

/// Everything that can go wrong. The word says it in reports.
macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal, $scenario:literal;)*) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[doc = $doc])* $name,)* }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in reports, and the scenario that it belongs to.
            pub fn words(self) -> (&'static str, &'static str) {
                match self { $(Self::$name => ($word, $scenario),)* }
            }
        }
    };
}

faults! {
    /// A call never reaches the gate.
    RequestLost = "gate: request lost", "F4";
    /// The gate ran a call, and its answer is lost.
    ReplyLost = "gate: reply lost", "F4";
    /// A call runs long after its caller gave it up.
    CallLate = "gate: call runs late", "F4";
    /// A call runs again later.
    CallRepeated = "gate: call runs twice", "F4";
    /// The gate restarts with nothing.
    RestartEmpty = "gate: restart, empty", "F5";
    /// The gate restarts with what it once saved.
    RestartOldFile = "gate: restart, old file", "F5";
    /// Somebody flushes the gate.
    Flush = "gate: flushed", "F5";
    /// The gate's scripts are flushed.
    ScriptsFlushed = "gate: scripts flushed", "F5";
    /// An item's value is deleted.
    ValueDeleted = "gate: value deleted", "F5";
    /// The gate is full.
    Full = "gate: full (OOM)", "F5";
    /// The gate hangs and answers later.
    Hung = "gate: hangs", "F5";
    /// The gate's replication id changes without a loss.
    ReplidChanged = "gate: new replication id", "F5";
    /// The master dies, its replica is promoted.
    Failover = "gate: failover", "F6";
    /// The replica is promoted while the old master serves on.
    Split = "gate: split", "F6";
    /// Failed over and back: the old master is master again.
    Failback = "gate: failback", "F6";
    /// A node is killed between two steps of its recovery.
    RecovererKilled = "recovery: node killed", "F7";
    /// The gate is killed between two steps of a recovery.
    RecoveryGateKilled = "recovery: gate killed", "F7";
    /// Node and gate are killed between two steps of a recovery.
    RecoveryBothKilled = "recovery: node and gate killed", "F7";
    /// A node stands still between two steps of its recovery until another one recovers, too.
    RecoveriesAtOnce = "recovery: two at once", "F7";
    /// A snapshot is deleted.
    SnapshotDeleted = "snapshot: deleted", "F7";
    /// The end of a snapshot is lost.
    SnapshotTruncated = "snapshot: truncated", "F7";
    /// A bit of a snapshot changes.
    SnapshotDamaged = "snapshot: damaged", "F7";
    /// A snapshot of another moment has the newest one's name.
    SnapshotReplaced = "snapshot: of another moment", "F7";
    /// A partition has no leader for a while.
    LeaderChange = "log: leader change", "F8";
    /// The record landed, and the producer is told that nobody knows.
    ProduceUnknownLanded = "log: time-out, landed", "F8";
    /// The record is lost, and the producer is told that nobody knows.
    ProduceUnknownLost = "log: time-out, lost", "F8";
    /// The producer is told that nobody knows, and the record lands later.
    ProduceLate = "log: time-out, lands late", "F8";
    /// The record lands twice.
    ProduceTwice = "log: lands twice", "F8";
    /// The producer's queue is full.
    ProduceNotStarted = "log: not started", "F8";
    /// The broker refuses a record for good.
    ProduceRefused = "log: refused for good", "F8";
    /// The acknowledgement names no offset.
    OffsetUnnamed = "log: offset not named", "F8";
    /// A tail breaks.
    TailBroken = "log: tail breaks", "F8";
    /// A question to the log is not answered.
    LogUnavailable = "log: no answer", "F8";
    /// A node is killed.
    NodeKilled = "node: killed", "F1";
    /// A node stands still and goes on.
    NodePaused = "node: paused", "F2";
    /// A node is replaced by one of a newer program.
    NodeUpgraded = "node: replaced by a newer one", "F11";
    /// A node is replaced by one of an older program.
    NodeDowngraded = "node: replaced by an older one", "F11";
    /// A snapshot is of another version of the fold.
    SnapshotOfOtherFold = "snapshot: of another fold", "F11";
    /// Projectors begin with rows of an older program, which have to be replayed.
    RowsOfOtherFold = "projector: rows of another fold", "F11";
    /// A client hangs up.
    HungUp = "client: hangs up", "F3";
    /// The log takes nothing in: its disks are full.
    LogFull = "log: disks full", "F12";
    /// A node's clock jumps.
    ClockJump = "node: clock jumps", "F12";
    /// A projector is killed.
    ProjectorKilled = "projector: killed", "F9";
    /// A projector stands still and goes on.
    ProjectorPaused = "projector: paused", "F9";
    /// Two projectors have the same partitions.
    ProjectorTwice = "projector: two owners", "F9";
    /// Somebody replays the read models. No fault, but it can happen beside any.
    Replay = "operator: replay", "F9";
    /// A process is killed in a replay.
    ReplayKilled = "replay: killed", "F9";
    /// A process stands still in a replay and goes on.
    ReplayPaused = "replay: paused", "F9";
    /// A statement of the store fails.
    StoreFails = "store: statement fails", "F10";
    /// The store's answer to a commit is lost.
    CommitReplyLost = "store: commit reply lost", "F10";
    /// The store is down.
    StoreDown = "store: down", "F10";
    /// The store is restored from an older copy.
    StoreRestored = "store: restored from a copy", "F10";
    /// Somebody asks for a new epoch while one is open. No fault, but it can happen beside any.
    EpochChanged = "operator: epoch changed", "S4";
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().0)
    }
}

impl Fault {
    /// Whether it strikes single messages or steps, at a rate; the others are done by hand, now
    /// and then.
    pub fn is_of_messages(self) -> bool {
        matches!(
            self,
            Self::RequestLost
                | Self::ReplyLost
                | Self::CallLate
                | Self::CallRepeated
                | Self::RecovererKilled
                | Self::RecoveryGateKilled
                | Self::RecoveryBothKilled
                | Self::RecoveriesAtOnce
                | Self::ProduceUnknownLanded
                | Self::ProduceUnknownLost
                | Self::ProduceLate
                | Self::ProduceTwice
                | Self::ProduceNotStarted
                | Self::ProduceRefused
                | Self::OffsetUnnamed
                | Self::TailBroken
                | Self::LogUnavailable
                | Self::ReplayKilled
                | Self::ReplayPaused
                | Self::HungUp
                | Self::StoreFails
                | Self::CommitReplyLost
        )
    }
}

/// The world of one seed.
#[derive(Debug, Clone)]
pub struct Plan {
    /// API nodes.
    pub nodes: usize,
    /// Partitions of every topic.
    pub partitions: u16,
    /// Items in the catalogue.
    pub items: usize,
    /// Clients at once.
    pub clients: usize,
    /// Commands of all clients together.
    pub commands: usize,
    /// The longest pause of a client between two commands, in milliseconds.
    pub think_max: u64,
    /// Entries of a generation of refusals.
    pub entries_per_generation: u64,
    /// Tasks of a projector team.
    pub projector_tasks: usize,
    /// After how many records a snapshot is made, and every how many seconds it is looked whether
    /// one is due; `None`: there are none.
    pub snapshots: Option<(u64, u64)>,
    /// Tasks that fold the log in a recovery.
    pub fold_tasks: usize,
    /// Whether the read models are replayed once more when all is in order.
    pub replayed_at_end: bool,
    /// Pause between two faults that are done by hand, in milliseconds.
    pub fault_pause: (u64, u64),
    /// How many times in a thousand each fault of single messages strikes.
    rates: BTreeMap<Fault, u64>,
    /// The faults that are done by hand.
    pub by_hand: Vec<Fault>,
}

impl Plan {
    /// What a seed means.
    pub fn of(seed: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(seed);
        let mut plan = Self::quiet();
        plan.nodes = dice.random_range(2..=3);
        plan.partitions = dice.random_range(1..=2);
        plan.items = dice.random_range(2..=4);
        plan.clients = dice.random_range(4..=10);
        plan.commands = dice.random_range(120..=220);
        plan.think_max = *[20, 200, 1_000].choose_one(&mut dice);
        plan.entries_per_generation = *[4, 20, 1_000].choose_one(&mut dice);
        plan.snapshots = *[None, Some((5, 1)), Some((20, 3)), Some((100, 5))].choose_one(&mut dice);
        plan.fold_tasks = dice.random_range(1..=3);
        plan.replayed_at_end = dice.random();
        plan.projector_tasks = dice.random_range(1..=2);
        plan.fault_pause = *[(200, 1_500), (500, 6_000), (3_000, 15_000)].choose_one(&mut dice);
        let mut faults = Fault::ALL.to_vec();
        faults.shuffle(&mut dice);
        let kinds = dice.random_range(2..=KINDS_MAX);
        for fault in faults.into_iter().take(kinds) {
            if fault.is_of_messages() {
                let highest = match fault {
                    Fault::ProduceRefused => 2,
                    Fault::HungUp => 150,
                    Fault::RecovererKilled
                    | Fault::RecoveryGateKilled
                    | Fault::RecoveryBothKilled
                    | Fault::RecoveriesAtOnce => 40,
                    Fault::TailBroken | Fault::LogUnavailable => 20,
                    _ => 60,
                };
                plan.rates.insert(fault, dice.random_range(1..=highest));
            } else {
                plan.by_hand.push(fault);
            }
        }
        plan
    }

    /// A small world in which nothing goes wrong.
    pub fn quiet() -> Self {
        Self {
            nodes: 1,
            partitions: 1,
            items: 2,
            clients: 2,
            commands: 20,
            think_max: 50,
            entries_per_generation: 1_000,
            projector_tasks: 1,
            snapshots: None,
            fold_tasks: 1,
            replayed_at_end: false,
            fault_pause: (1_000, 5_000),
            rates: BTreeMap::new(),
            by_hand: vec![],
        }
    }

    /// How many times in a thousand a fault of single messages strikes.
    pub fn rate(&self, fault: Fault) -> u64 {
        self.rates.get(&fault).copied().unwrap_or(0)
    }
}

trait ChooseOne<T> {
    fn choose_one(&self, dice: &mut SmallRng) -> &T;
}

impl<T> ChooseOne<T> for [T] {
    fn choose_one(&self, dice: &mut SmallRng) -> &T {
        &self[dice.random_range(0..self.len())]
    }
}
