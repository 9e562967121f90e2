//! What a dead node left pending, over a log with topics that take nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use command_api::clock::SystemClock;
use command_api::commit::CommitError;
use command_api::gate::Gate;
use command_api::gate::memory::MemoryGate;
use domain::inventory::MovementReason;
use domain::quantity::SignedQuantity;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use event_log::{Deliveries, Entry, EventLog, Extent, LogError, RawRecord, Tail};
use personal_data::Secrets;
use record::{Layout, Partition, Position, Topic};
use tokio::task::JoinHandle;

use crate::commit::{Node, PATIENCE, request, sku};

/// A log of which some topics have no leader: what is appended there waits for ever.
#[derive(Debug)]
struct Leaderless {
    log: Arc<SqliteLog>,
    topics: Vec<Topic>,
}

#[async_trait]
impl EventLog for Leaderless {
    fn layout(&self) -> Layout {
        self.log.layout()
    }

    fn payload_bytes_max(&self) -> usize {
        self.log.payload_bytes_max()
    }

    fn append(&self, mut entries: Vec<Entry>, deliveries: &Arc<dyn Deliveries>) {
        entries.retain(|entry| !self.topics.contains(&entry.partition.topic));
        self.log.append(entries, deliveries);
    }

    async fn append_one(&self, entry: Entry) -> Result<Option<u64>, LogError> {
        self.log.append_one(entry).await
    }

    async fn tail(&self, from: Vec<Position>) -> Result<Tail, LogError> {
        self.log.tail(from).await
    }

    async fn read_at(&self, position: Position) -> Result<RawRecord, LogError> {
        self.log.read_at(position).await
    }

    async fn extent(&self, partition: Partition) -> Result<Extent, LogError> {
        self.log.extent(partition).await
    }

    async fn probe(&self) -> Result<(), LogError> {
        self.log.probe().await
    }

    async fn flush(&self, at_most: Duration) {
        self.log.flush(at_most).await;
    }
}

/// The topics of the records that are pending.
async fn pending(gate: &MemoryGate) -> Vec<Topic> {
    let current = gate.current().await.unwrap().unwrap();
    let pending = gate.pending(&current, None).await.unwrap();
    pending.iter().map(|it| it.partition.topic).collect()
}

async fn wait_until(gate: &MemoryGate, holds: impl Fn(&[Topic]) -> bool) {
    let waits = async {
        while !holds(&pending(gate).await) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waits).await;
    waited.expect("what is pending becomes what it has to be");
}

async fn supply(node: &Node) -> Result<(), CommitError> {
    let (units, reason) = (SignedQuantity::new(5).unwrap(), MovementReason::Received);
    let commands = &node.commands;
    let supplied = commands.move_stock(request(None), sku("A"), units, reason, None);
    supplied.await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_keeps_no_other_waiting() {
    all_but_one_are_completed(Topic::Orders).await;
    all_but_one_are_completed(Topic::Inventory).await;
}

async fn all_but_one_are_completed(leaderless: Topic) {
    let directory = tempfile::tempdir().unwrap();
    let log = Arc::new(SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap());
    let (gate, secrets) = (
        Arc::new(MemoryGate::new(1000)),
        Arc::new(Secrets::generate()),
    );
    let node = |topics: &[Topic]| {
        let log = Leaderless {
            log: Arc::clone(&log),
            topics: topics.to_vec(),
        };
        let clock = Arc::new(SystemClock);
        let node = Node::tuned(gate.clone(), Arc::new(log), &secrets, clock, |settings| {
            settings.completion_interval = Duration::from_millis(1);
        });
        Arc::new(node)
    };
    node(&[]).stock("A", 10).await;
    let dies = node(&[Topic::Orders, Topic::Inventory]);
    let mut hang = vec![];
    // Those that can be completed stand behind the others.
    let others = [Topic::Orders, Topic::Inventory];
    let others = others.iter().filter(|topic| **topic != leaderless);
    for topic in std::iter::once(&leaderless).chain(others) {
        let dies = Arc::clone(&dies);
        hang.push(match topic {
            Topic::Orders => tokio::spawn(async move { drop(dies.order(None, &[("A", 1)]).await) }),
            _ => tokio::spawn(async move { drop(supply(&dies).await) }),
        });
        wait_until(&gate, |pending| pending.len() == hang.len()).await;
    }
    hang.iter().for_each(JoinHandle::abort);
    drop(dies);
    let lives = node(&[leaderless]);
    command_api::completion::start(lives.commands.committer());
    wait_until(&gate, |pending| pending == [leaderless]).await;
}
