//! Read-back: waiters for records, completed by the node's own tail of the log (step 5).
//!
//! A record counts once the tail shows a copy of it before any higher fence of its partition
//! **and** an append of this node at or after that copy is acknowledged. The delivery report
//! alone is not enough (the record may stand behind a newer fence), and the sight of it alone is
//! not either (it may not stand on enough replicas yet).
//!
//! What must stay true: a waiter for a new record is registered before the gate decides it, so
//! that no copy can be missed; only a record's own waiter learns that it is void.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::time::Duration;

use event_log::{AppendFailure, Deliveries, Entry, EventLog};
use lru::LruCache;
use parking_lot::Mutex;
use record::reader::{HighestFence, Standing};
use record::{Envelope, Partition, Position, RecordId};
use tokio::sync::{mpsc, oneshot, watch};

use crate::planted::{self, Planted::FencesIgnored, Planted::NoReadBack};

mod tail;

/// Records that were read back lately and need not be read back again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// What the tail says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sighting {
    /// It stands in the log, valid, here.
    Valid(Position),
    /// A higher fence came first: it is void for good.
    Void,
    /// Nobody here knows.
    Unknown(String),
    /// The log refuses it for good.
    Refused(String),
}

/// Whose waiter it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The attempt's own, registered before it was decided: it cannot have missed a copy.
    Own,
    /// Somebody else's (a replay, a completion, a predecessor): a higher fence first tells
    /// nothing, for an earlier copy may have been missed.
    Later,
}

struct Waiter {
    waiting: Waiting,
    sighting: oneshot::Sender<Sighting>,
}

/// A record that is awaited.
struct Awaited {
    epoch: u64,
    waiters: Vec<Waiter>,
    /// Kept to append it again after a failure; `None` until it is appended.
    entry: Option<Entry>,
    /// Where the tail saw its first valid copy.
    seen: Option<u64>,
    /// The broker acknowledged this record itself without naming an offset.
    acknowledged: bool,
}

/// One partition as the tail sees it.
struct Seen {
    /// The next offset to read.
    next: u64,
    fence: HighestFence,
    /// The highest offset that an append of this node was acknowledged at.
    acknowledged: Option<u64>,
    awaited: HashMap<RecordId, Awaited>,
    /// Copies seen and not acknowledged yet, by offset.
    unacknowledged: BTreeMap<u64, RecordId>,
}

struct State {
    partitions: HashMap<Partition, Seen>,
    /// Why the tail gave up, if it did: nobody may wait any more.
    broken: Option<String>,
    recent: LruCache<RecordId, Position>,
}

/// What the tail noticed that concerns the whole node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailHealth {
    /// It has not started.
    NotStarted,
    /// It reads.
    Reading,
    /// It lost contact and tries again; waiters go on waiting.
    Interrupted(String),
    /// Records are missing from the log: a person has to look.
    Broken(String),
}

/// The read-back of a node. Shared by all of its commands.
pub struct ReadBack {
    log: Arc<dyn EventLog>,
    state: Mutex<State>,
    append_again: mpsc::UnboundedSender<Entry>,
    highest_fence: watch::Sender<u64>,
    health: watch::Sender<TailHealth>,
    this: Weak<Self>,
}

impl std::fmt::Debug for ReadBack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadBack").finish_non_exhaustive()
    }
}

impl ReadBack {
    /// A read-back that does not read yet; see [`ReadBack::start_tail`].
    pub fn new(log: Arc<dyn EventLog>, append_retry: Duration) -> Arc<Self> {
        let (append_again, failed) = mpsc::unbounded_channel();
        let state = State {
            partitions: HashMap::new(),
            broken: None,
            recent: LruCache::new(REMEMBERED),
        };
        let read_back = Arc::new_cyclic(|this| Self {
            log,
            state: Mutex::new(state),
            append_again,
            highest_fence: watch::Sender::new(0),
            health: watch::Sender::new(TailHealth::NotStarted),
            this: this.clone(),
        });
        tokio::spawn(tail::append_failed_again(
            Arc::downgrade(&read_back),
            failed,
            append_retry,
        ));
        read_back
    }

