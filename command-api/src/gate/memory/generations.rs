//! Refusals, and commands without a key, remembered for two generations.
//!
//! A storm of refusals must not fill the gate, so they stand in generations of a stated number of
//! entries. Two are kept: a command is decided only if it began in one of them, and whatever
//! could contradict it was written since it began (PROTOCOL.md, "Keys").

use std::collections::HashMap;

use record::RecordId;

use crate::gate::Refusal;

/// What a command is remembered by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Key(String),
    Record(RecordId),
}

#[derive(Debug, Clone)]
pub(super) struct Remembered {
    /// Empty for a command without a key.
    pub(super) fingerprint: String,
    pub(super) record: RecordId,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// A command without a key; one with a key stands among the keys.
    Accepted { version: u64 },
    Refused {
        refusal: Refusal,
        rests_on: Option<RecordId>,
    },
}

#[derive(Clone, Default)]
pub(super) struct Generations {
    newest: HashMap<Name, Remembered>,
    previous: HashMap<Name, Remembered>,
    generation: u64,
}

impl Generations {
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether a command that began in this generation may have missed a refusal.
    pub(super) fn is_over(&self, began_in: u64) -> bool {
        began_in + 2 <= self.generation
    }

    pub(super) fn remember(&mut self, name: Name, entry: Remembered) {
        self.newest.insert(name, entry);
    }

    /// What is found again is written again into the newest generation.
    pub(super) fn find(&mut self, name: &Name) -> Option<Remembered> {
        if let Some(entry) = self.newest.get(name) {
            return Some(entry.clone());
        }
        let entry = self.previous.get(name)?.clone();
        self.newest.insert(name.clone(), entry.clone());
        Some(entry)
    }

    /// Asked once a call, after its last command.
    pub(super) fn begin_next_when_full(&mut self, entries: u64) {
        if self.newest.len() as u64 >= entries {
            self.generation += 1;
            self.previous = std::mem::take(&mut self.newest);
        }
    }
}
