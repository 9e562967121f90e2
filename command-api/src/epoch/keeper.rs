//! The keeper of a node's epoch: adopts what the gate's pointer names, and recovers when that is
//! closed.
//!
//! A recovery is due when the gate is empty, its epoch is closed or its data damaged; never
//! because of a time-out alone, and never on a replica. A node that sees a fence of a higher
//! epoch than its gate has is on the wrong gate, or early: it asks for a sign of life before it
//! claims.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Time;
use event_log::{Entry, EventLog, LogError};
use parking_lot::Mutex;
use record::epochs::EpochEntry;
use record::{Envelope, Partition, Position, RecordId};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::clock::{Clock, Ids};
use crate::epoch::history::{self, History};
use crate::epoch::planned::{Planned, Prepared, Wanted, prepared};
use crate::epoch::recovery::{Recovery, RecoveryError, append_until_known};
use crate::epoch::{EpochState, OpenEpoch, Progress, snapshot, snapshots};
use crate::gate::{Current, Gate, GateError};
use crate::read_back::ReadBack;
use crate::settings::Settings;

mod entering;
mod signs_of_life;
mod waiting;

use waiting::{DOUBLINGS_MAX, no_life};

/// How long the topic of epochs may take to be read to its end.
const HISTORY_WITHIN: Duration = Duration::from_secs(30);

/// Pause between two looks at a gate or log that does not answer.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Keeps the node's epoch.
#[derive(Debug)]
pub struct Keeper {
    gate: Arc<dyn Gate>,
    log: Arc<dyn EventLog>,
    ids: Arc<dyn Ids>,
    clock: Arc<dyn Clock>,
    settings: Settings,
    read_back: Arc<ReadBack>,
    node: Uuid,
    history: watch::Receiver<History>,
    state: watch::Sender<EpochState>,
    /// The epoch that was open here last.
    adopted: Mutex<Option<u64>>,
    /// The epoch that was found closed or damaged here, and why.
    closed: Mutex<Option<(u64, String)>>,
    /// The highest epoch that the gate answered to be closed: nobody decides in it any more.
    closed_at_gate: Mutex<Option<u64>>,
    /// The highest epoch that was waited for in vain.
    silent: Mutex<Option<u64>>,
    look: Notify,
    /// Changes of the epoch that were asked for.
    pub(super) wanted: mpsc::Sender<Wanted>,
    /// One that is prepared.
    planned: Mutex<Option<Planned>>,
}

impl Keeper {
    /// Starts to look for an epoch at once.
    pub fn start(
        gate: Arc<dyn Gate>,
        log: Arc<dyn EventLog>,
        (ids, clock): (Arc<dyn Ids>, Arc<dyn Clock>),
        settings: Settings,
        read_back: Arc<ReadBack>,
    ) -> Arc<Self> {
        let history = history::follow(Arc::clone(&log));
        let node = ids.next();
        let (wanted, asked) = mpsc::channel(1);
        let keeper = Arc::new(Self {
            gate,
            log,
            ids,
            clock,
            settings,
            read_back,
            node,
            history,
            state: watch::Sender::new(EpochState::Unready("the node is starting".to_owned())),
            adopted: Mutex::default(),
            closed: Mutex::default(),
            closed_at_gate: Mutex::default(),
            silent: Mutex::default(),
            look: Notify::new(),
            wanted,
            planned: Mutex::default(),
        });
        tokio::spawn(run(Arc::downgrade(&keeper), asked));
        tokio::spawn(signs_of_life::answer(Arc::downgrade(&keeper)));
        if let Some(settings) = &keeper.settings.snapshots
            && let Some(making) = settings.making
        {
            let directory = settings.directory.clone();
            let keeper = Arc::downgrade(&keeper);
            tokio::spawn(snapshots::keep(keeper, directory, making));
        }
        keeper
    }

    pub(crate) fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Whether commands can be decided.
    pub fn state(&self) -> watch::Receiver<EpochState> {
        self.state.subscribe()
    }

    /// The epoch that was open here last. It only grows: whatever comes now is decided in this one
    /// or a later one.
    pub fn adopted(&self) -> Option<u64> {
        *self.adopted.lock()
    }

    /// The topic of claims, as followed so far.
    pub fn history(&self) -> watch::Receiver<History> {
        self.history.clone()
    }

