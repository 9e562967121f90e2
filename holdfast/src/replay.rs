//! `holdfast replay`: the read models rebuilt from the log beside the live ones, checked, swapped.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use event_log::EventLog;
use event_log::sqlite::SqliteLog;
use indicatif::{ProgressBar, ProgressStyle};
use migrations::Database;
use projectors::replay::{ReplayProgress, replay};

use crate::embedded::read_models_file;
use crate::services;
use crate::settings::ReplayArgs;

/// Rebuilds, with progress and the time left on the screen.
///
/// # Errors
/// One sentence; the live read models are then as they were.
pub(crate) async fn run(args: ReplayArgs) -> Result<()> {
    let (log, database) = places(&args).await?;
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(
        "{msg} {bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left",
    )?);
    bar.set_message("replaying");
    bar.enable_steady_tick(Duration::from_millis(200));
    let read_models = projectors::ReadModels::new(database);
    let started = std::time::Instant::now();
    let replayed = replay(log, &read_models, |ReplayProgress { done, total }| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .await?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f32();
    println!(
        "{} records were replayed in {seconds:.1} s.",
        replayed.records
    );
    println!("{}", replayed.digest);
    if replayed.differences.is_empty() {
        println!("Parity: the rebuilt rows are those that were there.");
    } else {
        println!(
            "Different before: {}. The rebuilt rows are in place now; the log is the truth.",
            replayed.differences.join(", ")
        );
    }
    Ok(())
}

async fn places(args: &ReplayArgs) -> Result<(Arc<dyn EventLog>, Database)> {
    match (&args.kafka.kafka, &args.mysql.mysql) {
        (None, None) => {
            let log = SqliteLog::open_read_only(&args.data.data)?;
            Ok((
                Arc::new(log),
                Database::sqlite_writer(&read_models_file(&args.data.data)),
            ))
        }
        (Some(_), Some(mysql)) => {
            let log = services::open_log(&args.kafka).await?;
            Ok((
                log,
                Database::mysql(mysql.reveal(), args.mysql.mysql_connections)?,
            ))
        }
        _ => bail!("give --kafka and --mysql together, or none of them for an embedded system"),
    }
}
