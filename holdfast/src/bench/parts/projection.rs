//! The read side's writing alone: upserts of rows, and the projectors over this run's own log, which
//! they read, fold and upsert into empty tables.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use event_log::EventLog;
use migrations::Database;
use projectors::store::alone::ROWS_PER_STATEMENT;
use projectors::{Projectors, ReadModels};
use tokio_util::sync::CancellationToken;

use crate::bench::figures::Figure;
use crate::bench::stage::Stage;
use crate::load::process::Meter;

/// Statements that each task upserts.
const STATEMENTS: u64 = 20;

/// Upserts rows, and projects everything that the servers have written.
///
/// # Errors
/// When the store does not answer, or a projector stops.
pub(super) async fn alone(stage: &Stage) -> Result<[Figure; 2]> {
    let log = stage.log().await?;
    match &stage.scratch {
        Some(scratch) => {
            let database = scratch.database_beside().await?;
            let tables = Database::mysql(database.url(), 4)?;
            let tasks = crate::serve::PROJECTOR_TASKS;
            let upserted = upsert("upsert of orders (MySQL)", stage, &tables, tasks).await?;
            let projected = project(
                "read, fold, upsert (MySQL), records",
                stage,
                log,
                tables,
                tasks,
            )
            .await?;
            database.remove().await?;
            Ok([upserted, projected])
        }
        None => {
            let directory = tempfile::tempdir_in(stage.throwaway.path())?;
            let tables = Database::sqlite_writer(&directory.path().join("read-models.sqlite"));
            let tasks = crate::serve::EMBEDDED_PROJECTOR_TASKS;
            let upserted = upsert("upsert of orders (SQLite)", stage, &tables, tasks).await?;
            let projected = project(
                "read, fold, upsert (SQLite), records",
                stage,
                log,
                tables,
                tasks,
            )
            .await?;
            Ok([upserted, projected])
        }
    }
}

async fn upsert(
    what: &'static str,
    stage: &Stage,
    tables: &Database,
    tasks: usize,
) -> Result<Figure> {
    migrations::schema::run(tables).await?;
    let read_models = ReadModels::new(tables.clone());
    let meter = Meter::start(&stage.watched);
    let began = Instant::now();
    let upserts = (0..tasks).map(|_| async {
        for _ in 0..STATEMENTS {
            read_models.upsert_alone().await?;
        }
        anyhow::Ok(())
    });
    futures::future::try_join_all(upserts).await?;
    let rows = STATEMENTS * u64::try_from(tasks * ROWS_PER_STATEMENT)?;
    Ok(Figure::new(what, rows, began.elapsed()).costing(&meter.read()))
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