    /// Makes a snapshot of the fold now, where there is a place for it.
    ///
    /// # Errors
    /// Why none was made.
    pub async fn make_snapshot(&self) -> Result<snapshot::Stored, String> {
        let Some(settings) = &self.settings.snapshots else {
            return Err("no directory for snapshots was given".to_owned());
        };
        match snapshots::make(self, &settings.directory, false).await {
            Ok(stored) => Ok(stored),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A gate call found this epoch closed: nobody decides in it any more.
    pub fn report_closed(&self, epoch: u64, why: &str) {
        self.is_closed_at_gate(epoch);
        self.report_damaged(epoch, why);
    }

    fn is_closed_at_gate(&self, epoch: u64) {
        let mut closed = self.closed_at_gate.lock();
        *closed = closed.max(Some(epoch));
    }

    /// This epoch must not go on, though others may not know that yet.
    pub fn report_damaged(&self, epoch: u64, why: &str) {
        {
            let mut closed = self.closed.lock();
            if closed.as_ref().is_some_and(|(known, _)| *known >= epoch) {
                return;
            }
            *closed = Some((epoch, why.to_owned()));
        }
        tracing::warn!(epoch, why, "the epoch is closed");
        self.state.send_if_modified(|state| match state {
            EpochState::Open(open) if open.number() == epoch => {
                *state = EpochState::Unready(why.to_owned());
                true
            }
            _ => false,
        });
        self.look.notify_one();
    }

    /// Asks the gate how the open epoch is: a node to which nothing comes would not hear of newer
    /// generations, and its next command would be taken for one that was held up.
    async fn look_at(&self, epoch: &OpenEpoch) {
        // One that hangs must not keep this node from seeing a fence.
        let loaded = self.gate.load(epoch.current(), &[]);
        match tokio::time::timeout(LOOK_AGAIN, loaded).await {
            Ok(Ok(reply)) => epoch.heard_of_generation(reply.generation),
            Ok(Err(GateError::Closed(why))) => self.report_closed(epoch.number(), &why),
            Ok(Err(GateError::Damaged(why))) => self.report_damaged(epoch.number(), &why),
            // Whether it answers at all is what commands find out.
            Ok(Err(_)) | Err(_) => {}
        }
    }

    /// Finds an open epoch, by recovery if need be.
    async fn find(&self) -> Result<Current, RecoveryError> {
        let planned = self.planned.lock().take();
        if let Some(planned) = planned {
            return self.carry_out(planned).await;
        }
        let mut left = None;
        loop {
            self.catch_up_with_claims().await?;
            let reason = match self.usable_pointer().await? {
                Ok(current) => return Ok(current),
                Err(reason) => reason,
            };
            // Whoever claimed may be rebuilding at this moment: claims must not duel.
            if let Some(claimed) = self.rival() {
                let closed = self.closed.lock().as_ref().map(|(epoch, _)| *epoch);
                // One below a fence that was seen is over, though this gate may still serve it.
                let highest = *self.read_back.highest_fence().borrow();
                let at_least = closed.map_or(0, |closed| closed + 1).max(highest);
                match self.wait_for_epoch(claimed, at_least).await? {
                    Ok(current) => return Ok(current),
                    Err(_) => *self.silent.lock() = Some(claimed),
                }
            } else if left == Some(Duration::ZERO) {
                return self.recover(reason, None).await;
            } else {
                // Another node's epoch is seen meanwhile, and that there is one again.
                let pause = left.unwrap_or_else(|| self.pause_before_claim());
                let step = pause.min(LOOK_AGAIN);
                tokio::time::sleep(step).await;
                left = Some(pause - step);
            }
        }
    }

    /// The epoch that another node has claimed and may still open.
    fn rival(&self) -> Option<u64> {
        let silent = *self.silent.lock();
        self.history.borrow().rival(self.node, u64::MAX, silent)
    }

    /// By chance, so that claims do not duel. What keeps a recovery from its end may last, and every
    /// claim and its fences stay in the log for ever: where the newest claim is this node's own and
    /// led to nothing, it pauses for longer with each.
    fn pause_before_claim(&self) -> Duration {
        let by_chance = rand::random_range(Duration::ZERO..=self.settings.claim_backoff);
        let history = self.history.borrow();
        match history.claims.last() {
            Some(newest) if newest.node == self.node && history.fruitless > 0 => {
                by_chance + LOOK_AGAIN * 2u32.pow(history.fruitless.min(DOUBLINGS_MAX))
            }
            _ => by_chance,
        }
    }

    /// Reads every claim, and gives up where one states what is not known here: an epoch of a
    /// newer interface or of other counts can be neither begun nor adopted.
    async fn catch_up_with_claims(&self) -> Result<(), RecoveryError> {
        let end = self.log.extent(Partition::EPOCHS).await?.end;
        let mut history = self.history.clone();
        let caught_up = history.wait_for(|history| history.next >= end);
        match tokio::time::timeout(HISTORY_WITHIN, caught_up).await {
            Ok(Ok(known)) => known
                .check(self.log.layout(), &self.settings.shop())
                .map_err(RecoveryError::Unfit),
            _ => Err(LogError::Unavailable("the topic of epochs cannot be read".to_owned()).into()),
        }
    }

    /// The pointer's epoch if it is open and no higher one has begun; otherwise why a recovery is
    /// due.
    async fn usable_pointer(&self) -> Result<Result<Current, String>, RecoveryError> {
        let current = match self.gate.current().await {
            Ok(Some(current)) => current,
            Ok(None) => return Ok(Err("the gate is empty".to_owned())),
            Err(GateError::Damaged(why)) => return Ok(Err(why)),
            Err(error) => return Err(error.into()),
        };
        let closed = self.closed.lock().clone();
        if let Some((epoch, why)) = closed
            && epoch >= current.epoch
        {
            return Ok(Err(why));
        }
        match self.gate.load(&current, &[]).await {
            Ok(_) => {}
            Err(GateError::Closed(why) | GateError::Damaged(why)) => return Ok(Err(why)),
            Err(error) => return Err(error.into()),
        }
        let highest = *self.read_back.highest_fence().borrow();
        if highest > current.epoch {
            if self.history.borrow().is_given_up_by(self.node, highest) {
                let why = format!("this node's own recovery to epoch {highest} came to nothing");
                return Ok(Err(why));
            }
            if *self.silent.lock() >= Some(highest) {
                return Ok(Err(no_life(highest)));
            }
            let waited = self.wait_for_epoch(highest, highest).await?;
            if waited.is_err() {
                *self.silent.lock() = Some(highest);
            }
            return Ok(waited);
        }
        self.check_fences(&current).await?;
        Ok(Ok(current))
    }

    /// The epoch's fences must stand where its pointer says: otherwise a topic was replaced.
    async fn check_fences(&self, current: &Current) -> Result<(), RecoveryError> {
        for (partition, offset) in &current.fences {
            let position = Position {
                partition: *partition,
                offset: *offset,
            };
            let raw = self.log.read_at(position).await?;
            let fence = Envelope::decode(&raw.payload)
                .ok()
                .map(|(envelope, _)| envelope);
            if fence.is_none_or(|fence| fence.epoch != current.epoch || fence.version != 0) {
                return Err(RecoveryError::Unfit(format!(
                    "the topic {} is not the one in which epoch {} began; restore it",
                    partition.topic, current.epoch
                )));
            }
        }
        Ok(())
    }

    pub(super) async fn recover(
        &self,
        reason: String,
        prepared: Option<Prepared>,
    ) -> Result<Current, RecoveryError> {
        let silent = *self.silent.lock();
        let (prepared, outwaited) = match prepared {
            Some(Prepared { fold, outwaited }) => (Some(fold), outwaited),
            None => (None, None),
        };
        // Where nothing was claimed there is nothing to forget.
        if !self.settings.rebuilds && self.history.borrow().log_id().is_some() {
            return Err(RecoveryError::Unfit(format!(
                "the gate has to be rebuilt ({reason}), and this process was not told how long keys are remembered; give --key-retention-hours as the servers have it, or start a server"
            )));
        }
        tracing::info!(reason, "recovery begins");
        let started = Instant::now();
        let tell = |progress: Progress| {
            self.say(EpochState::Recovering {
                reason: reason.clone(),
                progress,
            });
            for (name, count) in [
                (crate::metrics::RECOVERY_FOLDED, progress.folded),
                (crate::metrics::RECOVERY_TOTAL, progress.total),
                (crate::metrics::RECOVERY_WRITTEN, progress.written),
                (crate::metrics::RECOVERY_PIECES, progress.pieces),
            ] {
                metrics::gauge!(name).set(count as f64);
            }
        };
        tell(Progress::default());
        let recovery = Recovery {
            gate: &*self.gate,
            log: &self.log,
            ids: &*self.ids,
            clock: &*self.clock,
            settings: &self.settings,
            node: self.node,
            history: self.history.clone(),
            silent: silent.max(outwaited),
            prepared,
            deleted: &|below| self.is_closed_at_gate(below),
        };
        let current = recovery.run(&tell).await?;
        let duration_ms = started.elapsed().as_millis() as u64;
        tracing::info!(
            epoch = current.epoch,
            duration_ms,
            reason,
            "recovery is done"
        );
        metrics::counter!(crate::metrics::RECOVERIES).increment(1);
        Ok(current)
    }

    /// Makes an epoch the node's own: its tail is started before any command is decided. The claims
    /// are looked at once more, for while it was waited for or looked for, another program may have
    /// claimed it.
    async fn adopt(&self, current: Current) -> Result<(), RecoveryError> {
        self.catch_up_with_claims().await?;
        let mut starts = current.fences.clone();
        for (partition, next) in self.gate.tail_starts(&current).await? {
            if let Some(start) = starts.get_mut(&partition) {
                *start = (*start).max(next);
            }
        }
        self.read_back.start_tail(current.epoch, &starts);
        *self.adopted.lock() = Some(current.epoch);
        self.say(EpochState::Open(Arc::new(OpenEpoch::new(current))));
        Ok(())
    }

    fn say(&self, state: EpochState) {
        self.state.send_replace(state);
    }

    async fn append(&self, entry: EpochEntry) -> Result<(), RecoveryError> {
        let entry = Entry {
            partition: Partition::EPOCHS,
            key: "epochs".to_owned(),
            payload: Some(entry.encode().into()),
            id: RecordId(self.ids.next()),
        };
        append_until_known(&*self.log, entry).await?;
        Ok(())
    }
}

/// Looks for an epoch, keeps it, and looks again when it is closed or overtaken.
async fn run(keeper: std::sync::Weak<Keeper>, mut wanted: mpsc::Receiver<Wanted>) {
    loop {
        let Some(keeper) = keeper.upgrade() else {
            return;
        };
        let found = match keeper.find().await {
            Ok(current) => keeper.adopt(current).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(()) => wait_until_over(&keeper, &mut wanted).await,
            Err(error) => {
                tracing::warn!(%error, "no epoch is open; trying again");
                keeper.say(match error {
                    RecoveryError::Unfit(why) => EpochState::Unfit(why),
                    error => EpochState::Unready(error.to_string()),
                });
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// Returns when the open epoch was reported closed, a higher fence was seen, or a change of it is
/// prepared.
async fn wait_until_over(keeper: &Arc<Keeper>, wanted: &mut mpsc::Receiver<Wanted>) {
    let mut highest = keeper.read_back.highest_fence();
    let epoch = match &*keeper.state.borrow() {
        EpochState::Open(epoch) => Arc::clone(epoch),
        _ => return,
    };
    let open = epoch.number();
    let idle = Duration::from_secs(1);
    let mut idled = 0;
    let mut prepared = std::pin::pin!(prepared(keeper, wanted));
    loop {
        keeper.look_at(&epoch).await;
        if u32::is_power_of_two(idled) {
            keeper.say_open(&epoch).await;
        }
        tokio::select! {
            biased;
            // What is being prepared is given up where a recovery is due. A late report of an epoch
            // before this one is no reason.
            () = keeper.look.notified() => {
                let closed = keeper.closed.lock().as_ref().map(|(epoch, _)| *epoch);
                if closed >= Some(open) {
                    return;
                }
            }
            overtaken = highest.wait_for(|highest| *highest > open) => {
                if overtaken.is_ok() {
                    let why = "a newer epoch has begun";
                    keeper.say(EpochState::Unready(why.to_owned()));
                }
                return;
            }
            planned = &mut prepared => {
                *keeper.planned.lock() = Some(planned);
                return;
            }
            // Lets the task end when the node is dropped.
            () = tokio::time::sleep(idle) => {
                if Arc::strong_count(keeper) <= 1 {
                    return;
                }
                idled += 1;
            }
        }
    }
}
