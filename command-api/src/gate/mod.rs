//! The gate: the write side's live state of one epoch, where every command is decided.
//!
//! Two implementations keep one contract, checked by one suite ([`conformance`]): [`redis`] for
//! many nodes, [`memory`] for one. A decision is one atomic step; what it wrote lives only as
//! long as its epoch, for the log can always rebuild it (see [`crate::epoch`]).
//!
//! What must stay true (PROTOCOL.md, "The parts" and step 2):
//! - a refused command writes nothing but its refusal; an accepted one writes everything;
//! - what lowers availability is applied when it is decided, what raises it when it is settled;
//! - nothing is ever released because of a time-out;
//! - a missing SKU value means *unknown*, never 0 and never unlimited;
//! - every call checks that this is still the same uninterrupted master with the epoch's marker.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::inventory::Terms;
use domain::sku::Sku;
use record::{AggregateType, Partition, Position, RecordId};
use serde::{Deserialize, Serialize};

pub mod conformance;
pub mod memory;
pub mod redis;

/// How many entries a generation of refusals has, unless a setting says otherwise. A command that
/// is held up for two generations is answered *unavailable*.
pub const ENTRIES_PER_GENERATION: u64 = 50_000;

/// Names an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AggregateKey {
    /// What it is.
    pub kind: AggregateType,
    /// Its id: a UUID, or a SKU.
    pub id: Arc<str>,
}

impl fmt::Display for AggregateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.id)
    }
}

/// What a node needs of the current epoch, taken together from the gate's pointer and used for all
/// steps of a command. A stale copy is safe: its calls find the epoch closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Current {
    /// The epoch's number.
    pub epoch: u64,
    /// What names the epoch's scripts (Redis: their SHA-1 digests by name). Opaque to others.
    pub scripts: BTreeMap<String, String>,
    /// Where the epoch's own fence stands in each partition of record.
    pub fences: BTreeMap<Partition, u64>,
    /// The refusals' generation when this was read; every reply brings the newest.
    pub generation: u64,
}

/// A gate call that gave no verdicts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The call did not run and changed nothing; try later. (`OOM`, `MISCONF`, `LOADING`, `BUSY`,
    /// `NOREPLICAS`, no connection before sending.)
    #[error("the gate does not take commands now: {0}")]
    NotRun(String),
    /// The epoch is over here: `NOSCRIPT`, `READONLY`, another master or no marker. The call did
    /// not run.
    #[error("the epoch is closed: {0}")]
    Closed(String),
    /// No answer came: the call may have run. Send the same call again.
    #[error("the gate did not answer: {0}")]
    Unanswered(String),
    /// The gate's data contradicts itself or cannot be read; the epoch must be rebuilt.
    #[error("the gate's data is damaged: {0}")]
    Damaged(String),
    /// This server cannot be a gate; one sentence that says how to mend it.
    #[error("{0}")]
    Misconfigured(String),
}

/// One question of step 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Look {
    /// An aggregate's version and snapshot.
    Aggregate(AggregateKey),
    /// The user that owns this claim, with its version and snapshot.
    Claimed(String),
    /// A SKU's figures and settled terms.
    Item(Sku),
}

/// What an aggregate is to the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedAggregate {
    /// Its id.
    pub id: Arc<str>,
    /// Its version, with everything decided.
    pub version: u64,
    /// Its snapshot (JSON of the domain's aggregate), with everything decided.
    pub snapshot: String,
    /// The latest record of it that is not known to be in the log.
    pub latest_pending: Option<RecordId>,
}

/// What a SKU is to the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemValue {
    /// Units that can be ordered now.
    pub available: i64,
    /// Units supplied, with everything decided.
    pub supplied: i64,
    /// Version of the item from which the terms are.
    pub terms_version: u64,
    /// The settled terms (the status as decided).
    pub terms: Terms,
}

/// The answer to one [`Look`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Looked {
    /// There is no such aggregate or claim.
    Nothing,
    /// The aggregate.
    Aggregate(LoadedAggregate),
    /// The SKU's value.
    Item(ItemValue),
    /// The SKU has no value yet, but this record of its item is pending: complete it first.
    ItemPending(RecordId),
}

/// Which version an accepted record takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// The command was decided on this version (0: no such aggregate); the record has the next.
    Version(u64),
    /// The command does not depend on the aggregate's state: the script sets the next version in
    /// the record ([`record::envelope::VERSION_AT`]) and writes no snapshot. The aggregate must
    /// exist.
    Next,
}

/// The idempotency key of a command (see [`record::RecordedKey`]).
pub type KeyEntry = record::RecordedKey;

/// A unique claim: its name (`email:<hash>`) and its owner's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed.
    pub name: String,
    /// The id of the aggregate that claims it.
    pub owner: Arc<str>,
}

