//! The partitions and what landed in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use event_log::{Entry, Extent, RawRecord};
use parking_lot::Mutex;
use record::{AggregateType, Envelope, Layout, Partition, Position};
use tokio::sync::watch;

use crate::world::{World, short};

/// The log behind every connection.
#[derive(Debug)]
pub struct Broker {
    /// The world around it.
    pub world: Arc<World>,
    /// How many partitions each topic has.
    pub layout: Layout,
    state: Mutex<State>,
    /// Counts what landed, and everything else that a tail waits for.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<Partition, Kept>,
    /// Whether its disks are full: it shows what it has.
    full: bool,
    /// Everything, in the order in which it landed.
    landed: Vec<(Duration, Position)>,
}

#[derive(Debug, Default)]
struct Kept {
    records: Vec<RawRecord>,
    leaderless: bool,
}

impl Broker {
    /// An empty log.
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        let layout = Layout::uniform(world.plan.partitions);
        let mut partitions: BTreeMap<_, _> = layout
            .partitions_of_record()
            .into_iter()
            .map(|partition| (partition, Kept::default()))
            .collect();
        partitions.insert(Partition::EPOCHS, Kept::default());
        partitions.insert(Partition::USER_KEYS, Kept::default());
        let state = State {
            partitions,
            full: false,
            landed: vec![],
        };
        Arc::new(Self {
            world: Arc::clone(world),
            layout,
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
        })
    }

    /// Whether a partition has a leader now, and exists.
    pub fn has_leader(&self, partition: Partition) -> bool {
        let state = self.state.lock();
        state
            .partitions
            .get(&partition)
            .is_some_and(|kept| !kept.leaderless)
    }

    /// Takes a partition's leader away, or gives it one.
    pub fn set_leaderless(&self, partition: Partition, leaderless: bool) {
        if let Some(kept) = self.state.lock().partitions.get_mut(&partition) {
            kept.leaderless = leaderless;
        }
        self.changed.send_modify(|count| *count += 1);
    }

    /// Whether it takes something into a partition now.
    pub fn takes(&self, partition: Partition) -> bool {
        !self.state.lock().full && self.has_leader(partition)
    }

    /// Fills its disks, or makes room.
    pub fn set_full(&self, full: bool) {
        self.state.lock().full = full;
    }

    /// Every partition.
    pub fn partitions(&self) -> Vec<Partition> {
        self.state.lock().partitions.keys().copied().collect()
    }

    /// Puts an entry at the end of its partition.
    pub(super) fn land(&self, from: &str, entry: &Entry) -> Option<u64> {
        let mut state = self.state.lock();
        let State {
            partitions, landed, ..
        } = &mut *state;
        let kept = partitions.get_mut(&entry.partition)?;
        let offset = kept.records.len() as u64;
        let payload = entry.payload.clone().unwrap_or_default();
        let told = told(entry.partition, &payload);
        kept.records.push(RawRecord {
            offset,
            key: Bytes::copy_from_slice(entry.key.as_bytes()),
            payload,
        });
        let position = Position {
            partition: entry.partition,
            offset,
        };
        landed.push((self.world.elapsed(), position));
        drop(state);
        let partition = entry.partition;
        self.world
            .say("log", format!("{partition}@{offset}: {told} from {from}"));
        self.changed.send_modify(|count| *count += 1);
        Some(offset)
    }

    /// What exists of a partition.
    pub fn extent(&self, partition: Partition) -> Extent {
        let state = self.state.lock();
        let kept = state.partitions.get(&partition);
        let end = kept.map_or(0, |kept| kept.records.len() as u64);
        Extent { start: 0, end }
    }

    /// At most `count` records from an offset on; none while the partition has no leader.
    pub(super) fn read(&self, partition: Partition, offset: u64, count: usize) -> Vec<RawRecord> {
        let state = self.state.lock();
        let Some(kept) = state.partitions.get(&partition) else {
            return vec![];
        };
        if kept.leaderless {
            return vec![];
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = kept.records.get(from..).unwrap_or_default();
        found.iter().take(count).cloned().collect()
    }

    /// Hears of everything that a tail waits for.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Everything in the order in which it landed.
    pub fn landed(&self) -> Vec<(Duration, Position, RawRecord)> {
        let state = self.state.lock();
        let found = |(at, position): &(Duration, Position)| {
            let kept = state.partitions.get(&position.partition)?;
            let index = usize::try_from(position.offset).ok()?;
            Some((*at, *position, kept.records.get(index)?.clone()))
        };
        state.landed.iter().filter_map(found).collect()
    }
}

/// What an entry is, in a few words.
fn told(partition: Partition, payload: &[u8]) -> String {
    if partition == Partition::EPOCHS {
        let text = String::from_utf8_lossy(payload);
        return text.chars().take(60).collect();
    }
    match Envelope::decode(payload) {
        Ok((envelope, _)) if envelope.aggregate_type == AggregateType::Fence => {
            format!("fence of epoch {}", envelope.epoch)
        }
        Ok((envelope, _)) => {
            let id = &envelope.aggregate_id;
            format!(
                "{} of epoch {}, {} version {}",
                short(envelope.id.0),
                envelope.epoch,
                id.get(24..).unwrap_or(id),
                envelope.version
            )
        }
        Err(_) => format!("{} bytes", payload.len()),
    }
}
