//! A command on its way: who asks, what it needs, what the domain decided, how it ended.

use std::collections::HashMap;
use std::sync::Arc;

use domain::sku::Sku;
use domain::time::Time;
use record::{Events, Position, Record};

use crate::gate::{AggregateKey, Claim, ItemValue, LoadedAggregate, Refusal};

/// Who asks, and with which key.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who.
    pub actor: record::Actor,
    /// The idempotency key, hashed, with the request's fingerprint.
    pub key: Option<record::RecordedKey>,
    /// The request's id.
    pub correlation_id: uuid::Uuid,
    /// The W3C trace context.
    pub traceparent: Option<String>,
}

/// What a command needs to know of its aggregate before it is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the aggregate is new, its id was just made.
    Fresh,
    /// Its state.
    State,
    /// Nothing: the command is true of every state; the gate gives it the next version.
    NextVersion,
}

/// What the gate knows when a command is decided.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The aggregate; `None`: there is none, or it was not asked for.
    pub aggregate: Option<LoadedAggregate>,
    /// The settled terms of the items that the command names; absent: unknown.
    pub items: HashMap<Sku, Arc<ItemValue>>,
}

/// What the domain decided.
#[derive(Debug)]
pub struct Decided {
    /// The events; empty: the command changes nothing.
    pub events: Events,
    /// The aggregate's snapshot after them; `None` only with [`Needs::NextVersion`].
    pub snapshot: Option<String>,
    /// Claims to take.
    pub claims: Vec<Claim>,
    /// Compare-and-set of stock: what must be available.
    pub available: Option<i64>,
    /// A discontinued item's terms.
    pub discontinued: Option<domain::inventory::Terms>,
}

/// A command that can be decided: the bridge between a request and the pure domain.
pub trait Handler: Send + Sync + 'static {
    /// What the record will be about.
    fn aggregate(&self) -> AggregateKey;

    /// What must be loaded of it.
    fn needs(&self) -> Needs;

    /// The items whose terms the decision rests on.
    fn skus(&self) -> Vec<Sku> {
        vec![]
    }

    /// Decides, purely. May be called again with newer facts.
    ///
    /// # Errors
    /// A refusal by a rule, or that what was loaded cannot be read.
    fn decide(&self, loaded: &Loaded, now: Time) -> Result<Decided, Undecided>;
}

/// Why a command is not to be asked of the gate as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undecided {
    /// A rule refuses it. The gate remembers that, as everything that it answers.
    Refused(Refusal),
    /// What the gate has of an aggregate cannot be read: its data is damaged, and nothing that
    /// rests on it may be answered. One sentence.
    Damaged(String),
}

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A command that took effect.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its record.
    pub record: Record,
    /// Where it stands.
    pub position: Position,
    /// Whether this is the answer to an earlier attempt of the same key.
    pub replayed: bool,
    /// The aggregate's snapshot after it, where this attempt made it.
    pub snapshot: Option<String>,
}

/// Why a command has no 2xx.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A rule refuses.
    #[error("refused: {refusal:?}")]
    Refused {
        /// Which.
        refusal: Refusal,
        /// Whether an earlier attempt of the key was refused.
        replayed: bool,
    },
    /// The key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The record is larger than the log takes.
    #[error("the command is too large for one record")]
    TooLarge,
    /// Too many commands are under way; this one was not begun.
    #[error("too many commands are under way")]
    Busy,
    /// This request changed nothing.
    #[error("not possible now: {0}")]
    Unavailable(String),
    /// Nobody here knows; a retry with the same key has at most one effect.
    #[error("the outcome is not known: {0}")]
    OutcomeUnknown(String),
}
