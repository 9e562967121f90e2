//! The commit path: steps 1–6 of the protocol for one command.
//!
//! [`Committer::commit`] runs them in a task of their own, so that a client that hangs up cannot
//! stop them half-way. What must stay true: a 2xx is answered only after read-back (S2); what
//! could have happened is never called "no" (S5); nothing is released because of a time-out (S4).

use std::sync::Arc;

use bytes::Bytes;
use domain::sku::Sku;
use domain::time::Time;
use event_log::{Entry, EventLog};
use record::{Record, RecordId};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::attempt::{Attempt, with_version};
use crate::batch::{Answered, Batcher, CallFailed, Limits};
use crate::calls::{DecideCall, LoadCall, NoticingGate, SettleCall};
use crate::clock::{Clock, Ids};
use crate::epoch::OpenEpoch;
use crate::epoch::keeper::Keeper;
use crate::gate::{Append, Decide, Gate, ItemValue, Look, Looked, Verdict};
pub use crate::handler::{
    CommitError, Committed, Decided, Handler, Loaded, Needs, Request, Undecided,
};
use crate::planted::{self, Planted::SettledBeforeReadBack};
use crate::read_back::{ReadBack, Sighting, TailHealth, Waiting};
use crate::settings::Settings;
pub(crate) use crate::settle::Settling;
use crate::turns::Turns;

/// How often a command is decided again because something changed under it.
const TRIES: usize = 4;

/// Commits commands. Shared by all requests of a node.
pub struct Committer {
    pub(crate) gate: NoticingGate,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) read_back: Arc<ReadBack>,
    pub(crate) settings: Settings,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    loads: Batcher<LoadCall>,
    decides: Batcher<DecideCall>,
    pub(crate) settles: Batcher<SettleCall>,
    in_flight: Arc<Semaphore>,
    turns: Turns,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Committer").finish_non_exhaustive()
    }
}

impl Committer {
    /// A committer; needs a tokio runtime.
    pub fn new(
        gate: Arc<dyn Gate>,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        settings: Settings,
    ) -> Arc<Self> {
        let read_back = ReadBack::new(Arc::clone(&log), settings.append_retry);
        let keeper = Keeper::start(
            Arc::clone(&gate),
            Arc::clone(&log),
            (Arc::clone(&ids), Arc::clone(&clock)),
            settings.clone(),
            Arc::clone(&read_back),
        );
        let limits = Limits {
            questions_max: settings.decide_batch_max,
            calls_in_flight: settings.calls_in_flight,
            linger: std::time::Duration::ZERO,
            retry_for: settings.gate_retry,
        };
        // One settle call at a time keeps predecessors before their successors.
        let settle_limits = Limits {
            questions_max: settings.settle_batch_max,
            calls_in_flight: 1,
            linger: settings.settle_linger,
            ..limits
        };
        let gate = NoticingGate::new(gate, Arc::clone(&keeper));
        let settle = SettleCall {
            gate: gate.clone(),
            read_back: Arc::clone(&read_back),
        };
        Arc::new(Self {
            loads: Batcher::start(LoadCall(gate.clone()), limits),
            decides: Batcher::start(DecideCall(gate.clone()), limits),
            settles: Batcher::start(settle, settle_limits),
            in_flight: Arc::new(Semaphore::new(settings.in_flight_max)),
            turns: Turns::default(),
            gate,
            log,
            keeper,
            read_back,
            settings,
            clock,
            ids,
        })
    }

    /// The keeper of this node's epoch.
    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// How the node's tail of the log fares: a word on it, or why commands cannot be answered.
    ///
    /// # Errors
    /// Why not.
    pub fn tail_health(&self) -> Result<String, String> {
        match &*self.read_back.health().borrow() {
            TailHealth::Reading => Ok("reading".to_owned()),
            TailHealth::NotStarted => Err("not started yet".to_owned()),
            TailHealth::Interrupted(why) => Err(format!("interrupted: {why}")),
            TailHealth::Broken(why) => Err(format!("broken: {why}")),
        }
    }

    /// The time that commands are decided at.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// The clock that commands are decided by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// A new id.
    pub fn new_id(&self) -> uuid::Uuid {
        self.ids.next()
    }

