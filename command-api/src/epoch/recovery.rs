//! One recovery: claim, fence, rebuild, publish. See "Recovery" in the protocol.
//!
//! What must stay true: nothing of a lower epoch is deleted before this epoch's fences were read
//! back; every reply of a rebuild is in before it is published; a call without an answer ends
//! this try, and another try needs a new claim.

use std::collections::{BTreeMap, HashMap};

use event_log::{AppendFailure, Entry, EventLog, LogError};
use futures::FutureExt;
use record::epochs::{EpochEntry, GATE_INTERFACE, partition_name};
use record::{Envelope, Partition, Position, RecordId};
use tokio::sync::watch;
use uuid::Uuid;

use crate::clock::Ids;
use crate::epoch::fold::{Fold, FoldError};
use crate::epoch::history::History;
use crate::gate::{Current, Gate, GateError};
use crate::settings::Settings;

/// Pieces of the gate that are written in one call.
const PIECES_PER_CALL: usize = 2_000;

/// How long the next batch of users' keys may take.
const KEYS_READ_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Why a try to recover ended.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The gate failed.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be folded.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// Another node claimed first; it is waited for.
    #[error("another node has just claimed epoch {0}")]
    Overtaken(u64),
    /// This program may not recover this log; one sentence.
    #[error("{0}")]
    Unfit(String),
}

/// What a recovery needs.
#[derive(Debug)]
pub(crate) struct Recovery<'a> {
    pub(crate) gate: &'a dyn Gate,
    pub(crate) log: &'a dyn EventLog,
    pub(crate) ids: &'a dyn Ids,
    pub(crate) settings: &'a Settings,
    pub(crate) node: Uuid,
    pub(crate) history: watch::Receiver<History>,
    /// The highest epoch of another node that was waited for in vain.
    pub(crate) silent: Option<u64>,
}

