//! Reading one's own writes: a read that sends a consistency token waits until the rows have seen
//! the positions that the token names.
//!
//! Waiting is polling the checkpoints, but all that wait share one poll: whoever finds the last
//! one too old asks, the others take that answer. A poll from before a request is never enough for
//! it: the store may have been restored from a backup in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use contract::{ConsistencyTokens, Problem, consistency, headers};
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
/// So long a store may take to say how far it is, whatever the wait.
const POLL_AT_LEAST: Duration = Duration::from_secs(1);

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
    seen: Mutex<Option<Seen>>,
}

/// What the last poll saw.
#[derive(Clone)]
struct Seen {
    asked_at: Instant,
    /// `None`: no log was taken in yet.
    answer: Result<Option<Rows>, Problem>,
}

/// What the rows are of.
#[derive(Clone)]
struct Rows {
    /// Asked every time: a replay may put those of another log in their place.
    log_id: Uuid,
    next_offsets: Arc<BTreeMap<Partition, u64>>,
}

impl Progress {
    /// Of these read models; the key is the one for opaque tokens.
    pub(crate) fn new(read_models: ReadModels, key: MacKey) -> Self {
        Self {
            read_models,
            key,
            seen: Mutex::default(),
        }
    }

    /// The read models as fresh as the headers ask for.
    async fn fresh(&self, headers: &HeaderMap) -> Result<ReadModels, Problem> {
        if headers.contains_key(headers::CONSISTENCY_TOKEN) {
            self.wait(headers).await?;
        }
        Ok(self.read_models.clone())
    }

    async fn wait(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let (began, longest) = (Instant::now(), consistency::wait(headers)?);
        let mut pause = PAUSE_FIRST;
        loop {
            // Rows of no log yet have seen nothing, and cannot tell whose a token is.
            let left = longest.saturating_sub(began.elapsed()).max(POLL_AT_LEAST);
            let polled = tokio::time::timeout(left, self.poll()).await;
            let polled = polled.map_err(|_| Problem::not_yet_consistent(RETRY_AFTER))?;
            if let Some(rows) = polled? {
                let tokens = ConsistencyTokens::new(self.key.clone(), rows.log_id);
                if rows.cover(&tokens.positions(headers)?) {
                    return Ok(());
                }
            }
            let left = longest.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(Problem::not_yet_consistent(RETRY_AFTER));
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// How far the rows are, by a poll that is not older than this call. One that failed is shared
    /// as well: otherwise each of many would wait for all before it.
    async fn poll(&self) -> Result<Option<Rows>, Problem> {
        let called_at = Instant::now();
        let mut seen = self.seen.lock().await;
        if let Some(seen) = seen.as_ref().filter(|seen| seen.asked_at >= called_at) {
            return seen.answer.clone();
        }
        let asked_at = Instant::now();
        let answer = self.ask().await;
        let asked = Seen { asked_at, answer };
        seen.insert(asked).answer.clone()
    }

    async fn ask(&self) -> Result<Option<Rows>, Problem> {
        let Some(log_id) = self.read_models.log_id().await.map_err(unanswered)? else {
            return Ok(None);
        };
        let checkpoints = self.read_models.checkpoints().await.map_err(unanswered)?;
        let next = checkpoints.iter().map(|at| (at.partition, at.next_offset));
        Ok(Some(Rows {
            log_id,
            next_offsets: Arc::new(next.collect()),
        }))
    }
}

impl Rows {
    fn cover(&self, positions: &[Position]) -> bool {
        positions.iter().all(|position| {
            self.next_offsets
                .get(&position.partition)
                .is_some_and(|next| *next > position.offset)
        })
    }
}