    /// Commits one command. Dropping the future does not stop what has begun.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(
        self: &Arc<Self>,
        request: Request,
        handler: impl Handler,
    ) -> Result<Committed, CommitError> {
        let permit = Arc::clone(&self.in_flight)
            .try_acquire_owned()
            .map_err(|_| CommitError::Busy)?;
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let result = this.run(request, &handler).await;
            drop(permit);
            result
        });
        match timeout(self.settings.outcome_deadline, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(CommitError::OutcomeUnknown(
                "the command's task ended".to_owned(),
            )),
            Err(_) => Err(CommitError::OutcomeUnknown(
                "the log has not answered yet".to_owned(),
            )),
        }
    }

    /// Waits until no command is under way, at most until the deadline of the caller.
    pub async fn drain(&self) {
        let all = u32::try_from(self.settings.in_flight_max).unwrap_or(u32::MAX);
        drop(self.in_flight.acquire_many(all).await);
    }

    async fn run(&self, request: Request, handler: &dyn Handler) -> Result<Committed, CommitError> {
        // With records missing from the log nothing can be read back: begin nothing.
        if let TailHealth::Broken(why) = &*self.read_back.health().borrow() {
            return Err(CommitError::Unavailable(why.clone()));
        }
        let entered = self.keeper.enter().await;
        let (epoch, generation) = entered.map_err(CommitError::Unavailable)?;
        let attempt = Attempt {
            epoch: &epoch,
            generation,
            record: RecordId(self.ids.next()),
            request: &request,
        };
        let mut may_have_run = false;
        match self.attempt(&attempt, handler, &mut may_have_run).await {
            Err(CommitError::Unavailable(why)) if may_have_run => {
                Err(CommitError::OutcomeUnknown(why))
            }
            // Found in a later round, they too say of the whole command that it changed nothing.
            Err(error @ (CommitError::Busy | CommitError::TooLarge)) if may_have_run => {
                Err(CommitError::OutcomeUnknown(error.to_string()))
            }
            result => result,
        }
    }

    /// Steps 1 and 2, as often as what was loaded has changed, and what follows from the verdict.
    /// `may_have_run` says whether an earlier call that nobody answered may still be decided.
    async fn attempt(
        &self,
        attempt: &Attempt<'_>,
        handler: &dyn Handler,
        may_have_run: &mut bool,
    ) -> Result<Committed, CommitError> {
        let epoch = attempt.epoch;
        let mut turn = match handler.needs() {
            Needs::State => Some(self.turns.take(handler.aggregate()).await),
            Needs::Fresh | Needs::NextVersion => None,
        };
        for _ in 0..TRIES {
            // 1. Load, and let the domain decide.
            let loaded = self.load(epoch, handler).await?;
            let decided = match handler.decide(&loaded, self.clock.now()) {
                Ok(decided) => Ok(decided),
                Err(Undecided::Refused(refusal)) => Err(refusal),
                Err(Undecided::Damaged(why)) => {
                    self.keeper.report_damaged(epoch.number(), &why);
                    return Err(CommitError::Unavailable(why));
                }
            };
            let (command, append) =
                attempt.prepare(&*self.log, handler, &loaded, decided, self.clock.now())?;
            // 2. Decide in the gate; the waiter is registered before.
            let waiter = match &append {
                None => None,
                Some(append) => Some(self.register(attempt, append)?),
            };
            failpoint::reached!("commit.prepared");
            let answered = self.ask_gate(attempt, command, append.as_ref()).await;
            let verdict = answered.as_ref().map(|answered| &answered.answer);
            if let (Some(append), true) =
                (&append, !matches!(verdict, Ok(Verdict::Accepted { .. })))
            {
                self.read_back.forget(attempt.record, append.partition);
            }
            let answered = answered?;
            match answered.answer {
                Verdict::Accepted {
                    version,
                    predecessor,
                    ..
                } => {
                    drop(turn.take());
                    let (Some(append), Some(waiter)) = (append, waiter) else {
                        let why = "the gate accepted a refusal".to_owned();
                        return Err(CommitError::OutcomeUnknown(why));
                    };
                    // What was accepted may be what an earlier, late call said. Then completion appends
                    // that, as the gate has it.
                    let payload = with_version(&append, version);
                    let id = attempt.record;
                    if *may_have_run && !self.is_decided_as(epoch, id, &payload).await {
                        self.read_back.forget(id, append.partition);
                        let why = "an earlier call of this command was late".to_owned();
                        return Err(CommitError::OutcomeUnknown(why));
                    }
                    return self
                        .append_and_settle(attempt, (append, payload), predecessor, waiter)
                        .await;
                }
                Verdict::Replayed {
                    record, position, ..
                } => {
                    drop(turn.take());
                    // Where it was settled a moment ago, the gate names its place by now.
                    let replayed = self.replay(epoch, record, position).await?;
                    if let Some(replayed) = replayed {
                        return Ok(replayed);
                    }
                }
                Verdict::Refused {
                    refusal,
                    replayed,
                    rests_on,
                } => {
                    if let Some(record) = rests_on {
                        self.complete(epoch, record, Settling::Queued).await?;
                    }
                    return Err(CommitError::Refused { refusal, replayed });
                }
                Verdict::KeyReused => return Err(CommitError::KeyReused),
                Verdict::GenerationOver => {
                    let why = "the request was held up for too long; send it again".to_owned();
                    return Err(CommitError::Unavailable(why));
                }
                Verdict::VersionChanged => {}
                Verdict::TermsChanged(terms) => {
                    for (sku, value) in terms {
                        epoch.learn_terms(&sku, value);
                    }
                }
                Verdict::ItemPending { record, .. } => {
                    self.complete(epoch, record, Settling::Awaited).await?;
                }
            }
            *may_have_run |= answered.may_have_run && append.is_some();
        }
        Err(CommitError::Unavailable(
            "what the command rests on kept changing".to_owned(),
        ))
    }

    /// Step 1: loads the aggregate and the terms of the items that are named.
    async fn load(
        &self,
        epoch: &Arc<OpenEpoch>,
        handler: &dyn Handler,
    ) -> Result<Loaded, CommitError> {
        let mut loaded = Loaded::default();
        if handler.needs() == Needs::State {
            let look = Look::Aggregate(handler.aggregate());
            if let Looked::Aggregate(aggregate) = self.look(epoch, look).await? {
                loaded.aggregate = Some(aggregate);
            }
        }
        for sku in handler.skus() {
            let known = match epoch.terms(&sku) {
                Some(known) => Some(known),
                None => self.look_up_item(epoch, &sku).await?,
            };
            if let Some(value) = known {
                loaded.items.insert(sku, value);
            }
        }
        Ok(loaded)
    }

    async fn look_up_item(
        &self,
        epoch: &Arc<OpenEpoch>,
        sku: &Sku,
    ) -> Result<Option<Arc<ItemValue>>, CommitError> {
        for _ in 0..TRIES {
            match self.look(epoch, Look::Item(sku.clone())).await? {
                Looked::Item(value) => {
                    epoch.learn_terms(sku, Some(value));
                    return Ok(epoch.terms(sku));
                }
                Looked::ItemPending(record) => {
                    self.complete(epoch, record, Settling::Awaited).await?;
                }
                Looked::Nothing | Looked::Aggregate(_) => return Ok(None),
            }
        }
        Err(CommitError::Unavailable(format!(
            "the item {sku} is just being created"
        )))
    }

    /// Asks the gate one question of step 1.
    ///
    /// # Errors
    /// [`CommitError::Unavailable`]: a look changes nothing.
    pub async fn look(&self, epoch: &Arc<OpenEpoch>, look: Look) -> Result<Looked, CommitError> {
        match self.loads.ask(epoch, look).await {
            Ok(answered) => Ok(answered.answer),
            Err(failed) => Err(CommitError::Unavailable(failed.error.to_string())),
        }
    }

    /// Waits for the record before anybody decides it. A partition that is without a leader must not
    /// keep this node from serving the others.
    fn register(
        &self,
        attempt: &Attempt<'_>,
        append: &Append,
    ) -> Result<oneshot::Receiver<Sighting>, CommitError> {
        let epoch = attempt.epoch.number();
        let of_topic = self.log.layout().count(append.partition.topic);
        let share_max = self.settings.in_flight_max * 3 / 4;
        if of_topic > 1 && self.read_back.awaited_in(append.partition) >= share_max {
            return Err(CommitError::Busy);
        }
        self.read_back
            .wait_for(attempt.record, append.partition, epoch, Waiting::Own)
            .map_err(CommitError::Unavailable)
    }

    async fn ask_gate(
        &self,
        attempt: &Attempt<'_>,
        command: Decide,
        append: Option<&Append>,
    ) -> Result<Answered<Verdict>, CommitError> {
        let CallFailed {
            error,
            may_have_run,
        } = match self.decides.ask(attempt.epoch, command).await {
            // Where an earlier call may have run, its result may be forgotten by now.
            Ok(Answered {
                answer: Verdict::GenerationOver,
                may_have_run: true,
            }) => {
                let why = "the request was held up for too long".to_owned();
                return Err(CommitError::OutcomeUnknown(why));
            }
            Ok(answered) => return Ok(answered),
            Err(failed) => failed,
        };
        if may_have_run && append.is_some() {
            return Err(CommitError::OutcomeUnknown(error.to_string()));
        }
        Err(CommitError::Unavailable(error.to_string()))
    }

    /// Steps 3–6 for a record that the gate accepted.
    async fn append_and_settle(
        &self,
        attempt: &Attempt<'_>,
        (append, payload): (Append, Bytes),
        predecessor: Option<RecordId>,
        waiter: oneshot::Receiver<Sighting>,
    ) -> Result<Committed, CommitError> {
        failpoint::reached!("commit.decided");
        let record = Record::decode(&payload).map_err(|error| {
            self.read_back.forget(attempt.record, append.partition);
            CommitError::OutcomeUnknown(format!("the record cannot be read: {error}"))
        })?;
        // 3. Predecessors stand in the log before this record.
        if let Some(predecessor) = predecessor
            && let Err(error) = self
                .complete(attempt.epoch, predecessor, Settling::Queued)
                .await
        {
            self.read_back.forget(attempt.record, append.partition);
            return Err(CommitError::OutcomeUnknown(error.to_string()));
        }
        // 4. Append.
        self.read_back.append(Entry {
            partition: append.partition,
            key: record.envelope.aggregate_id.clone(),
            payload: Some(payload),
            id: attempt.record,
        });
        if planted::is(SettledBeforeReadBack) {
            planted::settle_unseen(self, attempt.epoch, &record, vec![]);
        }
        // 5. Read back.
        let position = match waiter.await {
            Ok(Sighting::Valid(position)) => position,
            Ok(Sighting::Void) => {
                let why = "a newer epoch began before the record was in the log".to_owned();
                return Err(CommitError::Unavailable(why));
            }
            Ok(sighting) => return Err(self.not_seen(attempt.epoch, sighting)),
            Err(_) => {
                return Err(CommitError::OutcomeUnknown(
                    "the node is stopping".to_owned(),
                ));
            }
        };
        failpoint::reached!("commit.read-back");
        // 6. Settle.
        self.settle(attempt.epoch, &record, position, Settling::IfOthersWait)
            .await;
        Ok(Committed {
            record,
            position,
            replayed: false,
            snapshot: append.snapshot,
        })
    }

    pub(crate) fn not_seen(&self, epoch: &Arc<OpenEpoch>, sighting: Sighting) -> CommitError {
        match sighting {
            Sighting::Refused(why) => {
                // The record can never be in the log; only the next epoch drops it.
                tracing::error!(why, "the log refuses a record for good");
                self.keeper
                    .report_damaged(epoch.number(), &format!("the log refuses a record: {why}"));
                CommitError::OutcomeUnknown(why)
            }
            Sighting::Unknown(why) => CommitError::OutcomeUnknown(why),
            Sighting::Valid(_) | Sighting::Void => {
                CommitError::OutcomeUnknown("a newer epoch has begun".to_owned())
            }
        }
    }
}
