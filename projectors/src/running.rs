//! Projectors that run until they are told to stop, and what they say of themselves.
//!
//! A few tasks share the partitions, because rows are written fastest over a few connections. An
//! error that may pass (no database, no log, another projector was faster) makes its task wait and
//! begin anew; one that will not makes its partition stand still, to be looked at again now and then, and leaves
//! the others running.
//! Either is in the status until it is over: a projector that stands still must never look as if
//! it had nothing to do (scenario T31, field report R07).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_log::EventLog;
use migrations::schema::SchemaError;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::projector::{Projector, ProjectorError};
use crate::source;
use crate::status::{PartitionStatus, States, sentence};
use crate::store::ReadModels;

/// The wait after a first error; it doubles with every further one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest wait after an error.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A partition that stands still is looked at again after this long: somebody may have mended it by
/// a replay, a restored topic or a newer program beside this one.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How often a projector looks whether its tables are still the same.
const LOOK_AT_CHECKPOINTS_EVERY: Duration = Duration::from_secs(1);
/// How often lag is measured for the metrics.
const MEASURE_EVERY: Duration = Duration::from_secs(2);

/// Running projectors of every partition. Dropping it does not stop them; see
/// [`Projectors::stop`].
#[derive(Debug)]
pub struct Projectors {
    log: Arc<dyn EventLog>,
    states: watch::Receiver<States>,
    shutdown: CancellationToken,
    supervisor: JoinHandle<()>,
}

/// Why waiting for the projectors is in vain.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NeverCaughtUp(String);

impl Projectors {
    /// Creates the tables where they are missing and takes the log into them from then on, with
    /// this many tasks, until `shutdown` is cancelled.
    pub fn start(
        log: Arc<dyn EventLog>,
        read_models: ReadModels,
        tasks: usize,
        shutdown: CancellationToken,
    ) -> Self {
        let (sender, states) = watch::channel(States::new(&source::partitions(&log)));
        let supervision = Supervision {
            log: Arc::clone(&log),
            read_models,
            tasks,
            states: sender,
            shutdown: shutdown.clone(),
        };
        Self {
            log,
            states,
            shutdown,
            supervisor: tokio::spawn(supervision.run()),
        }
    }

    /// How every partition is doing, measured against the log's end of this moment.
    pub async fn status(&self) -> Vec<PartitionStatus> {
        measure(&self.log, &self.states).await
    }

    /// Waits until everything that is in the log now is in the rows.
    ///
    /// # Errors
    /// When a partition stands still, or the log does not say where it ends.
    pub async fn caught_up(&self) -> Result<(), NeverCaughtUp> {
        let mut ends = BTreeMap::new();
        for partition in source::partitions(&self.log) {
            let extent = self.log.extent(partition).await;
            let extent = extent.map_err(|error| NeverCaughtUp(sentence(&error)))?;
            ends.insert(partition, extent.end);
        }
        let mut states = self.states.clone();
        let settled = states
            .wait_for(|states| states.have_reached(&ends) || states.stopped().is_some())
            .await
            .map_err(|_| NeverCaughtUp("the projectors have stopped".to_owned()))?;
        match settled.stopped() {
            Some(reason) if !settled.have_reached(&ends) => Err(NeverCaughtUp(reason.to_owned())),
            _ => Ok(()),
        }
    }

    /// Stops after the transactions that are under way.
    pub async fn stop(self) {
        self.shutdown.cancel();
        if let Err(error) = self.supervisor.await {
            tracing::error!(error = %error, "the projectors did not stop in order");
        }
    }
}

async fn measure(
    log: &Arc<dyn EventLog>,
    states: &watch::Receiver<States>,
) -> Vec<PartitionStatus> {
    let extents = source::partitions(log)
        .into_iter()
        .map(|partition| async move { (partition, log.extent(partition).await.ok()) });
    let extents = futures::future::join_all(extents).await;
    states.borrow().measured(&extents)
}

/// What the task that looks after the others holds.
struct Supervision {
    log: Arc<dyn EventLog>,
    read_models: ReadModels,
    tasks: usize,
    states: watch::Sender<States>,
    shutdown: CancellationToken,
}

/// Why projecting could not begin.
#[derive(Debug, thiserror::Error)]
enum NotPrepared {
    #[error(transparent)]
    Schema(#[from] SchemaError),
    #[error(transparent)]
    Log(#[from] event_log::LogError),
}

impl Supervision {
    async fn run(self) {
        let Some(log_id) = self.prepared().await else {
            return;
        };
        let mut tasks = JoinSet::new();
        for partitions in source::dealt(source::partitions(&self.log), self.tasks) {
            let (log, read_models) = (Arc::clone(&self.log), self.read_models.clone());
            let projector = Projector::new(log, read_models, log_id, partitions);
            let (states, shutdown) = (self.states.clone(), self.shutdown.clone());
            tasks.spawn(run(projector, states, shutdown));
        }
        tasks.spawn(keep_measuring(
            Arc::clone(&self.log),
            self.states.subscribe(),
            self.shutdown.clone(),
        ));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                // A panic: its partitions stand still, and their status must not look healthy.
                self.states
                    .send_modify(|states| states.fail_all("a projector broke; restart it"));
                tracing::error!(error = %error, "a projector broke");
            }
        }
    }

