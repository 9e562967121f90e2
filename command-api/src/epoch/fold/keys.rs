//! Idempotency keys in a fold.
//!
//! A key counts as long as its record is not older than the retention, counted from the newest
//! record. Of several records of one key that count, the one of the highest epoch does. Both are
//! the same whatever order partitions are read in, and whether a snapshot was taken on the way:
//! the newest time only grows, so what is past stays past.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use record::{Partition, Position, RecordId};
use serde::{Deserialize, Serialize};

use super::compact::Compact;

/// What a key led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoldedKey {
    pub(crate) fingerprint: Compact,
    pub(crate) record: RecordId,
    pub(crate) aggregate_id: Compact,
    pub(crate) partition: Partition,
    pub(crate) offset: u64,
    pub(crate) epoch: u64,
    /// In microseconds.
    pub(crate) time: i64,
}

impl FoldedKey {
    pub(crate) fn position(&self) -> Position {
        Position {
            partition: self.partition,
            offset: self.offset,
        }
    }

    /// Of records that count, the one of the highest rank does. Two of one epoch cannot be; they
    /// have a rank so that nothing hangs on the order in which partitions are read.
    fn rank(&self) -> (u64, Partition, u64) {
        (self.epoch, self.partition, self.offset)
    }

    /// Whether it counts wherever the other one does.
    fn outlives(&self, other: &Self) -> bool {
        self.rank() >= other.rank() && self.time >= other.time
    }
}

/// Keys and what they led to.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    by_key: HashMap<Compact, FoldedKey>,
    /// Further records of a key where neither counts wherever the other one does: a key that was
    /// used again when it was forgotten, by a clock that had gone back. Next to none.
    rivals: Vec<(Compact, FoldedKey)>,
}

impl Keys {
    pub(crate) fn insert(&mut self, key: Compact, folded: FoldedKey) {
        match self.by_key.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(folded);
            }
            Entry::Occupied(mut known) => {
                if folded.outlives(known.get()) {
                    known.insert(folded);
                } else if !known.get().outlives(&folded) {
                    self.rivals.push((known.key().clone(), folded));
                }
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.by_key.reserve(other.by_key.len());
        for (key, folded) in other.into_entries() {
            self.insert(key, folded);
        }
    }

    /// Lets go of what is older.
    pub(crate) fn sweep(&mut self, oldest: i64) {
        self.by_key.retain(|_, folded| folded.time >= oldest);
        self.rivals.retain(|(_, folded)| folded.time >= oldest);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// All of them, several of one key where there are.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&Compact, &FoldedKey)> {
        let rivals = self.rivals.iter().map(|(key, folded)| (key, folded));
        self.by_key.iter().chain(rivals)
    }

    fn into_entries(self) -> impl Iterator<Item = (Compact, FoldedKey)> {
        self.by_key.into_iter().chain(self.rivals)
    }

    /// One of each key: what counts, counted from `oldest`.
    pub(crate) fn counting(mut self, oldest: i64) -> impl Iterator<Item = (Compact, FoldedKey)> {
        self.sweep(oldest);
        for (key, folded) in std::mem::take(&mut self.rivals) {
            let known = self.by_key.entry(key).or_insert_with(|| folded.clone());
            if folded.rank() > known.rank() {
                *known = folded;
            }
        }
        self.by_key.into_iter()
    }
}