/// One command of a decide call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decide {
    /// The attempt's record id.
    pub record: RecordId,
    /// What the record is about.
    pub aggregate: AggregateKey,
    /// The idempotency key, if one was given.
    pub key: Option<KeyEntry>,
    /// The generation with which the command began.
    pub generation: u64,
    /// Terms versions that the decision rests on (0: the SKU is unknown).
    pub terms: Vec<(Sku, u64)>,
    /// What is asked for.
    pub intent: Intent,
}

/// What a [`Decide`] asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Intent {
    /// The domain refused: check that what it rests on still holds, and remember it under the key.
    Refuse(Refusal),
    /// Append this record.
    Append(Box<Append>),
}

/// An accepted command, as far as the domain is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Which version it takes.
    pub expected: Expected,
    /// Where the record goes.
    pub partition: Partition,
    /// The encoded record.
    pub payload: Bytes,
    /// The aggregate's snapshot after the record; `None` with [`Expected::Next`].
    pub snapshot: Option<String>,
    /// Claims to take.
    pub claims: Vec<Claim>,
    /// Units to take from availability now, one entry per SKU, each > 0.
    pub takes: Vec<(Sku, i64)>,
    /// Change of `supplied` of the item (the aggregate), with everything decided. Positive: the
    /// script refuses beyond [`domain::quantity::SUPPLIED_MAX`] ([`Refusal::StockLimit`]).
    pub supply: i64,
    /// Compare-and-set: refuse unless the item's `available` is exactly this
    /// ([`Refusal::StockChanged`]).
    pub available: Option<i64>,
    /// A discontinuation: terms and their version, written when decided.
    pub discontinued: Option<(u64, Terms)>,
}

/// A refusal that depends on state, as it is answered and remembered under its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is no such thing. (404)
    NotFound,
    /// More was asked for than is available. (409)
    OutOfStock {
        /// The SKU that is short.
        sku: Sku,
        /// Units asked for, summed.
        requested: i64,
        /// Units available.
        available: i64,
    },
    /// The item takes no more orders. (409)
    Discontinued {
        /// The SKU.
        sku: Sku,
    },
    /// The SKU is not in the catalogue. (422)
    UnknownSku {
        /// The SKU.
        sku: Sku,
    },
    /// A total is beyond 2^53 − 1. (422)
    TotalTooLarge {
        /// The SKU of the line.
        sku: Sku,
    },
    /// `supplied` would leave 0–10^12. (409)
    StockLimit {
        /// The SKU.
        sku: Sku,
        /// Units supplied now.
        supplied: i64,
    },
    /// The stock is not what was expected. (409)
    StockChanged {
        /// The SKU.
        sku: Sku,
        /// Units available.
        available: i64,
    },
    /// The order is cancelled already. (409)
    AlreadyCancelled,
    /// The address belongs to another user. (409)
    EmailTaken,
    /// Nobody would be left to administer. (409)
    LastAdmin,
    /// The session has ended. (401)
    SessionEnded,
}

/// The answer to one [`Decide`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The record is decided (now, or by an earlier run of the same attempt): append it.
    Accepted {
        /// The record's version.
        version: u64,
        /// The latest pending record of the same aggregate before this one.
        predecessor: Option<RecordId>,
        /// The figures, as they are now, of the SKUs that this record takes from or supplies.
        figures: Vec<(Sku, Figures)>,
    },
    /// The key belongs to an earlier attempt with the same fingerprint, which was accepted.
    Replayed {
        /// Its record.
        record: RecordId,
        /// The aggregate that it is about.
        aggregate_id: Arc<str>,
        /// Where it stands, once settled.
        position: Option<Position>,
    },
    /// The key belongs to another request.
    KeyReused,
    /// Refused, now or by an earlier attempt of the same key.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Whether the refusal was remembered from an earlier attempt.
        replayed: bool,
        /// The pending record that the refusal rests on, where it states a fact about an
        /// aggregate or a claim: it must be read back before the refusal is answered.
        rests_on: Option<RecordId>,
    },
    /// The command's generation is two or more behind: it is not decided.
    GenerationOver,
    /// Another command came first: load and decide again.
    VersionChanged,
    /// The terms are others now: decide again with these (`None`: the SKU is unknown).
    TermsChanged(Vec<(Sku, Option<ItemValue>)>),
    /// A SKU has no value yet, but this record of its item is pending: complete it, then again.
    ItemPending {
        /// The SKU.
        sku: Sku,
        /// The pending record.
        record: RecordId,
    },
}

/// A SKU's figures after a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Units that can be ordered.
    pub available: i64,
    /// Units supplied.
    pub supplied: i64,
}

/// A record that is decided and not yet known to be in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its id.
    pub record: RecordId,
    /// Where it goes.
    pub partition: Partition,
    /// Its bytes, version included.
    pub payload: Bytes,
    /// The latest pending record of the same aggregate before it.
    pub predecessor: Option<RecordId>,
}

