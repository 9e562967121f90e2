//! Reading one's own writes: a read that sends a consistency token waits until the rows have seen
//! the positions that the token names.
//!
//! Waiting is polling the checkpoints, but all that wait share one poll: whoever finds the last
//! one too old asks, the others take that answer. A poll from before a request is never enough for
//! it: the store may have been restored from a backup in between.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use contract::{ConsistencyTokens, Freshness, Problem, headers};
use migrations::DatabaseError;
use personal_data::MacKey;
use record::{Partition, Position};
use tokio::sync::Mutex;
use tokio::time::Instant;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::Api;
use crate::api::unanswered;
use crate::read_model::ReadModels;

/// When a client may ask again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The pause after the first poll; doubled after each, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(80);

/// The read models once they have seen what the client's consistency tokens name. A handler
/// cannot ask anything without having waited.
pub(crate) struct Fresh(pub(crate) ReadModels);

/// The headers that [`Fresh`] reads.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "only its documentation is used; `contract` reads the headers"
)]
pub(crate) struct FreshnessHeaders {
    /// Tokens of writes that the answer must have seen, comma-separated.
    #[param(rename = "Consistency-Token", value_type = Option<String>)]
    consistency_token: Option<String>,
    /// `wait=N`: how many seconds to wait for them; 2 unless stated, at most 10.
    #[param(rename = "Prefer", value_type = Option<String>)]
    prefer: Option<String>,
}

impl FromRequestParts<Api> for Fresh {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        api.progress().fresh(&parts.headers).await.map(Self)
    }
}

/// How far the rows are.
pub(crate) struct Progress {
    read_models: ReadModels,
    key: MacKey,
    log_id: OnceLock<Uuid>,
    seen: Mutex<Seen>,
}

/// What the last poll saw.
struct Seen {
    asked_at: Instant,
    next_offsets: BTreeMap<Partition, u64>,
}

impl Progress {
    /// Of these read models; the key is the one for opaque tokens.
    pub(crate) fn new(read_models: ReadModels, key: MacKey) -> Self {
        let seen = Mutex::new(Seen {
            asked_at: Instant::now(),
            next_offsets: BTreeMap::new(),
        });
        Self {
            read_models,
            key,
            log_id: OnceLock::new(),
            seen,
        }
    }

    /// The read models as fresh as the headers ask for.
    async fn fresh(&self, headers: &HeaderMap) -> Result<ReadModels, Problem> {
        if headers.contains_key(headers::CONSISTENCY_TOKEN) {
            let log_id = self.log_id().await?;
            let tokens = ConsistencyTokens::new(self.key.clone(), log_id);
            self.wait(&tokens.freshness(headers)?).await?;
        }
        Ok(self.read_models.clone())
    }

    /// The log of the rows; it never changes.
    async fn log_id(&self) -> Result<Uuid, Problem> {
        if let Some(log_id) = self.log_id.get() {
            return Ok(*log_id);
        }
        let log_id = self.read_models.log_id().await.map_err(unanswered)?;
        let log_id = log_id.ok_or_else(|| Problem::not_yet_consistent(RETRY_AFTER))?;
        Ok(*self.log_id.get_or_init(|| log_id))
    }

    async fn wait(&self, freshness: &Freshness) -> Result<(), Problem> {
        let deadline = Instant::now() + freshness.wait;
        let mut pause = PAUSE_FIRST;
        while !self
            .has_seen(&freshness.positions)
            .await
            .map_err(unanswered)?
        {
            let now = Instant::now();
            if now >= deadline {
                return Err(Problem::not_yet_consistent(RETRY_AFTER));
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Whether the rows have seen all positions, by a poll that is not older than this call.
    async fn has_seen(&self, positions: &[Position]) -> Result<bool, DatabaseError> {
        let called_at = Instant::now();
        let mut seen = self.seen.lock().await;
        if seen.asked_at < called_at {
            let asked_at = Instant::now();
            let checkpoints = self.read_models.checkpoints().await?;
            let next = checkpoints.iter().map(|at| (at.partition, at.next_offset));
            *seen = Seen {
                asked_at,
                next_offsets: next.collect(),
            };
        }
        Ok(seen.covers(positions))
    }
}

impl Seen {
    fn covers(&self, positions: &[Position]) -> bool {
        positions.iter().all(|position| {
            self.next_offsets
                .get(&position.partition)
                .is_some_and(|next| *next > position.offset)
        })
    }
}