impl Recovery<'_> {
    /// Opens a new epoch. `progress` hears (records folded, records to fold).
    pub(crate) async fn run(
        mut self,
        progress: &(dyn Fn(u64, u64, u64) + Send + Sync),
    ) -> Result<Current, RecoveryError> {
        // 1. Claim.
        let epoch = self.claim().await?;
        failpoint::reached!("recovery.claim-read-back");
        // 2. Fence every partition; the fold below reads each fence back.
        self.fence(epoch).await?;
        failpoint::reached!("recovery.fenced");
        let (pieces, fences) = self.fold(epoch, progress).await?;
        failpoint::reached!("recovery.folded");
        // 3. Delete lower epochs' data and rebuild under this epoch's prefix.
        let mut rebuild = self.gate.begin_rebuild(epoch).await?;
        failpoint::reached!("recovery.marked");
        let mut pieces = pieces.into_iter().peekable();
        while pieces.peek().is_some() {
            rebuild
                .write(pieces.by_ref().take(PIECES_PER_CALL).collect())
                .await?;
            failpoint::reached!("recovery.piece-written");
        }
        failpoint::reached!("recovery.rebuilt");
        // 4. Load the scripts and publish.
        let current = rebuild.publish(fences.clone()).await?;
        failpoint::reached!("recovery.published");
        let fences = fences
            .iter()
            .map(|(p, offset)| (partition_name(*p), *offset))
            .collect();
        self.append_entry(EpochEntry::Opened { epoch, fences })
            .await?;
        Ok(current)
    }

    /// Looks at all earlier claims, claims, and looks again when the claim is read back.
    async fn claim(&mut self) -> Result<u64, RecoveryError> {
        // Never on a replica, nor on a server that could not be the gate.
        self.gate.probe().await?;
        let layout = self.log.layout();
        let end = self.log.extent(Partition::EPOCHS).await?.end;
        let known = self
            .wait_for_history(move |history| history.next >= end)
            .await?;
        known
            .check(layout, &self.settings.shop())
            .map_err(RecoveryError::Unfit)?;
        let id = self.ids.next();
        let base = known.claims.first().map_or(0, |claim| claim.base);
        let (interface, shop, node) = (GATE_INTERFACE, self.settings.shop(), self.node);
        self.append_entry(EpochEntry::Claim {
            id,
            interface,
            layout,
            shop,
            base,
            node,
        })
        .await?;
        failpoint::reached!("recovery.claimed");
        let known = self
            .wait_for_history(move |history| history.epoch_of(id).is_some())
            .await?;
        known
            .check(layout, &self.settings.shop())
            .map_err(RecoveryError::Unfit)?;
        // Of claims made at once the first goes on; the others give up before any fence.
        let own = known.claims.iter().find(|claim| claim.id == id);
        let before = own.map_or(u64::MAX, |claim| claim.offset);
        if let Some(rival) = known.rival(self.node, before, self.silent) {
            return Err(RecoveryError::Overtaken(rival));
        }
        let epoch = known.epoch_of(id).expect("waited for above");
        Ok(epoch)
    }

    async fn wait_for_history(
        &mut self,
        until: impl Fn(&History) -> bool,
    ) -> Result<History, RecoveryError> {
        match self.history.wait_for(until).await {
            Ok(history) => Ok(history.clone()),
            Err(_) => Err(LogError::Unavailable("the node is stopping".to_owned()).into()),
        }
    }

    async fn append_entry(&self, entry: EpochEntry) -> Result<(), RecoveryError> {
        let entry = Entry {
            partition: Partition::EPOCHS,
            key: "epochs".to_owned(),
            payload: Some(entry.encode().into()),
            id: RecordId(self.ids.next()),
        };
        append_until_known(self.log, entry).await?;
        Ok(())
    }

    async fn fence(&self, epoch: u64) -> Result<(), RecoveryError> {
        let append = |partition| {
            let id = RecordId(self.ids.next());
            let payload = Some(Envelope::fence(epoch, id).encode("null").into());
            append_until_known(
                self.log,
                Entry {
                    partition,
                    key: String::new(),
                    payload,
                    id,
                },
            )
            .inspect(|_| {
                failpoint::reached!("recovery.one-fence");
            })
        };
        let partitions = self.log.layout().partitions_of_record();
        futures::future::try_join_all(partitions.into_iter().map(append)).await?;
        Ok(())
    }

    /// Folds the valid log up to the fences of this epoch, the first copy of each.
    async fn fold(
        &self,
        epoch: u64,
        progress: &(dyn Fn(u64, u64, u64) + Send + Sync),
    ) -> Result<(Vec<crate::gate::Rebuilt>, BTreeMap<Partition, u64>), RecoveryError> {
        let layout = self.log.layout();
        let mut fold = Fold::new(epoch, &layout);
        if let Some((opened, fences)) = &self.history.borrow().opened {
            fold.expect_fences(*opened, fences, &layout);
        }
        let partitions = layout.partitions_of_record();
        let mut total = 0;
        for partition in &partitions {
            let extent = self.log.extent(*partition).await?;
            if extent.start > 0 {
                let (start, end, partition) = (extent.start, extent.end, *partition);
                return Err(LogError::Shortened {
                    partition,
                    wanted: 0,
                    start,
                    end,
                }
                .into());
            }
            total += extent.end;
        }
        let from = partitions.into_iter().map(|partition| Position {
            partition,
            offset: 0,
        });
        let mut tail = self.log.tail(from.collect()).await?;
        while !fold.is_complete() {
            let batch = tail.next().await?;
            for raw in &batch.records {
                let position = Position {
                    partition: batch.partition,
                    offset: raw.offset,
                };
                fold.take_in(position, &raw.payload)?;
            }
            progress(epoch, fold.folded(), total);
        }
        drop(tail);
        let wrapped_keys = self.wrapped_keys().await?;
        Ok(fold.finish(&wrapped_keys, self.settings.key_retention)?)
    }

    /// The users' personal keys: the newest entry of each id; a tombstone erases one.
    async fn wrapped_keys(&self) -> Result<HashMap<Uuid, String>, RecoveryError> {
        let partition = Partition::USER_KEYS;
        let extent = self.log.extent(partition).await?;
        let mut keys = HashMap::new();
        if extent.start == extent.end {
            return Ok(keys);
        }
        let mut tail = self
            .log
            .tail(vec![Position {
                partition,
                offset: extent.start,
            }])
            .await?;
        let mut next = extent.start;
        while next < extent.end {
            // Compaction never removes the newest entry of a partition, so the end is reached.
            let batch = tokio::time::timeout(KEYS_READ_WITHIN, tail.next())
                .await
                .map_err(|_| {
                    LogError::Unavailable("the users' keys cannot be read to their end".to_owned())
                })??;
            for raw in batch.records {
                next = raw.offset + 1;
                let id = std::str::from_utf8(&raw.key)
                    .ok()
                    .and_then(|id| Uuid::parse_str(id).ok());
                let wrapped = String::from_utf8(raw.payload.to_vec()).ok();
                match (id, wrapped) {
                    (Some(id), Some(wrapped)) if !wrapped.is_empty() => keys.insert(id, wrapped),
                    (Some(id), _) => keys.remove(&id),
                    (None, _) => None,
                };
            }
        }
        Ok(keys)
    }
}

/// Appends until the outcome is known: the same entry again after an unknown one, for a while.
pub(crate) async fn append_until_known(
    log: &dyn EventLog,
    entry: Entry,
) -> Result<Option<u64>, LogError> {
    const TRIES: u32 = 5;
    let mut tried = 0;
    loop {
        tried += 1;
        match log.append_one(entry.clone()).await {
            Err(LogError::Append(AppendFailure::Unknown(_) | AppendFailure::NotStarted(_)))
                if tried < TRIES => {}
            result => return result,
        }
    }
}
