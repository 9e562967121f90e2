//! What the handlers stand on.

use std::sync::Arc;

use axum::extract::FromRef;
use contract::operations::Part;
use contract::{Cursors, Problem, TokenVerifier};
use migrations::DatabaseError;
use personal_data::Secrets;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::freshness::Progress;
use crate::http;
use crate::read_model::ReadModels;

/// The read side of a shop. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    read_models: ReadModels,
    progress: Progress,
    verifier: TokenVerifier,
    secrets: Secrets,
    cursors: Cursors,
}

impl Api {
    /// Answers from these read models, for holders of tokens that the verifier finds good. The
    /// secrets are those of the log that the rows were made from.
    pub fn new(read_models: ReadModels, verifier: TokenVerifier, secrets: Secrets) -> Self {
        let cursors = Cursors::new(secrets.opaque_token_key().clone());
        let progress = Progress::new(read_models.clone(), secrets.opaque_token_key().clone());
        Self(Arc::new(Inner {
            read_models,
            progress,
            verifier,
            secrets,
            cursors,
        }))
    }

    /// Its routes and their part of the OpenAPI document, to be merged with those of the other
    /// roles of the process and put into `contract::layers`.
    pub fn routes(&self) -> OpenApiRouter {
        http::routes().with_state(self.clone())
    }

    /// Its part of the OpenAPI document.
    pub fn openapi() -> OpenApi {
        http::routes().into_openapi()
    }

    /// What must be ready before it can answer, for `/readyz`.
    pub fn parts(&self) -> Vec<Part> {
        let (read_models, verifier) = (self.0.read_models.clone(), self.0.verifier.clone());
        vec![
            Part::new("read-models", move || state_of(read_models.clone())),
            Part::new("access-token-keys", move || {
                let known = verifier.has_keys();
                async move {
                    if known {
                        Ok("known".to_owned())
                    } else {
                        Err(NO_KEYS.to_owned())
                    }
                }
            }),
        ]
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    pub(crate) fn cursors(&self) -> &Cursors {
        &self.0.cursors
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.0.progress
    }
}

impl FromRef<Api> for TokenVerifier {
    fn from_ref(api: &Api) -> Self {
        api.0.verifier.clone()
    }
}

const NO_KEYS: &str = "the keys of access tokens were not fetched yet";

/// Whether the read models can be asked.
async fn state_of(read_models: ReadModels) -> Result<String, String> {
    match read_models.has_schema().await {
        Ok(true) => {}
        Ok(false) => return Err("the tables are not there yet; projectors create them".to_owned()),
        Err(error) => return Err(error.to_string()),
    }
    match read_models.log_id().await {
        Ok(Some(log)) => Ok(format!("of log {log}")),
        Ok(None) => Err("no log was taken in yet; projectors do that".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A question that the read models did not answer, told once in the log.
pub(crate) fn unanswered(error: DatabaseError) -> Problem {
    let cause = std::error::Error::source(&error)
        .map(ToString::to_string)
        .unwrap_or_default();
    if let DatabaseError::Unreadable(_) = error {
        tracing::error!(%error, cause, "a row cannot be read; rebuild the read models");
        return Problem::internal();
    }
    tracing::warn!(%error, cause, "a question was not answered");
    Problem::unavailable(crate::freshness::RETRY_AFTER)
}
