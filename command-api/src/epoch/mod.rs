//! Epochs: one incarnation of the gate's data each, opened by claim, fences, rebuild, publish.
//!
//! [`keeper`] holds the node's epoch and decides when a recovery is due; [`recovery`] carries one
//! out; [`fold`] turns the log into the gate's data, [`snapshot`] keeps what it was on the way;
//! [`history`] follows the topic of claims.
//!
//! `planned` changes an epoch that is open, `snapshots` makes snapshots, `reading` reads the log
//! into a fold.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::sku::Sku;
use parking_lot::Mutex;

pub use self::planned::Changed;
use crate::gate::{Current, ItemValue};

pub mod fold;
pub mod history;
pub mod keeper;
mod planned;
mod reading;
pub mod recovery;
pub mod snapshot;
mod snapshots;

/// The epoch in which commands are decided now, with what the node has learned in it.
#[derive(Debug)]
pub struct OpenEpoch {
    current: Current,
    generation: AtomicU64,
    /// Settled terms. Step 2 compares their version, so a stale one is safe.
    terms: Mutex<HashMap<Sku, Arc<ItemValue>>>,
}

impl OpenEpoch {
    /// An epoch that was read from the gate's pointer.
    pub fn new(current: Current) -> Self {
        let generation = AtomicU64::new(current.generation);
        Self {
            current,
            generation,
            terms: Mutex::default(),
        }
    }

    /// What gate calls need.
    pub fn current(&self) -> &Current {
        &self.current
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.current.epoch
    }

    /// The newest generation of refusals that this node heard of.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Every reply of the gate brings the newest generation.
    pub fn heard_of_generation(&self, generation: u64) {
        self.generation.fetch_max(generation, Ordering::Relaxed);
    }

    /// The cached terms of an item.
    pub fn terms(&self, sku: &Sku) -> Option<Arc<ItemValue>> {
        self.terms.lock().get(sku).cloned()
    }

    /// Caches terms that the gate answered; `None`: it does not know the SKU.
    pub fn learn_terms(&self, sku: &Sku, value: Option<ItemValue>) {
        let mut terms = self.terms.lock();
        match value {
            Some(value) => terms.insert(sku.clone(), Arc::new(value)),
            None => terms.remove(sku),
        };
    }
}

/// Whether commands can be decided.
#[derive(Debug, Clone)]
pub enum EpochState {
    /// Yes, in this epoch.
    Open(Arc<OpenEpoch>),
    /// No: the gate is being rebuilt from the log.
    Recovering {
        /// Why it was needed.
        reason: String,
        /// How far it is.
        progress: Progress,
    },
    /// No: this epoch has begun elsewhere, and a sign of its life is waited for. The time for that
    /// doubles with every claim that led to nothing, so it may be long.
    Waiting {
        /// Its number.
        epoch: u64,
    },
    /// Not yet, for this reason.
    Unready(String),
    /// No, and trying again alone does not help: this program, or how it was started, does not
    /// fit the log.
    Unfit(String),
}

/// As an operator is told.
impl fmt::Display for EpochState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(epoch) => write!(f, "epoch {} is open", epoch.number()),
            Self::Recovering { reason, progress } => {
                write!(f, "recovering, {} % ({reason})", progress.percent())
            }
            Self::Waiting { epoch } => write!(f, "epoch {epoch} has begun elsewhere"),
            Self::Unready(why) | Self::Unfit(why) => f.write_str(why),
        }
    }
}

/// How far a recovery is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records folded so far.
    pub folded: u64,
    /// Records to fold.
    pub total: u64,
    /// Pieces of the gate written so far.
    pub written: u64,
    /// Pieces to write, about: they are known when all is folded.
    pub pieces: u64,
}

impl Progress {
    /// In percent. A piece takes about as long to write as a record to fold, so both count.
    pub fn percent(&self) -> u64 {
        let done = 100 * (self.folded + self.written);
        done.checked_div(self.total + self.pieces)
            .unwrap_or(0)
            .min(100)
    }
}