    /// The highest fence seen in any partition; a node watches it to learn of newer epochs.
    pub fn highest_fence(&self) -> watch::Receiver<u64> {
        self.highest_fence.subscribe()
    }

    /// How the tail fares.
    pub fn health(&self) -> watch::Receiver<TailHealth> {
        self.health.subscribe()
    }

    /// Starts to read, once, at the fences of `epoch` or at later positions that are known to
    /// stand before any higher fence. Later epochs need no new start: the tail goes on.
    pub fn start_tail(&self, epoch: u64, starts: &BTreeMap<Partition, u64>) {
        let mut state = self.state.lock();
        if !state.partitions.is_empty() {
            return;
        }
        for (partition, next) in starts {
            let seen = Seen {
                next: *next,
                fence: HighestFence(epoch),
                acknowledged: None,
                awaited: HashMap::new(),
                unacknowledged: BTreeMap::new(),
            };
            state.partitions.insert(*partition, seen);
        }
        drop(state);
        tokio::spawn(tail::read(self.this.clone(), Arc::clone(&self.log)));
    }

    /// Waits for a record.
    ///
    /// # Errors
    /// Why nobody can: its epoch is over in that partition already, or the tail does not read the
    /// partition, or not any more.
    pub fn wait_for(
        &self,
        record: RecordId,
        partition: Partition,
        epoch: u64,
        waiting: Waiting,
    ) -> Result<oneshot::Receiver<Sighting>, String> {
        self.state
            .lock()
            .wait_for(record, partition, epoch, waiting)
    }

    /// Waits for a pending record of somebody else, and appends it unless an attempt of this node
    /// will, or has. One step, for that attempt may give it up at any moment: between a question
    /// and a wait, both would rely on the other.
    ///
    /// # Errors
    /// As [`ReadBack::wait_for`].
    pub fn complete(
        &self,
        entry: Entry,
        epoch: u64,
    ) -> Result<oneshot::Receiver<Sighting>, String> {
        let mut state = self.state.lock();
        let receiver = state.wait_for(entry.id, entry.partition, epoch, Waiting::Later)?;
        let awaited = state.awaited(entry.partition, entry.id);
        let Some(awaited) = awaited.filter(|awaited| !awaited.is_in_flight()) else {
            return Ok(receiver);
        };
        awaited.entry = Some(entry.clone());
        drop(state);
        self.hand_over(entry);
        Ok(receiver)
    }

    /// Waits for a record that this node has in hand or read back lately; `None`: it has not. One
    /// step, as [`ReadBack::complete`]; who joins an attempt that gives up waits for nothing.
    pub(crate) fn join(
        &self,
        record: RecordId,
        partition: Partition,
        epoch: u64,
    ) -> Option<oneshot::Receiver<Sighting>> {
        let mut state = self.state.lock();
        let awaited = state.awaited(partition, record);
        let in_hand = awaited.is_some_and(|awaited| awaited.is_in_flight());
        let wait = in_hand || state.recent.contains(&record);
        wait.then(|| state.wait_for(record, partition, epoch, Waiting::Later))?
            .ok()
    }

    /// How many records of a partition are waited for.
    pub(crate) fn awaited_in(&self, partition: Partition) -> usize {
        let partitions = &self.state.lock().partitions;
        partitions.get(&partition).map_or(0, |it| it.awaited.len())
    }

    /// Gives up waiting for a record that was not decided.
    pub fn forget(&self, record: RecordId, partition: Partition) {
        let mut state = self.state.lock();
        if let Some(seen) = state.partitions.get_mut(&partition) {
            let undecided = |awaited: &Awaited| awaited.entry.is_none();
            if seen.awaited.get(&record).is_some_and(undecided) {
                seen.take(record);
            }
        }
    }

    /// Where a record stands that this node read back lately.
    pub fn recent(&self, record: RecordId) -> Option<Position> {
        self.state.lock().recent.get(&record).copied()
    }

