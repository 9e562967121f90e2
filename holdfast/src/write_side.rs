//! The write side, put together: gate, log, committer, commands, HTTP.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use command_api::clock::{RandomIds, SystemClock};
use command_api::commands::Commands;
use command_api::commands::passwords::Passwords;
use command_api::commands::users::Personal;
use command_api::commit::Committer;
use command_api::epoch::{EpochState, Progress};
use command_api::gate::Gate;
use command_api::settings::Settings;
use contract::operations::Part;
use domain::money::Currency;
use event_log::EventLog;
use personal_data::Secrets;
use uuid::Uuid;

use crate::api::probed;

/// Password checks that may wait for a core; beyond them a log-in is answered 503.
const PASSWORDS_QUEUED: usize = 200;

/// How long a start waits for an epoch while nothing is being rebuilt.
const FIRST_EPOCH_WITHIN: Duration = Duration::from_secs(10);

/// The write side of a process.
#[derive(Debug, Clone)]
pub(crate) struct WriteSide {
    gate: Arc<dyn Gate>,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The commands.
    pub commands: Commands,
    /// What the operator should know of the log, in `/readyz`.
    log_note: &'static str,
}

impl WriteSide {
    /// Starts the committer, which looks for an epoch at once.
    pub(crate) fn start(
        gate: Arc<dyn Gate>,
        log: Arc<dyn EventLog>,
        secrets: &Arc<Secrets>,
        currency: Currency,
        tune: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings::new(currency, secrets.check_value());
        tune(&mut settings);
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds));
        let committer = Committer::new(Arc::clone(&gate), Arc::clone(&log), clock, ids, settings);
        command_api::completion::start(&committer);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let passwords = Passwords::new(cores.div_ceil(2), PASSWORDS_QUEUED);
        let personal = Personal {
            secrets: Arc::clone(secrets),
            passwords,
        };
        Self {
            gate,
            log,
            commands: Commands::new(committer, personal),
            log_note: "answers",
        }
    }

    /// Says in `/readyz` what the operator should know of the log.
    pub(crate) fn noting(mut self, log_note: &'static str) -> Self {
        self.log_note = log_note;
        self
    }

    /// Waits for the first epoch and gives the log's id.
    ///
    /// # Errors
    /// One sentence where the log is another shop's, or no epoch opens in time.
    pub(crate) async fn log_id(&self) -> Result<Uuid> {
        let keeper = self.commands.committer().keeper();
        let mut state = keeper.state();
        loop {
            let decided =
                |state: &EpochState| matches!(state, EpochState::Open(_) | EpochState::Unfit(_));
            let _ = tokio::time::timeout(FIRST_EPOCH_WITHIN, state.wait_for(decided)).await;
            match &*state.borrow() {
                EpochState::Open(_) => break,
                // A long log takes its time.
                EpochState::Recovering { progress, .. } => {
                    let Progress { folded, total, .. } = *progress;
                    let percent = progress.percent();
                    tracing::info!(
                        folded,
                        total,
                        percent,
                        "the gate is being rebuilt from the log"
                    );
                }
                // Whoever gave up before the wait is over would never claim, however often it is
                // started again.
                EpochState::Waiting { epoch } => {
                    tracing::info!(epoch, "a sign of life of an epoch is waited for");
                }
                EpochState::Unfit(why) | EpochState::Unready(why) => bail!("{why}"),
            }
        }
        let log_id = keeper.history().borrow().log_id();
        log_id.context("the log has no first claim though an epoch is open; look at its topics")
    }

    /// What `/readyz` says of this side.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let committer = Arc::clone(self.commands.committer());
        let epoch = Part::new("epoch", move || {
            let committer = Arc::clone(&committer);
            async move {
                match &*committer.keeper().state().borrow() {
                    open @ EpochState::Open(_) => Ok(open.to_string()),
                    other => Err(other.to_string()),
                }
            }
        });
        let committer = Arc::clone(self.commands.committer());
        let tail = Part::new("tail", move || {
            let health = committer.tail_health();
            async move { health }
        });
        let gate = Arc::clone(&self.gate);
        let gate = probed("gate", "answers", move || {
            let gate = Arc::clone(&gate);
            async move { gate.current().await.map(drop) }
        });
        let log = Arc::clone(&self.log);
        let log = probed("log", self.log_note, move || {
            let log = Arc::clone(&log);
            async move { log.probe().await }
        });
        vec![epoch, gate, tail, log]
    }

    /// Lets what is under way finish, at most this long.
    pub(crate) async fn finish(&self, at_most: Duration) {
        let drained = tokio::time::timeout(at_most, self.commands.committer().drain()).await;
        if drained.is_err() {
            tracing::warn!(
                "commands are still under way; another node or the next start completes them"
            );
        }
        self.log.flush(Duration::from_secs(2)).await;
    }
}
