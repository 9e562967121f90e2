//! Rebuilds the read models from nothing, beside the live ones, and swaps them.
//!
//! The live tables are written and read all the while. When the rebuilt ones have caught up with
//! them, the live ones are frozen: their checkpoints are held, so no projector anywhere can write.
//! The rebuilt ones take in the last records, so that both stand for exactly the same part of the
//! log and can be compared, and then they change places. That takes as long as every row of both is
//! read once; meanwhile the rows are read as they are, and a read that demands what was written
//! since waits, and is told to try again. A projector that was
//! writing finds another checkpoint than it left, and goes on from that one (one to which nothing
//! comes looks for it every second); so nothing has to be stopped.
//!
//! All projections are rebuilt together: those of one partition share its checkpoint.
//!
//! On MySQL the freeze ends just before the swap, because a statement that renames tables ends the
//! transaction that holds the checkpoints. What a projector of another process writes in between is
//! in the log, and is written again to the new tables; a reader may see it a moment later again.
//! Whoever reads a table for long, an audit say, is waited for, and the rebuilt ones are kept up.
//! A SQLite file is frozen in the process that writes it, so it is that process which has to
//! replay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event_log::{EventLog, Extent, LogError};
use migrations::DatabaseError;
use migrations::schema::SchemaError;
use record::Partition;
use uuid::Uuid;

use crate::digest::{Digest, digest};
use crate::projector::{Progress, Projector, ProjectorError};
use crate::source;
use crate::store::ReadModels;

mod lock;
mod tables;

use lock::Lock;

/// How many partitions are rebuilt at a time: over two connections rows are written fastest.
const TASKS: usize = 2;

/// So few records that came meanwhile are nearly none.
const CAUGHT_UP: u64 = 1_000;

/// How long whoever reads the tables may read on before the swap is tried again.
const READ_ON: Duration = Duration::from_secs(5);

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Records taken in so far.
    pub done: u64,
    /// Of so many, as far as is known yet.
    pub total: u64,
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// How many records were taken in.
    pub records: u64,
    /// The fingerprint of the tables that queries are answered from now.
    pub digest: Digest,
    /// The tables that differed before. Empty: parity. The rebuilt ones are right, for the log is
    /// the truth; a difference means that the old ones were damaged or of another fold.
    pub differences: Vec<&'static str>,
}

/// Why the read models were not rebuilt. The live ones are as they were (or, where the store stopped
/// answering while they changed places, are the rebuilt ones: both are right).
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A record could not be taken in, or the log does not answer.
    #[error(transparent)]
    Projector(#[from] ProjectorError),
    /// The tables could not be made.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The store does not answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// No server has begun the log yet.
    #[error("the log has nothing yet: start a server, or check where the log is")]
    Empty,
    /// Another replay is under way.
    #[error("another replay of these read models is under way")]
    Busy,
}

/// Rebuilds the read models and swaps them for the live ones. The tables stand afterwards where
/// they stood before; running projectors go on from there. Read models in a SQLite file have to be
/// (a clone of) those that this process's projectors write, if any do.
///
/// # Errors
/// See [`ReplayError`].
pub async fn replay(
    log: Arc<dyn EventLog>,
    live: &ReadModels,
    progress: impl Fn(ReplayProgress) + Sync,
) -> Result<Replayed, ReplayError> {
    let claims = log.extent(Partition::EPOCHS).await;
    if claims.map_err(ProjectorError::from)?.end == 0 {
        return Err(ReplayError::Empty);
    }
    migrations::schema::run(live.database()).await?;
    let log_id = source::log_id(&log).await.map_err(ProjectorError::from)?;
    let mut lock = Lock::take(live).await?.ok_or(ReplayError::Busy)?;
    if let Err(error) = tables::make(live, &mut lock).await {
        if !is_silent(&error)
            && let Err(error) = lock.release().await
        {
            tracing::warn!(%error, "a replay's connection did not close in order");
        }
        // One that stands still was given up, but its other connections still have the tables.
        return Err(if error.is_conflict() {
            ReplayError::Busy
        } else {
            error.into()
        });
    }
    let replay = Replay {
        log,
        log_id,
        live,
        rebuilt: live.beside(),
        progress,
    };
    let outcome = replay.run(&mut lock).await;
    if matches!(&outcome, Err(ReplayError::Database(error)) if is_silent(error)) {
        // Nothing more is asked of who is silent. With the connection goes the lock.
        return outcome;
    }
    // What is left behind changes nothing of the outcome, and the next replay drops it.
    if let Err(error) = tables::discard(live, &mut lock).await {
        tracing::warn!(%error, "tables of a replay are left behind");
    }
    // Also where a freeze is left behind: with the connection goes all that it held.
    if let Err(error) = lock.release().await {
        tracing::warn!(%error, "a replay's connection did not close in order");
    }
    outcome
}

