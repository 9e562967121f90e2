//! The waiting list of read-backs.
//!
//! Tasks stand for: the attempt that owns a record, a completion by this node, one by another
//! node, a newer epoch, and a log that loses records. What must hold:
//! - whoever waits is answered, also when the tail gives up;
//! - *valid* is said of a copy before any higher fence, and only after an append of this node at
//!   or after it was acknowledged;
//! - *void* is said to the record's own waiter only, and only of a record with no valid copy.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use event_log::{Entry, EventLog};
use parking_lot::Mutex;
use record::{Envelope, Partition, Position, RecordId, Topic};
use shuttle::rand::{Rng as _, thread_rng};
use uuid::Uuid;

use crate::log::Log;
use crate::read_back::{ReadBack, Sighting, Waiting};
use crate::schedules::note;

const EPOCH: u64 = 1;
const PARTITION: Partition = Partition {
    topic: Topic::Orders,
    number: 0,
};

struct World {
    log: Arc<Log>,
    read_back: Arc<ReadBack>,
    /// What the gate decided.
    pending: Mutex<BTreeSet<RecordId>>,
}

/// See the module.
pub fn run() {
    shuttle::future::block_on(async {
        let log = Log::new(thread_rng().gen_range(0..4));
        let tail: Arc<dyn EventLog> = Arc::clone(&log) as _;
        let read_back = ReadBack::new(tail, Duration::ZERO);
        read_back.start_tail(EPOCH, &[(PARTITION, 0)].into());
        let world = Arc::new(World {
            log,
            read_back,
            pending: Mutex::default(),
        });
        let mut tasks = Vec::new();
        for number in 1..=2 {
            let record = RecordId(Uuid::from_u128(number));
            tasks.push(tokio::spawn(owner(Arc::clone(&world), record)));
            tasks.push(tokio::spawn(completion(Arc::clone(&world), record)));
            if thread_rng().gen_range(0..2) == 0 {
                tasks.push(tokio::spawn(other_node(Arc::clone(&world), record)));
            }
        }
        match thread_rng().gen_range(0..6) {
            0..3 => tasks.push(tokio::spawn(newer_epoch(Arc::clone(&world)))),
            3 => tasks.push(tokio::spawn(lost_records(Arc::clone(&world)))),
            _ => {}
        }
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
}

fn entry(record: RecordId) -> Entry {
    let envelope = Envelope {
        format: record::envelope::FORMAT,
        id: record,
        epoch: EPOCH,
        aggregate_type: record::AggregateType::Orders,
        aggregate_id: record.to_string(),
        version: 1,
    };
    Entry {
        partition: PARTITION,
        key: record.to_string(),
        payload: Some(envelope.encode("{}").into()),
        id: record,
    }
}

/// The attempt that makes a record: it registers, the gate decides, it appends.
async fn owner(world: Arc<World>, record: RecordId) {
    let read_back = &world.read_back;
    let waiter = read_back.wait_for(record, PARTITION, EPOCH, Waiting::Own);
    let Ok(waiter) = waiter else {
        assert!(world.is_over(), "a waiter is turned away for no reason");
        return;
    };
    world.pending.lock().insert(record);
    note(format!("{record} is decided"));
    if thread_rng().gen_range(0..3) == 0 {
        // The gate's answer is lost, and so this attempt's outcome is unknown.
        read_back.forget(record, PARTITION);
        return note(format!("{record} is forgotten by its own attempt"));
    }
    read_back.append(entry(record));
    let sighting = waiter.await.expect("its own waiter is answered");
    world.check(record, &sighting, Waiting::Own);
}

/// As `Committer::complete`.
async fn completion(world: Arc<World>, record: RecordId) {
    for _ in 0..3 {
        tokio::task::yield_now().await;
        if !world.pending.lock().contains(&record) {
            continue;
        }
        let read_back = &world.read_back;
        if let Some(position) = read_back.recent(record) {
            note(format!("{record} was read back lately"));
            world.check(record, &Sighting::Valid(position), Waiting::Later);
            continue;
        }
        let Ok(waiter) = read_back.complete(entry(record), EPOCH) else {
            assert!(world.is_over(), "a waiter is turned away for no reason");
            return;
        };
        // An error says that its own attempt gave it up: the next scan finds it.
        if let Ok(sighting) = waiter.await {
            world.check(record, &sighting, Waiting::Later);
        }
    }
}

/// Another node completes the record.
async fn other_node(world: Arc<World>, record: RecordId) {
    for _ in 0..3 {
        tokio::task::yield_now().await;
        if world.pending.lock().contains(&record) {
            let Entry { key, payload, .. } = entry(record);
            world.log.put(PARTITION, &key, payload.unwrap_or_default());
            return;
        }
    }
}

async fn newer_epoch(world: Arc<World>) {
    world.log.put_fence(PARTITION, EPOCH + 1);
}

async fn lost_records(world: Arc<World>) {
    world.log.shorten();
}

impl World {
    /// Whether there is a reason why nobody can wait any more.
    fn is_over(&self) -> bool {
        self.log.fence(PARTITION) > EPOCH || self.log.is_shortened()
    }

    fn check(&self, record: RecordId, sighting: &Sighting, waiting: Waiting) {
        note(format!("{record}: {waiting:?} hears {sighting:?}"));
        let copies = self.log.copies(PARTITION, record);
        match sighting {
            Sighting::Valid(Position { partition, offset }) => {
                assert_eq!(*partition, PARTITION);
                // Who came later may have missed the first.
                let seen = match waiting {
                    Waiting::Own => copies.first() == Some(offset),
                    Waiting::Later => copies.contains(offset),
                };
                assert!(
                    seen,
                    "valid at {offset}, but the copies that count are {copies:?}"
                );
                let position = Position {
                    partition: PARTITION,
                    offset: *offset,
                };
                assert!(
                    self.log.is_acknowledged(position, record),
                    "valid, but no append at or after it is acknowledged"
                );
            }
            Sighting::Void => {
                assert_eq!(
                    waiting,
                    Waiting::Own,
                    "a later waiter heard that it is void"
                );
                assert!(self.log.fence(PARTITION) > EPOCH, "void without a fence");
                assert!(copies.is_empty(), "void, but copies count: {copies:?}");
            }
            Sighting::Unknown(_) => assert!(
                self.log.is_shortened()
                    || (waiting == Waiting::Later && self.log.fence(PARTITION) > EPOCH),
                "unknown for no reason"
            ),
            Sighting::Refused(_) => assert!(self.log.is_refused(record)),
        }
    }
}
