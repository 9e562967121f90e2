//! The projectors alone: this run's own log, read, folded and upserted into empty tables.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use event_log::EventLog;
use migrations::Database;
use projectors::{Projectors, ReadModels};
use tokio_util::sync::CancellationToken;

use crate::bench::figures::Figure;
use crate::bench::stage::Stage;
use crate::load::process::Meter;

/// Projects everything that the servers have written.
///
/// # Errors
/// When a projector stops.
pub(super) async fn alone(stage: &Stage) -> Result<Figure> {
    let log = stage.log().await?;
    match &stage.scratch {
        Some(scratch) => {
            let database = scratch.database_beside().await?;
            let tables = Database::mysql(database.url(), 4)?;
            let tasks = crate::serve::PROJECTOR_TASKS;
            let figure = project(
                "project and upsert (MySQL), records",
                stage,
                log,
                tables,
                tasks,
            )
            .await?;
            database.remove().await?;
            Ok(figure)
        }
        None => {
            let directory = tempfile::tempdir_in(stage.throwaway.path())?;
            let tables = Database::sqlite_writer(&directory.path().join("read-models.sqlite"));
            let tasks = crate::serve::EMBEDDED_PROJECTOR_TASKS;
            project(
                "project and upsert (SQLite), records",
                stage,
                log,
                tables,
                tasks,
            )
            .await
        }
    }
}

async fn project(
    what: &'static str,
    stage: &Stage,
    log: Arc<dyn EventLog>,
    tables: Database,
    tasks: usize,
) -> Result<Figure> {
    let mut records = 0;
    for partition in log.layout().partitions_of_record() {
        let extent = log.extent(partition).await?;
        records += extent.end - extent.start;
    }
    let stopping = CancellationToken::new();
    let meter = Meter::start(&stage.watched);
    let began = Instant::now();
    let projectors = Projectors::start(log, ReadModels::new(tables.clone()), tasks, stopping);
    projectors.caught_up().await?;
    let took = began.elapsed();
    let figure = Figure::new(what, records, took).costing(&meter.read());
    projectors.stop().await;
    tables.close().await;
    Ok(figure)
}
