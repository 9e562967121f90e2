//! The parts alone, each with nothing else running: what bounds the whole.

mod decide;
mod disk;
mod http;
mod log;
mod projection;
mod select;

use std::sync::Arc;

use anyhow::Result;
use command_api::gate::ENTRIES_PER_GENERATION;
use command_api::gate::memory::MemoryGate;
use event_log::sqlite::{SqliteLog, SqliteSettings};

use super::figures::Figure;
use super::phases::Phases;
use super::stage::Stage;
use crate::load::tally::Placed;

/// Measures every part, and gives the rate of bare point selects beside.
///
/// # Errors
/// When a part cannot be measured.
pub(super) async fn alone(
    stage: &mut Stage,
    phases: &Phases,
    placed: &[Placed],
) -> Result<(Vec<Figure>, u64)> {
    let mut figures = vec![http::alone(stage, phases).await?];
    // From here on the servers' own work would only be in the way.
    stage.end_servers().await?;
    let selects = select::alone(stage, phases.duration / 2, placed).await?;
    let selects_per_second = selects.per_second;
    figures.extend(written(stage).await?);
    figures.extend(projection::alone(stage).await?);
    figures.push(selects);
    figures.push(disk::alone(stage.throwaway.path())?);
    Ok((figures, selects_per_second))
}

/// The gate and the log: those of this place, and always the embedded ones.
async fn written(stage: &Stage) -> Result<Vec<Figure>> {
    let mut figures = vec![];
    if let Some(scratch) = &stage.scratch {
        let gate = scratch.gate_beside().await?;
        figures.push(decide::alone("decide script (Redis)", gate, &stage.watched).await?);
        let log = scratch.log_beside().await?;
        figures.push(log::alone("produce and read back (Kafka)", log, &stage.watched).await?);
    }
    let gate = Arc::new(MemoryGate::new(ENTRIES_PER_GENERATION));
    figures.push(decide::alone("decide (memory)", gate, &stage.watched).await?);
    let directory = tempfile::tempdir_in(stage.throwaway.path())?;
    let log = Arc::new(SqliteLog::open(
        directory.path(),
        SqliteSettings::default(),
    )?);
    figures.push(log::alone("append and read back (SQLite)", log, &stage.watched).await?);
    Ok(figures)
}
