//! The routes by which a role is watched: alive, ready, measured. Every role has them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use futures::future::{BoxFuture, FutureExt, join_all};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Problem;
use crate::refused::Unavailable;

/// The media type of the Prometheus text format.
const METRICS_MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Asks one part of a role whether it is ready: a word on how it is, or why it is not.
type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// One part that must be ready for the role to be.
#[derive(Clone)]
pub struct Part {
    name: &'static str,
    check: Check,
}

impl Part {
    /// A part and its check, which answers within a second or says that it could not.
    pub fn new<F>(name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        Self {
            name,
            check: Arc::new(move || check().boxed()),
        }
    }

    async fn state(&self) -> PartState {
        let checked = (self.check)().await;
        let ready = checked.is_ok();
        PartState {
            name: self.name.to_owned(),
            ready,
            detail: checked.unwrap_or_else(|why| why),
        }
    }
}

/// How one part is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartState {
    /// Its name.
    pub name: String,
    /// Whether it is ready.
    pub ready: bool,
    /// How it is, or why it is not ready.
    pub detail: String,
}

/// How a role is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether every part is ready.
    pub ready: bool,
    /// Each part.
    pub parts: Vec<PartState>,
}

/// What the routes show.
#[derive(Clone)]
pub struct Operations {
    /// The parts of `/readyz`.
    pub parts: Vec<Part>,
    /// Renders `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub fn routes(operations: Operations) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .with_state(operations)
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, body = String)))]
async fn healthz() -> &'static str {
    "alive\n"
}

/// Whether each part is ready, and why not.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses((status = 200, body = Readiness), Unavailable)
)]
async fn readyz(State(operations): State<Operations>) -> Result<Json<Readiness>, Problem> {
    let parts = join_all(operations.parts.iter().map(Part::state)).await;
    if parts.iter().all(|part| part.ready) {
        return Ok(Json(Readiness { ready: true, parts }));
    }
    Err(Problem::not_ready(parts))
}

/// Metrics in the Prometheus text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, body = String)))]
async fn metrics(State(operations): State<Operations>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_MEDIA_TYPE)], (operations.metrics)())
}