/// One settled record: sent by a node that has read it back as valid. A function of the record
/// (see [`crate::settle`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// The record.
    pub record: RecordId,
    /// What it is about.
    pub aggregate: AggregateKey,
    /// Where it stands.
    pub position: Position,
    /// Its idempotency key's hash, under which the position is written.
    pub key: Option<String>,
    /// Units that become available, one entry per SKU, each > 0.
    pub gives: Vec<(Sku, i64)>,
    /// The item's terms after the record; set where the version is above the value's.
    pub terms: Option<SettledTerms>,
    /// Claims given up (removed only where this owner holds them).
    pub claims_given_up: Vec<Claim>,
}

/// Terms that a record settles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledTerms {
    /// The item's version after the record.
    pub version: u64,
    /// What the catalogue says from it on.
    pub terms: Terms,
    /// Whether this record created the item: only then a missing value is made (with 0 units).
    pub creates: bool,
}

/// The answer to one [`Settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Settled now.
    Done,
    /// It was not pending: settled before.
    Before,
    /// The item's creating record is still pending, so this one stays pending too: settle that
    /// one first, then this again.
    ItemPending,
}

/// Verdicts with the newest generation of refusals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<T> {
    /// One answer per question, in order.
    pub answers: Vec<T>,
    /// The newest generation.
    pub generation: u64,
}

/// One piece of a gate rebuilt from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuilt {
    /// A SKU's value.
    Item(Sku, ItemValue),
    /// An aggregate.
    Aggregate {
        /// Which.
        key: AggregateKey,
        /// Its version.
        version: u64,
        /// Its snapshot.
        snapshot: String,
    },
    /// A claim.
    Claim(Claim),
    /// An idempotency key and the record that it led to.
    Key {
        /// The key.
        entry: KeyEntry,
        /// The record.
        record: RecordId,
        /// What the record is about.
        aggregate_id: Arc<str>,
        /// Where it stands.
        position: Position,
    },
}

/// The gate.
#[async_trait]
pub trait Gate: Send + Sync + fmt::Debug + 'static {
    /// Checks that this server can be a gate (version, roles, scripts, eviction policy).
    ///
    /// # Errors
    /// [`GateError::Misconfigured`], or that it does not answer.
    async fn probe(&self) -> Result<(), GateError>;

    /// Reads the current pointer; `None` on an empty gate. It may name an epoch that is closed.
    ///
    /// # Errors
    /// When it does not answer or cannot be read.
    async fn current(&self) -> Result<Option<Current>, GateError>;

    /// Step 1, for many commands in one call; changes nothing.
    ///
    /// # Errors
    /// See [`GateError`].
    async fn load(&self, current: &Current, looks: &[Look]) -> Result<Reply<Looked>, GateError>;

    /// Step 2, for many commands in one call, one after the other, each for itself. Sending the
    /// same call again finds the first run's results.
    ///
    /// # Errors
    /// See [`GateError`].
    async fn decide(
        &self,
        current: &Current,
        commands: &[Decide],
    ) -> Result<Reply<Verdict>, GateError>;

    /// Step 6, for many records in one call, predecessors before their successors. `tails` are
    /// the sender's contiguous positions, where a new node may start to read.
    ///
    /// # Errors
    /// See [`GateError`].
    async fn settle(
        &self,
        current: &Current,
        records: &[Settle],
        tails: &[Position],
    ) -> Result<Reply<Settled>, GateError>;

    /// These pending records, or all of them (`None`); settled ones are left out.
    ///
    /// # Errors
    /// See [`GateError`].
    async fn pending(
        &self,
        current: &Current,
        of: Option<&[RecordId]>,
    ) -> Result<Vec<Pending>, GateError>;

    /// Where a tail may start: the highest positions that [`Gate::settle`] stored.
    ///
    /// # Errors
    /// See [`GateError`].
    async fn tail_starts(&self, current: &Current) -> Result<BTreeMap<Partition, u64>, GateError>;

    /// Recovery, step 3: deletes the data of lower epochs and writes this epoch's marker.
    ///
    /// # Errors
    /// [`GateError::Closed`] on a replica; every error ends this try.
    async fn begin_rebuild(&self, epoch: u64) -> Result<Box<dyn Rebuild>, GateError>;
}

/// A rebuild under way.
#[async_trait]
pub trait Rebuild: Send {
    /// Writes pieces; the last piece of a name counts.
    ///
    /// # Errors
    /// Every error ends this try.
    async fn write(&mut self, pieces: Vec<Rebuilt>) -> Result<(), GateError>;

    /// Recovery, step 4: loads the scripts and publishes the epoch as current if the current one
    /// is lower. Every reply to `write` is in before.
    ///
    /// # Errors
    /// [`GateError::Closed`] where a higher epoch is current; every error ends this try.
    async fn publish(
        self: Box<Self>,
        fences: BTreeMap<Partition, u64>,
    ) -> Result<Current, GateError>;
}
