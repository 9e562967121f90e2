//! The data of one epoch and the calls on it, without the question whether the epoch is open: that
//! is the business of whoever holds it (one process' gate here, a simulated server elsewhere).

use std::collections::BTreeMap;
use std::fmt;

use domain::sku::Sku;
use record::{Partition, Position, RecordId};

use super::state::State;
use super::{decide, load, settle};
use crate::gate::{
    Decide, GateError, Look, Looked, Pending, Rebuilt, Reply, Settle, Settled, Verdict,
};

/// Everything that a gate knows in one epoch. A clone is what a replica has of it.
#[derive(Clone)]
pub struct EpochData {
    entries_per_generation: u64,
    state: State,
}

impl fmt::Debug for EpochData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochData")
            .field("pending", &self.state.pending.len())
            .finish_non_exhaustive()
    }
}

impl EpochData {
    /// Nothing yet; generations of refusals will have this many entries.
    pub fn new(entries_per_generation: u64) -> Self {
        Self {
            entries_per_generation,
            state: State::default(),
        }
    }

    /// The newest generation of refusals.
    pub fn generation(&self) -> u64 {
        self.state.remembered.generation()
    }

    /// Takes in a piece of a rebuild.
    pub fn take_in(&mut self, piece: Rebuilt) {
        self.state.take_in(piece);
    }

    /// See [`Gate::load`](crate::gate::Gate::load).
    ///
    /// # Errors
    /// [`GateError::Damaged`].
    pub fn load(&self, looks: &[Look]) -> Result<Reply<Looked>, GateError> {
        let answers = looks.iter().map(|look| load::load(&self.state, look));
        Ok(self.reply(answers.collect::<Result<_, _>>()?))
    }

    /// See [`Gate::decide`](crate::gate::Gate::decide).
    ///
    /// # Errors
    /// [`GateError::Damaged`].
    pub fn decide(&mut self, commands: &[Decide]) -> Result<Reply<Verdict>, GateError> {
        let answers = commands
            .iter()
            .map(|command| decide::decide(&mut self.state, command))
            .collect::<Result<_, _>>()?;
        self.state
            .remembered
            .begin_next_when_full(self.entries_per_generation);
        Ok(self.reply(answers))
    }

    /// See [`Gate::settle`](crate::gate::Gate::settle).
    ///
    /// # Errors
    /// [`GateError::Damaged`].
    pub fn settle(
        &mut self,
        records: &[Settle],
        tails: &[Position],
    ) -> Result<Reply<Settled>, GateError> {
        let answers = records
            .iter()
            .map(|record| settle::settle(&mut self.state, record))
            .collect::<Result<_, _>>()?;
        for tail in tails {
            let start = self.state.tail_starts.entry(tail.partition).or_default();
            *start = tail.offset.max(*start);
        }
        Ok(self.reply(answers))
    }

    /// See [`Gate::pending`](crate::gate::Gate::pending).
    pub fn pending(&self, of: Option<&[RecordId]>) -> Vec<Pending> {
        let pending = &self.state.pending;
        match of {
            None => pending.values().map(|it| it.record.clone()).collect(),
            Some(ids) => ids
                .iter()
                .filter_map(|id| pending.get(id))
                .map(|it| it.record.clone())
                .collect(),
        }
    }

    /// See [`Gate::tail_starts`](crate::gate::Gate::tail_starts).
    pub fn tail_starts(&self) -> BTreeMap<Partition, u64> {
        self.state.tail_starts.clone()
    }

    /// Loses an item's value, as a careless hand could delete it. Whether there was one.
    pub fn lose_item(&mut self, sku: &Sku) -> bool {
        self.state.items.remove(sku).is_some()
    }

    fn reply<T>(&self, answers: Vec<T>) -> Reply<T> {
        Reply {
            answers,
            generation: self.generation(),
        }
    }
}
