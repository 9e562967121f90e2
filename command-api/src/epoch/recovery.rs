//! One recovery: claim, fence, rebuild, publish. See "Recovery" in the protocol.
//!
//! What must stay true: nothing of a lower epoch is deleted before this epoch's fences were read
//! back; every reply of a rebuild is in before it is published; a call without an answer ends
//! this try, and another try needs a new claim.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use event_log::{AppendFailure, Entry, EventLog, LogError};
use futures::FutureExt;
use record::epochs::{EpochEntry, GATE_INTERFACE, partition_name};
use record::{Envelope, Partition, Position, RecordId};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::{Clock, Ids};
use crate::epoch::fold::{Fold, FoldError, Pieces};
use crate::epoch::history::History;
use crate::epoch::reading::{self, Goal, Reading};
use crate::epoch::{Progress, snapshot};
use crate::gate::{Current, Gate, GateError, Rebuild};
use crate::settings::Settings;

/// Pieces of the gate that are written in one call.
const PIECES_PER_CALL: usize = 2_000;

/// How long the next batch of users' keys may take.
const KEYS_READ_WITHIN: Duration = Duration::from_secs(30);

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
pub(crate) struct Recovery<'a> {
    pub(crate) gate: &'a dyn Gate,
    pub(crate) log: &'a Arc<dyn EventLog>,
    pub(crate) ids: &'a dyn Ids,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) settings: &'a Settings,
    pub(crate) node: Uuid,
    pub(crate) history: watch::Receiver<History>,
    /// The highest epoch of another node that was waited for in vain.
    pub(crate) silent: Option<u64>,
    /// What was folded before anybody had to wait for it.
    pub(crate) prepared: Option<Fold>,
    /// Hears that the gate has nothing any more of epochs up to this one.
    pub(crate) deleted: &'a (dyn Fn(u64) + Send + Sync),
}

/// Hears how far a recovery is.
pub(crate) type Tell<'a> = &'a (dyn Fn(Progress) + Send + Sync);

impl Recovery<'_> {
    /// Opens a new epoch.
    pub(crate) async fn run(mut self, tell: Tell<'_>) -> Result<Current, RecoveryError> {
        let mut watch = Stopwatch::start();
        // 1. Claim.
        let epoch = self.claim().await?;
        failpoint::reached!("recovery.claim-read-back");
        // 2. Fence every partition; the fold below reads each fence back.
        self.fence(epoch).await?;
        failpoint::reached!("recovery.fenced");
        watch.lap("fence");
        let (fold, fences, progress) = self.fold(epoch, tell, &mut watch).await?;
        let pieces = fold.pieces(self.wrapped_keys().await?)?;
        failpoint::reached!("recovery.folded");
        // 3. Delete lower epochs' data and rebuild under this epoch's prefix.
        let mut rebuild = self.gate.begin_rebuild(epoch).await?;
        if let Some(before) = epoch.checked_sub(1) {
            (self.deleted)(before);
        }
        failpoint::reached!("recovery.marked");
        watch.lap("delete");
        let written = write(rebuild.as_mut(), pieces, progress, tell).await?;
        failpoint::reached!("recovery.rebuilt");
        // 4. Load the scripts and publish.
        let current = rebuild.publish(fences.clone()).await?;
        failpoint::reached!("recovery.published");
        watch.lap("rebuild");
        let fences = fences
            .iter()
            .map(|(p, offset)| (partition_name(*p), *offset))
            .collect();
        self.append_entry(EpochEntry::Opened { epoch, fences })
            .await?;
        let (folded, stages) = (progress.folded, watch.to_string());
        tracing::info!(epoch, folded, written, stages, "the gate was rebuilt");
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
        append_until_known(&**self.log, entry).await?;
        Ok(())
    }

    async fn fence(&self, epoch: u64) -> Result<(), RecoveryError> {
        let append = |partition| {
            let id = RecordId(self.ids.next());
            let payload = Some(Envelope::fence(epoch, id).encode("null").into());
            append_until_known(
                &**self.log,
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
        &mut self,
        epoch: u64,
        tell: Tell<'_>,
        watch: &mut Stopwatch,
    ) -> Result<(Fold, BTreeMap<Partition, u64>, Progress), RecoveryError> {
        let base = self.base(epoch).await?;
        watch.lap("snapshot");
        let (layout, ends) = (self.log.layout(), reading::ends(&**self.log).await?);
        let opened = self.history.borrow().opened.clone();
        let (before, total) = (base.folded(), reading::left(&base, &ends));
        let goal = |partition| (partition, Goal::Fence(epoch));
        let reading = Reading {
            log: Arc::clone(self.log),
            goals: ends.keys().copied().map(goal).collect(),
            expected: reading::expected(opened.as_ref(), layout, &base),
            tasks: self.settings.fold_tasks,
            at_leisure: false,
        };
        let progress = |folded, pieces| Progress {
            folded,
            total,
            written: 0,
            pieces,
        };
        let has = base.pieces_estimated();
        let told = |folded, more: u64| tell(progress(folded, has.wrapping_add(more)));
        let read = reading.fold(base, &ends, &told).await?;
        watch.lap("fold");
        let folded = read.fold.folded().saturating_sub(before);
        let progress = progress(folded, read.fold.pieces_estimated());
        // What comes next may take its time: lower epochs are deleted before anything is written.
        tell(progress);
        Ok((read.fold, read.fences, progress))
    }

    /// What the fold begins with: what was prepared, a snapshot, or nothing.
    async fn base(&mut self, epoch: u64) -> Result<Fold, RecoveryError> {
        let now = self.clock.now();
        if let Some(mut prepared) = self.prepared.take() {
            prepared.is_folded_at(now);
            match snapshot::stands(&**self.log, &prepared, Some(epoch)).await? {
                Ok(()) => return Ok(prepared),
                Err(why) => tracing::warn!(%why, "what was prepared is not used"),
            }
        }
        let log_id = self.history.borrow().log_id();
        snapshot::newest(self.log, self.settings, now, log_id, Some(epoch)).await
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

/// Writes the gate's data, bounded pieces at a time. Says how many there were.
async fn write(
    rebuild: &mut dyn Rebuild,
    mut pieces: Pieces,
    mut progress: Progress,
    tell: Tell<'_>,
) -> Result<u64, RecoveryError> {
    loop {
        tell(progress);
        let some: Vec<_> = pieces.by_ref().take(PIECES_PER_CALL).collect();
        if some.is_empty() {
            return Ok(progress.written);
        }
        progress.written += some.len() as u64;
        rebuild.write(some).await?;
        failpoint::reached!("recovery.piece-written");
    }
}

/// How long each stage took.
struct Stopwatch {
    last: Instant,
    laps: Vec<(&'static str, Duration)>,
}

impl Stopwatch {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            laps: vec![],
        }
    }

    /// A stage is over.
    fn lap(&mut self, stage: &'static str) {
        let took = self.last.elapsed();
        self.last = Instant::now();
        self.laps.push((stage, took));
        metrics::histogram!(crate::metrics::RECOVERY_SECONDS, "stage" => stage).record(took);
    }
}

impl fmt::Display for Stopwatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (stage, took) in &self.laps {
            write!(f, "{stage} {} ms, ", took.as_millis())?;
        }
        Ok(())
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
