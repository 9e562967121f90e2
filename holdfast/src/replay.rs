//! `holdfast replay`: the read models rebuilt from the log beside the live ones, checked, swapped.
//!
//! A SQLite file is frozen by the process that writes it, so beside an embedded server it is that
//! server which replays, asked by its socket; it answers with a line of JSON for every step.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use axum::body::Body;
use axum::extract::State;
use event_log::EventLog;
use event_log::sqlite::SqliteLog;
use indicatif::{ProgressBar, ProgressStyle};
use migrations::Database;
use projectors::ReadModels;
use projectors::replay::{ReplayError, ReplayProgress, Replayed, clear_up, replay};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::admin::Operators;
use crate::embedded::{DataDirectory, control_socket};
use crate::services;
use crate::settings::ReplayArgs;

/// Steps that wait for whoever asked; more are left out.
const STEPS_MAX: usize = 16;

/// What a replay says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    /// So many records are taken in, of so many.
    Progress { done: u64, total: u64 },
    /// It is over.
    Replayed {
        records: u64,
        digest: String,
        differences: Vec<String>,
    },
    /// It came to nothing: why.
    Failed(String),
}

impl From<ReplayProgress> for Step {
    fn from(ReplayProgress { done, total }: ReplayProgress) -> Self {
        Self::Progress { done, total }
    }
}

impl From<Result<Replayed, ReplayError>> for Step {
    fn from(outcome: Result<Replayed, ReplayError>) -> Self {
        match outcome {
            Ok(replayed) => Self::Replayed {
                records: replayed.records,
                digest: replayed.digest.to_string(),
                differences: replayed
                    .differences
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            },
            Err(error) => Self::Failed(format!("{:#}", anyhow!(error))),
        }
    }
}

/// Rebuilds, with progress and the time left on the screen.
///
/// # Errors
/// One sentence; the live read models are then as they were.
pub(crate) async fn run(args: ReplayArgs) -> Result<()> {
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(
        "{msg} {bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left",
    )?);
    bar.set_message("replaying");
    bar.enable_steady_tick(Duration::from_millis(200));
    let show = |step: &Step| {
        if let Step::Progress { done, total } = step {
            bar.set_length(*total);
            bar.set_position(*done);
        }
    };
    let started = std::time::Instant::now();
    let last = match (&args.kafka.kafka, &args.mysql.mysql) {
        (None, None) => embedded(&args.data.data, show).await?,
        (Some(_), Some(mysql)) => {
            let log = services::open_log_to_look(&args.kafka).await?;
            let database = Database::mysql(mysql.reveal(), args.mysql.mysql_connections)?;
            here(log, &ReadModels::new(database), show).await?
        }
        _ => bail!("give --kafka and --mysql together, or none of them for an embedded system"),
    };
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f32();
    match last {
        Step::Replayed {
            records,
            digest,
            differences,
        } => {
            println!("{records} records were replayed in {seconds:.1} s.");
            println!("{digest}");
            if differences.is_empty() {
                println!("Parity: the rebuilt rows are those that were there.");
            } else {
                println!(
                    "Different before: {}. The rebuilt rows are in place now; the log is the truth.",
                    differences.join(", ")
                );
            }
            Ok(())
        }
        Step::Failed(why) => bail!("{why}"),
        Step::Progress { .. } => bail!(
            "the server stopped before it said how the replay ended; start it and replay again"
        ),
    }
}

/// In this process, until it is over or somebody presses Ctrl-C.
async fn here(
    log: Arc<dyn EventLog>,
    read_models: &ReadModels,
    show: impl Fn(&Step) + Sync,
) -> Result<Step> {
    let replaying = replay(log, read_models, |progress| show(&progress.into()));
    let given_up = tokio::select! {
        outcome = replaying => return Ok(outcome.into()),
        signal = tokio::signal::ctrl_c() => signal,
    };
    given_up?;
    if let Err(error) = clear_up(read_models).await {
        tracing::warn!(%error, "tables of the replay are left behind; the next one drops them");
    }
    bail!("the replay was given up; the live read models are as they were")
}

/// In the server that runs on this data directory; where none does, here. The last step.
async fn embedded(data: &Path, show: impl Fn(&Step) + Sync) -> Result<Step> {
    let client = reqwest::Client::builder()
        .unix_socket(control_socket(data))
        .build()?;
    let Ok(mut answer) = client.post("http://localhost/replay").send().await else {
        // Where there is no log nothing is made.
        let log = Arc::new(SqliteLog::open_read_only(data)?);
        let directory = DataDirectory::lock(data)?;
        let read_models = ReadModels::new(Database::sqlite_writer(&directory.read_models()));
        return here(log, &read_models, show).await;
    };
    let mut last = Step::Progress { done: 0, total: 0 };
    let mut received = Vec::new();
    // A server that goes away in the middle ends the answer; the last step tells.
    while let Ok(Some(chunk)) = answer.chunk().await {
        received.extend_from_slice(&chunk);
        while let Some(end) = received.iter().position(|byte| *byte == b'\n') {
            last = serde_json::from_slice(&received[..end])?;
            received.drain(..=end);
            show(&last);
        }
    }
    Ok(last)
}

/// Answers the operator's socket: replays as long as somebody listens.
pub(crate) async fn replay_here(State(operators): State<Operators>) -> Body {
    let (steps, received) = mpsc::channel(STEPS_MAX);
    tokio::spawn(async move {
        let replaying = replay(operators.log, &operators.read_models, |progress| {
            // Who is slow to read sees fewer of them.
            let _ = steps.try_send(Step::from(progress));
        });
        let last = tokio::select! {
            outcome = replaying => Some(Step::from(outcome)),
            () = steps.closed() => None,
        };
        if let Some(last) = last {
            // Who hung up at the last moment finds the outcome in the rows.
            let _ = steps.send(last).await;
        } else if let Err(error) = clear_up(&operators.read_models).await {
            tracing::warn!(%error, "tables of a replay that was given up are left behind");
        }
    });
    let lines = futures::stream::unfold(received, async |mut received| {
        let step: Step = received.recv().await?;
        let line = serde_json::to_string(&step).expect("numbers and text") + "\n";
        Some((Ok::<_, Infallible>(line), received))
    });
    Body::from_stream(lines)
}