/// Whether the store has gone away, so that whatever is asked of it may wait for long.
fn is_silent(error: &DatabaseError) -> bool {
    matches!(error, DatabaseError::Unavailable(sqlx::Error::Io(_)))
}

/// Drops what a replay left behind that was given up, unless another one is under way.
///
/// # Errors
/// When the store does not answer.
pub async fn clear_up(live: &ReadModels) -> Result<(), DatabaseError> {
    if let Some(mut lock) = Lock::take(live).await? {
        tables::discard(live, &mut lock).await?;
        lock.release().await?;
    }
    Ok(())
}

struct Replay<'a, P> {
    log: Arc<dyn EventLog>,
    log_id: Uuid,
    live: &'a ReadModels,
    rebuilt: ReadModels,
    progress: P,
}

impl<P: Fn(ReplayProgress) + Sync> Replay<'_, P> {
    async fn run(&self, lock: &mut Lock) -> Result<Replayed, ReplayError> {
        // 1. Up to where the live tables are, while they go on.
        lock.held_during(self.catch_up()).await?;
        lock.held_during(async { Ok(tables::make_indexes(self.live).await?) })
            .await?;
        // 2. Up to where they stand still.
        let _frozen_here = self.live.frozen.write().await;
        lock.freeze_elsewhere().await?;
        let replayed = lock.held_during(self.compare()).await?;
        // 4. They change places.
        lock.thaw_elsewhere().await?;
        while !tables::swap(self.live, lock).await? {
            tracing::info!("somebody reads the tables; they change places when that ends");
            tokio::time::sleep(READ_ON).await;
            // They must not stand where the live ones stood long ago. Under load something always
            // comes meanwhile: then nothing is gained any more.
            let mut before = u64::MAX;
            loop {
                let came = lock.held_during(self.catch_up()).await?;
                if came <= CAUGHT_UP || came >= before {
                    break;
                }
                before = came;
            }
        }
        Ok(replayed)
    }

    /// Takes in what the live tables have by now. How many records that were.
    async fn catch_up(&self) -> Result<u64, ReplayError> {
        self.rebuild_until(self.live_ends().await?).await
    }

    /// The rest of what the frozen tables have, and whether the rebuilt ones are the same.
    async fn compare(&self) -> Result<Replayed, ReplayError> {
        let ends = self.live_ends().await?;
        let records = ends.values().sum();
        self.rebuild_until(ends).await?;
        // 3. The same part of the log: the same rows.
        let digest = digest(&self.rebuilt).await?;
        let before = crate::digest::digest(self.live).await?;
        let differences = digest.differences(&before);
        if !differences.is_empty() {
            tracing::warn!(
                ?differences,
                "the rebuilt read models differ from the live ones"
            );
        }
        Ok(Replayed {
            records,
            digest,
            differences,
        })
    }

    /// Where the live tables stand. Those of another log stand nowhere in this one: then it is
    /// this one's end.
    async fn live_ends(&self) -> Result<BTreeMap<Partition, u64>, ReplayError> {
        let is_this_log = self
            .live
            .source()
            .await?
            .is_none_or(|(id, _)| id == self.log_id);
        let marks = self.live.marks().await?;
        let mut ends = BTreeMap::new();
        for partition in source::partitions(&self.log) {
            let extent = self.log.extent(partition).await;
            let extent = extent.map_err(ProjectorError::from)?;
            let wanted = match marks.get(&partition) {
                Some(mark) if is_this_log => mark.next_offset,
                _ => extent.end,
            };
            if wanted > extent.end {
                // Rebuilding from such a log would make the loss final and look like success.
                let Extent { start, end } = extent;
                return Err(ProjectorError::Log(LogError::Shortened {
                    partition,
                    wanted,
                    start,
                    end,
                })
                .into());
            }
            ends.insert(partition, wanted);
        }
        Ok(ends)
    }

    /// How many records were taken in.
    async fn rebuild_until(&self, ends: BTreeMap<Partition, u64>) -> Result<u64, ReplayError> {
        let marks = self.rebuilt.marks().await?;
        let had = |partition: &Partition| marks.get(partition).map_or(0, |mark| mark.next_offset);
        let before = ends.keys().map(had).sum();
        let done = AtomicU64::new(before);
        let total = ends.values().sum();
        let tasks = source::dealt(ends.keys().copied(), TASKS)
            .into_iter()
            .map(|partitions| {
                let (log, rebuilt) = (Arc::clone(&self.log), self.rebuilt.clone());
                Projector::new(log, rebuilt, self.log_id, partitions).until(ends.clone())
            })
            .map(async |mut projector| {
                while let Progress::Applied { records } = projector.step().await? {
                    let records = records as u64;
                    let done = done.fetch_add(records, Ordering::Relaxed) + records;
                    (self.progress)(ReplayProgress { done, total });
                }
                Ok::<(), ProjectorError>(())
            });
        futures::future::try_join_all(tasks).await?;
        Ok(done.into_inner() - before)
    }
}
