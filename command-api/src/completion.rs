//! Completion: a pending record that stands in two scans is taken through steps 3–6 by any node.
//!
//! Its own node may be dead or only paused; nothing is released because of a time-out. The same
//! way goes for a predecessor (step 3) and for a record that a retry's key leads to.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Weak};

use event_log::Entry;
use record::{Partition, Position, Record, RecordId};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::commit::{CommitError, Committed, Committer, Settling};
use crate::epoch::{EpochState, OpenEpoch};
use crate::gate::Pending;
use crate::planted::{self, Planted::ReleasedOnTimeOut};
use crate::read_back::Sighting;

/// Scans for as long as the committer lives. What it completes is under way beside the scans, each
/// partition's in a task of its own: one that has no leader keeps none of the others waiting.
pub fn start(committer: &Arc<Committer>) {
    let interval = committer.settings.completion_interval;
    let committer = Arc::downgrade(committer);
    tokio::spawn(async move {
        let mut seen = HashSet::new();
        let mut epoch = None;
        let mut under_way: BTreeMap<Partition, JoinHandle<()>> = BTreeMap::new();
        loop {
            tokio::time::sleep(interval).await;
            let Some(open) = open_epoch(&committer) else {
                if committer.strong_count() == 0 {
                    return;
                }
                continue;
            };
            if epoch.replace(open.number()) != Some(open.number()) {
                seen.clear();
            }
            let Some(committer) = committer.upgrade() else {
                return;
            };
            let (stand, old) = scan(&committer, &open, &seen).await;
            seen = stand;
            under_way.retain(|_, completing| !completing.is_finished());
            for (partition, records) in old {
                under_way.entry(partition).or_insert_with(|| {
                    let (committer, open) = (Arc::clone(&committer), Arc::clone(&open));
                    tokio::spawn(complete_all(committer, open, records))
                });
            }
        }
    });
}

fn open_epoch(committer: &Weak<Committer>) -> Option<Arc<OpenEpoch>> {
    let state = committer.upgrade()?.keeper.state();
    match &*state.borrow() {
        EpochState::Open(open) => Some(Arc::clone(open)),
        _ => None,
    }
}

/// What stands in this scan; and of that what stood in the scan before, too.
async fn scan(
    committer: &Committer,
    epoch: &Arc<OpenEpoch>,
    before: &HashSet<RecordId>,
) -> (HashSet<RecordId>, BTreeMap<Partition, Vec<RecordId>>) {
    let mut old: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let pending = committer.gate.pending(epoch, None).await;
    let pending = pending.unwrap_or_default();
    for pending in pending.iter().filter(|it| before.contains(&it.record)) {
        if planted::is(ReleasedOnTimeOut) {
            release(committer, epoch, pending);
            continue;
        }
        let of_partition = old.entry(pending.partition).or_default();
        of_partition.push(pending.record);
    }
    (pending.iter().map(|it| it.record).collect(), old)
}

async fn complete_all(committer: Arc<Committer>, epoch: Arc<OpenEpoch>, records: Vec<RecordId>) {
    for record in records {
        let completed = committer.complete(&epoch, record, Settling::Awaited).await;
        match completed {
            Ok(_) => metrics::counter!(crate::metrics::COMPLETIONS).increment(1),
            Err(error) => {
                tracing::warn!(record.id = %record, %error, "a record is not completed yet");
            }
        }
    }
}

/// The planted bug of that name: what an order took is given back, and it is pending no more.
fn release(committer: &Committer, epoch: &Arc<OpenEpoch>, pending: &Pending) {
    let Ok(record) = Record::decode(&pending.payload) else {
        return;
    };
    let taken = record.body.events.movements().into_iter();
    let gives = taken
        .filter(|movement| movement.quantity < 0)
        .map(|movement| (movement.sku, -movement.quantity))
        .collect();
    planted::settle_unseen(committer, epoch, &record, gives);
}

