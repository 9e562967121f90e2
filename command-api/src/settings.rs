//! What a command node can be told, with the relations between its figures.

use std::time::Duration;

use domain::money::Currency;
use record::epochs::Shop;

use crate::epoch::snapshot::SnapshotSettings;
use crate::work::Work;

/// Settings of a command node.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The shop's one currency.
    pub currency: Currency,
    /// Names the secrets file in claims; see `personal-data`.
    pub secrets_check: String,
    /// The most commands under way at once; one more is answered 503 at once.
    pub in_flight_max: usize,
    /// The most commands in one call of the gate's decide and load scripts.
    pub decide_batch_max: usize,
    /// Calls of one script that are under way at once.
    pub calls_in_flight: usize,
    /// The most records in one settle call.
    pub settle_batch_max: usize,
    /// How long settles are collected before they are sent.
    pub settle_linger: Duration,
    /// How long a request waits for its command before it is answered *outcome unknown*. The
    /// command itself goes on.
    pub outcome_deadline: Duration,
    /// How long a 2xx waits for its settle, so that the client's next command sees it.
    pub settle_wait: Duration,
    /// How long an unanswered gate call is repeated.
    pub gate_retry: Duration,
    /// How long after a failed append the same record is appended again.
    pub append_retry: Duration,
    /// How often pending records are looked through for those that nobody completes.
    pub completion_interval: Duration,
    /// How long a node waits for a sign of life of a newer epoch before it claims; doubles with
    /// every claim that led to nothing.
    pub sign_of_life_wait: Duration,
    /// The most that a node waits at random before it claims, so that claims do not duel.
    pub claim_backoff: Duration,
    /// How long a command waits for a recovery that is under way before it is *unavailable*.
    pub recovery_wait: Duration,
    /// How long accepted idempotency keys are remembered.
    pub key_retention: Duration,
    /// Whether this node may rebuild the gate. One that was not told how long keys are remembered
    /// may not, for it would forget some that others promise to keep.
    pub rebuilds: bool,
    /// How many tasks fold the log at once in a recovery.
    pub fold_tasks: usize,
    /// Where snapshots of the fold are kept and when they are made; `None`: none is read or made.
    pub snapshots: Option<SnapshotSettings>,
    /// Where snapshots are read and written.
    pub work: Work,
}

impl Settings {
    /// Settings for a shop; the rest is what measurements recommend.
    pub fn new(currency: Currency, secrets_check: String) -> Self {
        Self {
            currency,
            secrets_check,
            in_flight_max: 1024,
            decide_batch_max: 64,
            calls_in_flight: 2,
            settle_batch_max: 256,
            settle_linger: Duration::from_millis(3),
            outcome_deadline: Duration::from_secs(15),
            settle_wait: Duration::from_secs(3),
            gate_retry: Duration::from_secs(10),
            append_retry: Duration::from_millis(100),
            completion_interval: Duration::from_secs(3),
            sign_of_life_wait: Duration::from_secs(5),
            claim_backoff: Duration::from_millis(200),
            recovery_wait: Duration::from_secs(5),
            key_retention: Duration::from_secs(7 * 24 * 3600),
            rebuilds: true,
            fold_tasks: 1,
            snapshots: None,
            work: Work::default(),
        }
    }

    /// What claims state of the shop.
    pub(crate) fn shop(&self) -> Shop {
        Shop {
            currency: self.currency,
            secrets_check: self.secrets_check.clone(),
        }
    }
}