    /// Creates the tables and finds out the log's id, however long that takes; `None` when told to
    /// stop before.
    async fn prepared(&self) -> Option<Uuid> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.prepare().await {
                Ok(log_id) => return log_id,
                Err(error) => {
                    let why = sentence(&error);
                    tracing::warn!(error = %why, "the projectors cannot begin yet");
                    self.states.send_modify(|states| states.fail_all(&why));
                }
            }
            pause = paused(pause, &self.shutdown).await?;
        }
    }

    async fn prepare(&self) -> Result<Option<Uuid>, NotPrepared> {
        migrations::schema::run(self.read_models.database()).await?;
        self.states
            .send_modify(|states| states.fail_all("the log has no epoch yet"));
        tokio::select! {
            biased;
            id = source::log_id(&self.log) => {
                Ok(Some(id?))
            }
            () = self.shutdown.cancelled() => Ok(None),
        }
    }
}

/// The least time from one transaction to the next. A transaction costs a database as much as
/// some fifty rows: under load each takes what came meanwhile, after a quiet moment none waits.
const PACE: Duration = Duration::from_millis(15);

/// Runs one projector until it is told to stop.
async fn run(mut projector: Projector, states: watch::Sender<States>, shutdown: CancellationToken) {
    let all = projector.partitions().to_vec();
    let mut look_again = Instant::now();
    let mut looked = Instant::now();
    let mut pause = PAUSE_MIN;
    while !shutdown.is_cancelled() {
        let some_stand_still = projector.partitions().len() < all.len();
        if some_stand_still && Instant::now() >= look_again {
            projector.take_up(all.clone());
        }
        let began = Instant::now();
        let error = match take_in(&mut projector, &mut looked).await {
            Ok(taken) => {
                if let Some(marks) = projector.marks() {
                    states.send_modify(|states| states.reached(marks));
                }
                if let Some(records) = taken {
                    pause = PAUSE_MIN;
                    metrics::counter!(crate::status::RECORDS).increment(records as u64);
                    tokio::select! {
                        biased;
                        () = shutdown.cancelled() => return,
                        () = tokio::time::sleep_until(began + PACE) => continue,
                    }
                }
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep_until(look_again), if some_stand_still => continue,
                    received = projector.receive() => match received {
                        Ok(()) => continue,
                        Err(error) => error,
                    },
                    () = tokio::time::sleep_until(looked + LOOK_AT_CHECKPOINTS_EVERY) => continue,
                }
            }
            Err(error) => error,
        };
        if handle(&mut projector, &states, &error) {
            look_again = Instant::now() + LOOK_AGAIN_AFTER;
            continue;
        }
        match paused(pause, &shutdown).await {
            Some(longer) => pause = longer,
            None => return,
        }
    }
}

/// Takes in what has come, and looks at the checkpoints when it is time to, however much comes: one
/// partition's records do not tell of another's tables.
async fn take_in(
    projector: &mut Projector,
    looked: &mut Instant,
) -> Result<Option<usize>, ProjectorError> {
    if looked.elapsed() >= LOOK_AT_CHECKPOINTS_EVERY {
        *looked = Instant::now();
        projector.look_at_checkpoints().await?;
    }
    projector.take_in_waiting().await
}

/// Notes an error where people look. `true`: its partition is left, and the others go on at once.
fn handle(
    projector: &mut Projector,
    states: &watch::Sender<States>,
    error: &ProjectorError,
) -> bool {
    let why = sentence(error);
    if let Some(partition) = error.stopped_partition() {
        tracing::error!(%partition, error = %why, "a projector stands still until somebody looks");
        projector.leave(partition);
        states.send_modify(|states| states.stop(partition, &why));
        return true;
    }
    tracing::warn!(error = %why, "a projector begins anew");
    states.send_modify(|states| states.fail(projector.partitions(), &why));
    false
}

/// Waits, and says how long to wait the next time; `None` when told to stop. The wait is spread,
/// so that two projectors of one partition do not meet again and again.
async fn paused(pause: Duration, shutdown: &CancellationToken) -> Option<Duration> {
    let spread = Uuid::new_v4().as_u128() % pause.as_millis().max(1);
    let spread = Duration::from_millis(u64::try_from(spread).unwrap_or(0));
    tokio::select! {
        biased;
        () = shutdown.cancelled() => None,
        () = tokio::time::sleep(pause / 2 + spread) => Some((pause * 2).min(PAUSE_MAX)),
    }
}

async fn keep_measuring(
    log: Arc<dyn EventLog>,
    states: watch::Receiver<States>,
    shutdown: CancellationToken,
) {
    loop {
        for status in measure(&log, &states).await {
            status.record_metrics();
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(MEASURE_EVERY) => {}
        }
    }
}
