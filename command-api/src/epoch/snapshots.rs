//! Makes snapshots of the fold while the node serves, out of the last one and the log's tail.
//!
//! The whole fold is held in memory while one is made, as in a recovery, and let go afterwards.
//! It is made at leisure: it works a quarter of the time on one core, and reads the log as any
//! reader does. Whether it is made in time decides nothing but how long the next recovery takes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Weak;

use record::Partition;

use super::EpochState;
use super::fold::Fold;
use super::keeper::Keeper;
use super::reading::{self, Goal, Reading};
use super::recovery::RecoveryError;
use super::snapshot::{self, Fitting, Making, Stored};

/// Looks after snapshots for as long as the keeper lives.
pub(crate) async fn keep(keeper: Weak<Keeper>, directory: PathBuf, making: Making) {
    loop {
        let look_every = failpoint::snapshots_every().unwrap_or(making.look_every);
        tokio::time::sleep(look_every).await;
        let Some(keeper) = keeper.upgrade() else {
            return;
        };
        // A recovery has better use for the cores.
        if !matches!(&*keeper.state().borrow(), EpochState::Open(_)) {
            continue;
        }
        match due(&keeper, &directory, making.every_records).await {
            Ok(false) => {}
            Ok(true) => {
                if let Err(error) = make(&keeper, &directory, true).await {
                    tracing::warn!(%error, "a snapshot could not be made");
                }
            }
            Err(error) => tracing::debug!(%error, "it is not known whether a snapshot is due"),
        }
    }
}

/// Whether enough came since the last one that this program can use, of this process or of another
/// one. One that covers more than the log has is of what it was before it was restored.
async fn due(keeper: &Keeper, directory: &Path, every_records: u64) -> Result<bool, RecoveryError> {
    let Some(fitting) = fitting(keeper) else {
        return Ok(false);
    };
    let covered = snapshot::covered(directory, fitting);
    let ends = reading::ends(&**keeper.log()).await?;
    let end: u64 = ends.values().sum();
    let newest = covered.into_iter().find(|until| *until <= end);
    Ok(end >= newest.unwrap_or(0) + every_records)
}

/// What a snapshot of this log has to be like; `None` before its first claim.
fn fitting(keeper: &Keeper) -> Option<Fitting> {
    Some(Fitting {
        log: keeper.history().borrow().log_id()?,
        layout: keeper.log().layout(),
        retention: keeper.settings().key_retention,
    })
}

/// Makes one now.
pub(crate) async fn make(
    keeper: &Keeper,
    directory: &Path,
    at_leisure: bool,
) -> Result<Stored, RecoveryError> {
    let began = tokio::time::Instant::now();
    let Some(fitting) = fitting(keeper) else {
        let why = "the log has no claim yet".to_owned();
        return Err(event_log::LogError::Unavailable(why).into());
    };
    let mut fold = fold_to_the_end(keeper, None, at_leisure).await?;
    let until: u64 = fold.places().values().map(|place| place.next).sum();
    let folded = fold.folded();
    let directory = directory.to_owned();
    let saved = keeper.settings().work.run(move || {
        fold.sweep();
        snapshot::save(&directory, fitting, &fold)
    });
    let failed = |why: String| RecoveryError::from(event_log::LogError::Unavailable(why));
    let stored = saved
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(format!("a snapshot cannot be written: {error}")))?;
    let (bytes, took) = (stored.bytes, began.elapsed());
    metrics::gauge!(crate::metrics::SNAPSHOT_BYTES).set(bytes as f64);
    metrics::gauge!(crate::metrics::SNAPSHOT_RECORDS).set(until as f64);
    let made = stored
        .made
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    metrics::gauge!(crate::metrics::SNAPSHOT_MADE_SECONDS).set(made.as_secs() as f64);
    tracing::info!(
        folded,
        until,
        bytes,
        duration_ms = took.as_millis() as u64,
        "a snapshot was made"
    );
    Ok(stored)
}

/// A fold of the valid log up to about its present end, out of `base` or a snapshot.
pub(crate) async fn fold_to_the_end(
    keeper: &Keeper,
    base: Option<Fold>,
    at_leisure: bool,
) -> Result<Fold, RecoveryError> {
    let log_id = keeper.history().borrow().log_id();
    let base = match base {
        Some(base) => base,
        None => {
            let (log, settings) = (keeper.log(), keeper.settings());
            snapshot::newest(log, settings, keeper.now(), log_id, None).await?
        }
    };
    let ends: BTreeMap<Partition, u64> = reading::ends(&**keeper.log()).await?;
    let goal = |(partition, end): (&Partition, &u64)| (*partition, Goal::Offset(*end));
    let opened = keeper.history().borrow().opened.clone();
    let reading = Reading {
        log: keeper.log().clone(),
        goals: ends.iter().map(goal).collect(),
        expected: reading::expected(opened.as_ref(), keeper.log().layout(), &base),
        tasks: if at_leisure {
            1
        } else {
            keeper.settings().fold_tasks
        },
        at_leisure,
    };
    Ok(reading.fold(base, &ends, &|_, _| ()).await?.fold)
}
