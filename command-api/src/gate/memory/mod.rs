//! The gate of one process: the embedded server's, and the model that Redis is compared with.
//!
//! It lives under one mutex, so that a call is one atomic step as a script is. It shares nothing
//! with [`super::redis`] but the trait's types: a rule that both got wrong in the same way would
//! pass the suite that compares them ([`super::conformance`]).
//!
//! What must stay true: a call of another epoch than the published one finds it closed, also
//! while the next one is being rebuilt, exactly as a deleted marker closes an epoch in Redis.

mod decide;
mod epoch_data;
mod generations;
mod load;
mod settle;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use record::{Partition, Position, RecordId};

pub use self::epoch_data::EpochData;
use super::{
    Current, Decide, Gate, GateError, Look, Looked, Pending, Rebuild, Rebuilt, Reply, Settle,
    Settled, Verdict,
};

/// A gate in this process's memory. It never times out and never refuses to run.
pub struct MemoryGate {
    shared: Arc<Shared>,
}

struct Shared {
    entries_per_generation: u64,
    epochs: Mutex<Epochs>,
}

/// What Redis keeps in its current pointer, its markers and its epochs' hashes.
#[derive(Default)]
struct Epochs {
    published: Option<(Current, EpochData)>,
    markers: BTreeSet<u64>,
}

impl Epochs {
    fn check_not_behind(&self, epoch: u64) -> Result<(), GateError> {
        match &self.published {
            Some((current, _)) if current.epoch >= epoch => Err(GateError::Closed(format!(
                "epoch {} is current",
                current.epoch
            ))),
            _ => Ok(()),
        }
    }
}

impl MemoryGate {
    /// An empty gate whose generations of refusals have this many entries.
    pub fn new(entries_per_generation: u64) -> Self {
        let epochs = Mutex::new(Epochs::default());
        Self {
            shared: Arc::new(Shared {
                entries_per_generation,
                epochs,
            }),
        }
    }

    /// Runs one call on the state of the epoch that it names, if that epoch is open.
    fn in_epoch<T>(
        &self,
        current: &Current,
        call: impl FnOnce(&mut EpochData) -> Result<T, GateError>,
    ) -> Result<T, GateError> {
        let mut epochs = self.shared.epochs.lock();
        let marked = epochs.markers.contains(&current.epoch);
        match &mut epochs.published {
            Some((published, data)) if marked && published.epoch == current.epoch => call(data),
            _ => Err(GateError::Closed(format!(
                "epoch {} is not the current one",
                current.epoch
            ))),
        }
    }
}

#[async_trait]
impl Gate for MemoryGate {
    async fn probe(&self) -> Result<(), GateError> {
        Ok(())
    }

    async fn current(&self) -> Result<Option<Current>, GateError> {
        let epochs = self.shared.epochs.lock();
        Ok(epochs.published.as_ref().map(|(current, data)| Current {
            generation: data.generation(),
            ..current.clone()
        }))
    }

    async fn load(&self, current: &Current, looks: &[Look]) -> Result<Reply<Looked>, GateError> {
        self.in_epoch(current, |data| data.load(looks))
    }

    async fn decide(
        &self,
        current: &Current,
        commands: &[Decide],
    ) -> Result<Reply<Verdict>, GateError> {
        self.in_epoch(current, |data| data.decide(commands))
    }

    async fn settle(
        &self,
        current: &Current,
        records: &[Settle],
        tails: &[Position],
    ) -> Result<Reply<Settled>, GateError> {
        self.in_epoch(current, |data| data.settle(records, tails))
    }

    async fn pending(
        &self,
        current: &Current,
        of: Option<&[RecordId]>,
    ) -> Result<Vec<Pending>, GateError> {
        self.in_epoch(current, |data| Ok(data.pending(of)))
    }

    async fn tail_starts(&self, current: &Current) -> Result<BTreeMap<Partition, u64>, GateError> {
        self.in_epoch(current, |data| Ok(data.tail_starts()))
    }

    async fn begin_rebuild(&self, epoch: u64) -> Result<Box<dyn Rebuild>, GateError> {
        let mut epochs = self.shared.epochs.lock();
        epochs.check_not_behind(epoch)?;
        epochs.markers.retain(|marked| *marked > epoch);
        epochs.markers.insert(epoch);
        let empty = EpochData::new(self.shared.entries_per_generation);
        if let Some((published, data)) = &mut epochs.published
            && published.epoch < epoch
        {
            *data = empty.clone();
        }
        Ok(Box::new(MemoryRebuild {
            shared: Arc::clone(&self.shared),
            epoch,
            data: empty,
        }))
    }
}

impl fmt::Debug for MemoryGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = self
            .shared
            .epochs
            .lock()
            .published
            .as_ref()
            .map(|(current, _)| current.epoch);
        f.debug_struct("MemoryGate")
            .field("epoch", &epoch)
            .finish_non_exhaustive()
    }
}

struct MemoryRebuild {
    shared: Arc<Shared>,
    epoch: u64,
    data: EpochData,
}

#[async_trait]
impl Rebuild for MemoryRebuild {
    async fn write(&mut self, pieces: Vec<Rebuilt>) -> Result<(), GateError> {
        for piece in pieces {
            self.data.take_in(piece);
        }
        Ok(())
    }

    async fn publish(
        self: Box<Self>,
        fences: BTreeMap<Partition, u64>,
    ) -> Result<Current, GateError> {
        let mut epochs = self.shared.epochs.lock();
        epochs.check_not_behind(self.epoch)?;
        if !epochs.markers.contains(&self.epoch) {
            let why = format!("a higher rebuild deleted epoch {}", self.epoch);
            return Err(GateError::Closed(why));
        }
        let current = Current {
            epoch: self.epoch,
            scripts: BTreeMap::new(),
            fences,
            generation: self.data.generation(),
        };
        epochs.published = Some((current.clone(), self.data));
        Ok(current)
    }
}
