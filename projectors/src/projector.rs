//! One projector: some partitions of the log, read by one tail, step by step into the rows.
//!
//! Steppable, so that a test drains instead of sleeping: [`Projector::step`] takes in what comes
//! next of one partition, or says that there is nothing. After any error the next step begins
//! anew from the checkpoints in the store; so the lost reply to a `COMMIT`, a fence by another
//! projector and a store restored from an older backup need no cases of their own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use event_log::{Batch, EventLog, LogError, RawRecord, Tail};
use migrations::DatabaseError;
use record::{Partition, Position};
use uuid::Uuid;

use crate::fold::{Judged, Mark, StopReason};
use crate::store::{Advance, ReadModels, StoreError};

/// The most records that one transaction takes in: enough that its fixed costs vanish, few enough
/// that locks are short.
pub const BATCH_RECORDS_MAX: usize = 1_000;
/// How many records wait here at most before the tail is left to wait itself.
const WAITING_RECORDS_MAX: usize = 4 * BATCH_RECORDS_MAX;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many records of one partition are in the rows now (or were skipped for good).
    Applied {
        /// How many.
        records: usize,
    },
    /// There was nothing to take in: every partition's checkpoint is at its end.
    CaughtUp,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// A partition must not go on.
    #[error(transparent)]
    Stopped(#[from] StopReason),
    /// The log does not answer, or has lost records.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store does not answer, belongs to another log, or another projector was faster.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows of a partition are not what its records made; rebuilding them helps.
    #[error("the rows of {partition} are damaged: run `holdfast replay`")]
    Damaged {
        /// Whose rows.
        partition: Partition,
        /// What is wrong with them.
        #[source]
        cause: DatabaseError,
    },
}

impl From<DatabaseError> for ProjectorError {
    fn from(error: DatabaseError) -> Self {
        Self::Store(StoreError::Database(error))
    }
}

impl ProjectorError {
    /// The partition that must stand still until somebody has looked; `None` where trying again
    /// may help.
    pub fn stopped_partition(&self) -> Option<Partition> {
        match self {
            Self::Stopped(
                StopReason::Unreadable { position, .. }
                | StopReason::Gap { position, .. }
                | StopReason::Impossible { position, .. },
            ) => Some(position.partition),
            Self::Log(LogError::Shortened { partition, .. }) | Self::Damaged { partition, .. } => {
                Some(*partition)
            }
            Self::Log(_) | Self::Store(_) => None,
        }
    }
}

/// Takes some partitions of the log into the rows.
#[derive(Debug)]
pub struct Projector {
    log: Arc<dyn EventLog>,
    read_models: ReadModels,
    log_id: Uuid,
    partitions: Vec<Partition>,
    /// Where to stop, per partition; `None`: never.
    until: Option<BTreeMap<Partition, u64>>,
    running: Option<Running>,
}

/// What a projector knows between two errors.
#[derive(Debug)]
struct Running {
    tail: Tail,
    /// The tables that the marks are of.
    build: Uuid,
    marks: BTreeMap<Partition, Mark>,
    waiting: BTreeMap<Partition, VecDeque<RawRecord>>,
    /// Partitions of which everything has come before the offset at which to stop.
    passed: BTreeSet<Partition>,
    /// The partition that had its turn last.
    last: Option<Partition>,
}

impl Projector {
    /// A projector of these partitions. `log_id` is the log's ([`crate::source::log_id`]); the
    /// tables must be there.
    pub fn new(
        log: Arc<dyn EventLog>,
        read_models: ReadModels,
        log_id: Uuid,
        partitions: Vec<Partition>,
    ) -> Self {
        Self {
            log,
            read_models,
            log_id,
            partitions,
            until: None,
            running: None,
        }
    }

    /// The same, but it takes in nothing from these offsets on.
    pub(crate) fn until(mut self, ends: BTreeMap<Partition, u64>) -> Self {
        self.until = Some(ends);
        self
    }

    /// Takes in what comes next of one partition. Waits only for records that the log says it has.
    /// Not safe to cancel.
    ///
    /// # Errors
    /// See [`ProjectorError`]. The next step begins anew at the checkpoints.
    pub async fn step(&mut self) -> Result<Progress, ProjectorError> {
        loop {
            if let Some(records) = self.take_in_waiting().await? {
                return Ok(Progress::Applied { records });
            }
            if self.is_caught_up().await? {
                return Ok(Progress::CaughtUp);
            }
            self.receive().await?;
        }
    }