    /// Step 4: appends a record, again and again until it is seen or its epoch is over.
    pub fn append(&self, entry: Entry) {
        {
            let mut state = self.state.lock();
            let Some(awaited) = state.awaited(entry.partition, entry.id) else {
                return;
            };
            awaited.entry = Some(entry.clone());
        }
        self.hand_over(entry);
    }

    fn hand_over(&self, entry: Entry) {
        if let Some(this) = self.this.upgrade() {
            let deliveries: Arc<dyn Deliveries> = this;
            self.log.append(vec![entry], &deliveries);
        }
    }

    /// Where the tail of each partition stands, as long as it saw no higher fence than `epoch`
    /// there: what settle stores for nodes that start later.
    pub fn contiguous(&self, epoch: u64) -> Vec<Position> {
        let state = self.state.lock();
        let below = |(partition, seen): (&Partition, &Seen)| {
            (seen.fence.0 <= epoch).then_some(Position {
                partition: *partition,
                offset: seen.next,
            })
        };
        state.partitions.iter().filter_map(below).collect()
    }

    /// Takes in what the tail shows.
    fn take_in(&self, batch: &event_log::Batch) -> Result<(), String> {
        let mut state = self.state.lock();
        let State {
            partitions, recent, ..
        } = &mut *state;
        let Some(seen) = partitions.get_mut(&batch.partition) else {
            return Ok(());
        };
        let before = seen.fence;
        for raw in &batch.records {
            let (envelope, _) = Envelope::decode(&raw.payload)
                .map_err(|error| format!("{}@{}: {error}", batch.partition, raw.offset))?;
            match seen.fence.judge(&envelope) {
                Standing::Fence if planted::is(FencesIgnored) => {}
                Standing::Fence => seen.resolve_void(),
                Standing::Void if planted::is(FencesIgnored) => {
                    seen.sight(envelope.id, raw.offset);
                }
                Standing::Void => {}
                Standing::Valid => seen.sight(envelope.id, raw.offset),
            }
            seen.next = raw.offset + 1;
        }
        seen.resolve_acknowledged(batch.partition, recent);
        let fence = seen.fence;
        drop(state);
        if fence != before {
            self.highest_fence.send_if_modified(|highest| {
                let higher = fence.0 > *highest;
                *highest = (*highest).max(fence.0);
                higher
            });
        }
        Ok(())
    }

    fn give_up(&self, why: &str) {
        let mut state = self.state.lock();
        state.broken = Some(why.to_owned());
        for seen in state.partitions.values_mut() {
            for (_, awaited) in seen.awaited.drain() {
                awaited.resolve(&Sighting::Unknown(why.to_owned()));
            }
            seen.unacknowledged.clear();
        }
        drop(state);
        self.health.send_replace(TailHealth::Broken(why.to_owned()));
    }
}

impl State {
    fn wait_for(
        &mut self,
        record: RecordId,
        partition: Partition,
        epoch: u64,
        waiting: Waiting,
    ) -> Result<oneshot::Receiver<Sighting>, String> {
        let (sighting, receiver) = oneshot::channel();
        if let Some(position) = self.recent.get(&record) {
            let _ = sighting.send(Sighting::Valid(*position));
            return Ok(receiver);
        }
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        let Some(seen) = self.partitions.get_mut(&partition) else {
            return Err(format!("{partition} is not read yet"));
        };
        if seen.fence.0 > epoch {
            return Err("a newer epoch has begun".to_owned());
        }
        let awaited = seen.awaited.entry(record).or_insert_with(|| Awaited {
            epoch,
            waiters: vec![],
            entry: None,
            seen: None,
            acknowledged: false,
        });
        awaited.waiters.push(Waiter { waiting, sighting });
        Ok(receiver)
    }

    fn awaited(&mut self, partition: Partition, record: RecordId) -> Option<&mut Awaited> {
        self.partitions
            .get_mut(&partition)?
            .awaited
            .get_mut(&record)
    }
}

impl Awaited {
    fn is_in_flight(&self) -> bool {
        let own = |waiter: &Waiter| waiter.waiting == Waiting::Own;
        self.entry.is_some() || self.waiters.iter().any(own)
    }