impl Committer {
    /// Takes a pending record, and before it its pending predecessors, through steps 3–6: each is
    /// awaited where this node has it in hand, and appended again otherwise. Whatever follows here
    /// is settled behind it. `None` where it was settled meanwhile, and not read back here lately:
    /// then it stands in the log.
    pub(crate) async fn complete(
        &self,
        epoch: &Arc<OpenEpoch>,
        record: RecordId,
        settling: Settling,
    ) -> Result<Option<Position>, CommitError> {
        let mut chain = Vec::new();
        let mut next = Some(record);
        let mut position = None;
        while let Some(id) = next {
            let pending = self.gate.pending(epoch, Some(&[id])).await;
            let mut pending =
                pending.map_err(|error| CommitError::OutcomeUnknown(error.to_string()))?;
            let Some(pending) = pending.pop() else { break };
            // Who has it in hand here sees to its predecessors, or has.
            let number = epoch.number();
            if let Some(waiter) = self.read_back.join(id, pending.partition, number) {
                let record = self.read(epoch, &pending)?;
                position = Some(
                    self.read_back_and_settled(epoch, &record, waiter, settling)
                        .await?,
                );
                break;
            }
            next = pending.predecessor;
            chain.push(pending);
        }
        for pending in chain.into_iter().rev() {
            position = Some(self.complete_one(epoch, pending, settling).await?);
        }
        Ok(position.or_else(|| self.read_back.recent(record)))
    }

    /// The answer to an earlier attempt of the same key; `None` where it was settled a moment ago, so
    /// that its place is not known here.
    pub(crate) async fn replay(
        &self,
        epoch: &Arc<OpenEpoch>,
        record: RecordId,
        position: Option<Position>,
    ) -> Result<Option<Committed>, CommitError> {
        let position = match position {
            Some(position) => Some(position),
            None => self.complete(epoch, record, Settling::Queued).await?,
        };
        let Some(position) = position else {
            return Ok(None);
        };
        let unknown = |why: String| CommitError::OutcomeUnknown(why);
        let raw = self.log.read_at(position).await;
        let raw = raw.map_err(|error| unknown(error.to_string()))?;
        let record = Record::decode(&raw.payload).map_err(|error| unknown(error.to_string()))?;
        Ok(Some(Committed {
            record,
            position,
            replayed: true,
            snapshot: None,
        }))
    }

    /// Whether these are the bytes of a record that the gate has decided and nobody has settled.
    pub(crate) async fn is_decided_as(
        &self,
        epoch: &Arc<OpenEpoch>,
        record: RecordId,
        payload: &[u8],
    ) -> bool {
        let pending = self.gate.pending(epoch, Some(&[record])).await;
        pending.is_ok_and(|pending| pending.iter().any(|it| it.payload == payload))
    }

    async fn complete_one(
        &self,
        epoch: &Arc<OpenEpoch>,
        pending: Pending,
        settling: Settling,
    ) -> Result<Position, CommitError> {
        let record = self.read(epoch, &pending)?;
        let entry = Entry {
            partition: pending.partition,
            key: record.envelope.aggregate_id.clone(),
            payload: Some(pending.payload),
            id: pending.record,
        };
        let waiter = self.read_back.complete(entry, epoch.number());
        let waiter = waiter.map_err(CommitError::OutcomeUnknown)?;
        self.read_back_and_settled(epoch, &record, waiter, settling)
            .await
    }

    fn read(&self, epoch: &Arc<OpenEpoch>, pending: &Pending) -> Result<Record, CommitError> {
        Record::decode(&pending.payload).map_err(|error| {
            let why = format!("a pending record cannot be read: {error}");
            self.keeper.report_damaged(epoch.number(), &why);
            CommitError::OutcomeUnknown(why)
        })
    }

    async fn read_back_and_settled(
        &self,
        epoch: &Arc<OpenEpoch>,
        record: &Record,
        waiter: oneshot::Receiver<Sighting>,
        settling: Settling,
    ) -> Result<Position, CommitError> {
        let position = match waiter.await {
            Ok(Sighting::Valid(position)) => position,
            Ok(sighting) => return Err(self.not_seen(epoch, sighting)),
            Err(_) => return Err(CommitError::OutcomeUnknown("its task ended".to_owned())),
        };
        self.settle(epoch, record, position, settling).await;
        Ok(position)
    }
}