    /// Steps until it has caught up, and says how many records that took.
    ///
    /// # Errors
    /// The first error of a step.
    pub async fn run_until_caught_up(&mut self) -> Result<usize, ProjectorError> {
        let mut total = 0;
        while let Progress::Applied { records } = self.step().await? {
            total += records;
        }
        Ok(total)
    }

    /// Takes in what has come of one partition, and says how many records that were; `None` when
    /// nothing has. Never waits for the log. Not safe to cancel.
    pub(crate) async fn take_in_waiting(&mut self) -> Result<Option<usize>, ProjectorError> {
        let outcome = self.try_take_in_waiting().await;
        if outcome.is_err() {
            self.running = None;
        }
        outcome
    }

    async fn try_take_in_waiting(&mut self) -> Result<Option<usize>, ProjectorError> {
        if self.running.is_none() {
            self.running = Some(self.begin().await?);
        }
        let running = self.running.as_mut().expect("it was begun above");
        running.collect(self.until.as_ref())?;
        match running.next_turn() {
            None => Ok(None),
            Some((partition, records)) => self.take_in(partition, records).await.map(Some),
        }
    }

    /// Waits for records. Safe to cancel.
    pub(crate) async fn receive(&mut self) -> Result<(), ProjectorError> {
        let Some(running) = &mut self.running else {
            return Ok(());
        };
        match running.tail.next().await {
            Ok(batch) => {
                running.put(batch, self.until.as_ref());
                Ok(())
            }
            Err(error) => {
                self.running = None;
                Err(error.into())
            }
        }
    }