    fn resolve(self, sighting: &Sighting) {
        for waiter in self.waiters {
            let heard = match (sighting, waiter.waiting) {
                (Sighting::Void, Waiting::Later) => {
                    Sighting::Unknown("a newer epoch began before the record was seen".to_owned())
                }
                (sighting, _) => sighting.clone(),
            };
            let _ = waiter.sighting.send(heard);
        }
    }
}

impl Seen {
    /// A copy of a record stands at this offset, valid.
    fn sight(&mut self, record: RecordId, offset: u64) {
        if let Some(awaited) = self.awaited.get_mut(&record)
            && awaited.seen.is_none()
        {
            awaited.seen = Some(offset);
            self.unacknowledged.insert(offset, record);
        }
    }

    /// Takes a record off the list, with the copy that was seen of it: nobody may be told of a
    /// copy that no append of this node vouches for.
    fn take(&mut self, record: RecordId) -> Option<Awaited> {
        let awaited = self.awaited.remove(&record)?;
        if let Some(offset) = awaited.seen {
            self.unacknowledged.remove(&offset);
        }
        Some(awaited)
    }

    /// A fence was read: what is awaited of lower epochs and was not seen before it is void.
    fn resolve_void(&mut self) {
        let fence = self.fence.0;
        let void =
            |_: &RecordId, awaited: &mut Awaited| awaited.epoch < fence && awaited.seen.is_none();
        for (_, awaited) in self.awaited.extract_if(void) {
            awaited.resolve(&Sighting::Void);
        }
    }

    /// Answers the waiters of every copy that an acknowledged append of this node stands at or
    /// after.
    fn resolve_acknowledged(
        &mut self,
        partition: Partition,
        recent: &mut LruCache<RecordId, Position>,
    ) {
        let acknowledged = self.acknowledged;
        let awaited = &self.awaited;
        let done = |offset: &u64, record: &mut RecordId| {
            acknowledged.is_some_and(|acknowledged| *offset <= acknowledged)
                || awaited
                    .get(record)
                    .is_some_and(|awaited| awaited.acknowledged)
        };
        let done: Vec<_> = self.unacknowledged.extract_if(.., done).collect();
        for (offset, record) in done {
            let position = Position { partition, offset };
            recent.put(record, position);
            if let Some(awaited) = self.awaited.remove(&record) {
                awaited.resolve(&Sighting::Valid(position));
            }
        }
    }
}

impl Deliveries for ReadBack {
    fn acknowledged(&self, partition: Partition, id: RecordId, offset: Option<u64>) {
        failpoint::reached!("commit.appended");
        let mut state = self.state.lock();
        let State {
            partitions, recent, ..
        } = &mut *state;
        let Some(seen) = partitions.get_mut(&partition) else {
            return;
        };
        if planted::is(NoReadBack)
            && let Some(offset) = offset
            && let Some(awaited) = seen.awaited.remove(&id)
        {
            return awaited.resolve(&Sighting::Valid(Position { partition, offset }));
        }
        match offset {
            Some(_) => seen.acknowledged = seen.acknowledged.max(offset),
            None => {
                if let Some(awaited) = seen.awaited.get_mut(&id) {
                    awaited.acknowledged = true;
                }
            }
        }
        seen.resolve_acknowledged(partition, recent);
    }

    fn failed(&self, partition: Partition, id: RecordId, failure: AppendFailure) {
        let mut state = self.state.lock();
        let Some(seen) = state.partitions.get_mut(&partition) else {
            return;
        };
        let Some(awaited) = seen.awaited.get(&id) else {
            return;
        };
        match failure {
            AppendFailure::Unknown(_) | AppendFailure::NotStarted(_) => {
                if let Some(entry) = awaited.entry.clone() {
                    let _ = self.append_again.send(entry);
                }
            }
            AppendFailure::Refused(why) => {
                if let Some(awaited) = seen.take(id) {
                    awaited.resolve(&Sighting::Refused(why));
                }
            }
        }
    }
}