    /// Looks whether the store still stands where this projector left it. A replay by another
    /// process or a restored backup may have put other tables in the place of these: a write finds
    /// that out, but where nothing comes there is none, and the rows would stay behind unseen.
    /// Safe to cancel.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] where it does not, and the next step begins anew.
    pub(crate) async fn look_at_checkpoints(&mut self) -> Result<(), ProjectorError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let error = match self.moved(running).await {
            Ok(None) => return Ok(()),
            Ok(Some(partition)) => StoreError::Fenced(partition).into(),
            Err(error) => error.into(),
        };
        self.running = None;
        Err(error)
    }

    /// A partition that stands elsewhere in the store.
    async fn moved(&self, running: &Running) -> Result<Option<Partition>, DatabaseError> {
        let replaced = self.read_models.build().await? != Some(running.build);
        let stored = self.read_models.marks().await?;
        let mut left = running.marks.iter();
        let moved = left.find(|(at, mark)| replaced || stored.get(at) != Some(mark));
        Ok(moved.map(|(partition, _)| *partition))
    }

    /// Leaves a partition alone from now on.
    pub(crate) fn leave(&mut self, partition: Partition) {
        self.partitions.retain(|other| *other != partition);
        self.running = None;
    }

    /// Begins anew with these partitions.
    pub(crate) fn take_up(&mut self, partitions: Vec<Partition>) {
        self.partitions = partitions;
        self.running = None;
    }

    /// The partitions that are not left.
    pub(crate) fn partitions(&self) -> &[Partition] {
        &self.partitions
    }

    /// The marks, as far as known.
    pub(crate) fn marks(&self) -> Option<&BTreeMap<Partition, Mark>> {
        self.running.as_ref().map(|running| &running.marks)
    }

    async fn begin(&self) -> Result<Running, ProjectorError> {
        let build = self
            .read_models
            .adopt(self.log_id, &self.partitions)
            .await?;
        let mut marks = self.read_models.marks().await?;
        marks.retain(|partition, _| self.partitions.contains(partition));
        let from = marks.iter().map(|(partition, mark)| Position {
            partition: *partition,
            offset: mark.next_offset,
        });
        Ok(Running {
            tail: self.log.tail(from.collect()).await?,
            build,
            marks,
            waiting: BTreeMap::new(),
            passed: BTreeSet::new(),
            last: None,
        })
    }

    async fn is_caught_up(&self) -> Result<bool, ProjectorError> {
        let Some(running) = &self.running else {
            return Ok(false);
        };
        for (partition, mark) in &running.marks {
            let end = match &self.until {
                Some(ends) => ends.get(partition).copied().unwrap_or(0),
                None => self.log.extent(*partition).await?.end,
            };
            // The last record before the end may have been compacted away.
            if mark.next_offset < end && !running.passed.contains(partition) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn take_in(
        &mut self,
        partition: Partition,
        records: Vec<RawRecord>,
    ) -> Result<usize, ProjectorError> {
        let running = self.running.as_mut().expect("records came from its tail");
        let from = running.marks.get(&partition).copied().unwrap_or_default();
        let judged = Judged::new(partition, from, &records);
        let known = self
            .read_models
            .known(partition.topic, &judged.aggregate_ids())
            .await
            .map_err(|error| damaged(partition, error.into()))?;
        let folded = judged.fold(from, known);
        if folded.taken == 0
            && let Some(reason) = folded.failure
        {
            return Err(self.stop_or_fenced(partition, from, reason).await);
        }
        let to = folded.mark;
        let advance = Advance {
            partition,
            build: running.build,
            from,
            to,
        };
        let applied = self.read_models.apply(advance, &folded.changes).await;
        applied.map_err(|error| damaged(partition, error))?;
        running.marks.insert(partition, to);
        if folded.failure.is_some() {
            running.put_back(partition, records, folded.taken);
        }
        Ok(folded.taken)
    }

    /// Rows that do not fit the checkpoint that they were loaded for may only mean that somebody
    /// else has moved both.
    async fn stop_or_fenced(
        &self,
        partition: Partition,
        from: Mark,
        reason: StopReason,
    ) -> ProjectorError {
        match self.read_models.marks().await {
            Err(error) => error.into(),
            Ok(marks) if marks.get(&partition) == Some(&from) => reason.into(),
            Ok(_) => StoreError::Fenced(partition).into(),
        }
    }
}

/// What a partition's rows answered: where they are damaged, the other partitions need not wait.
fn damaged(partition: Partition, error: StoreError) -> ProjectorError {
    match error {
        StoreError::Database(cause) if cause.is_of_rows() => {
            ProjectorError::Damaged { partition, cause }
        }
        other => other.into(),
    }
}

impl Running {
    /// Takes from the tail what has come, as far as there is room.
    fn collect(&mut self, until: Option<&BTreeMap<Partition, u64>>) -> Result<(), LogError> {
        let mut waiting: usize = self.waiting.values().map(VecDeque::len).sum();
        while waiting < WAITING_RECORDS_MAX {
            let Some(batch) = self.tail.try_next()? else {
                return Ok(());
            };
            waiting += batch.records.len();
            self.put(batch, until);
        }
        Ok(())
    }

    fn put(&mut self, batch: Batch, until: Option<&BTreeMap<Partition, u64>>) {
        let end = until.map_or(u64::MAX, |ends| {
            ends.get(&batch.partition).copied().unwrap_or(0)
        });
        if batch.records.last().is_some_and(|last| last.offset >= end) {
            self.passed.insert(batch.partition);
        }
        let records = batch.records.into_iter();
        let wanted = records.filter(|record| record.offset < end);
        self.waiting
            .entry(batch.partition)
            .or_default()
            .extend(wanted);
    }

    /// The next records of the partition whose turn it is: they take turns, so that a busy one
    /// does not starve the others.
    fn next_turn(&mut self) -> Option<(Partition, Vec<RawRecord>)> {
        self.waiting.retain(|_, records| !records.is_empty());
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let partition = self
            .waiting
            .range((after, Bound::Unbounded))
            .chain(&self.waiting)
            .map(|(partition, _)| *partition)
            .next()?;
        self.last = Some(partition);
        let records = self.waiting.get_mut(&partition)?;
        let count = records.len().min(BATCH_RECORDS_MAX);
        Some((partition, records.drain(..count).collect()))
    }

    /// Puts the records that were not taken in back in front of those that wait.
    fn put_back(&mut self, partition: Partition, records: Vec<RawRecord>, taken: usize) {
        let waiting = self.waiting.entry(partition).or_default();
        for record in records.into_iter().skip(taken).rev() {
            waiting.push_front(record);
        }
    }
}
