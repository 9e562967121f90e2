//! The routes of a role, put together: its own, those that every role has, the OpenAPI document.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::HeaderValue;
use contract::TokenVerifier;
use contract::layers::{self, LayerSettings};
use contract::openapi;
use contract::operations::{self, Operations, Part};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::settings::HttpArgs;

/// How long `/readyz` waits for a service's answer.
const PROBED_WITHIN: Duration = Duration::from_secs(2);

/// What a role serves.
pub(crate) struct Served {
    /// Its own routes.
    pub routes: Vec<OpenApiRouter>,
    /// Checks access tokens, where the role serves those who hold them.
    pub verifier: Option<TokenVerifier>,
    /// What must be ready.
    pub parts: Vec<Part>,
    /// Renders the metrics.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

/// The whole router of a role, inside the layers that every request passes.
///
/// # Errors
/// Where a CORS origin cannot be a header's value.
pub(crate) fn router(served: Served, http: &HttpArgs) -> Result<Router> {
    let mut all = OpenApiRouter::with_openapi(openapi::document());
    for routes in served.routes {
        all = all.merge(routes);
    }
    if let Some(verifier) = served.verifier {
        all = all.merge(contract::session::routes(verifier));
    }
    let operations = Operations {
        parts: served.parts,
        metrics: served.metrics,
    };
    let (router, mut document) = all.merge(operations::routes(operations)).split_for_parts();
    openapi::describe_responses(&mut document);
    let docs = SwaggerUi::new("/docs").url("/v1/openapi.json", document);
    let origin = |origin: &String| {
        HeaderValue::from_str(origin)
            .with_context(|| format!("{origin} is no origin for --cors-origin"))
    };
    let settings = LayerSettings {
        cors_origins: http.cors_origin.iter().map(origin).collect::<Result<_>>()?,
        ..LayerSettings::default()
    };
    Ok(layers::around(router.merge(docs), settings))
}

/// A part of which this is said when the probe succeeds in time.
pub(crate) fn probed<F, E>(
    name: &'static str,
    answers: &'static str,
    probe: impl Fn() -> F + Send + Sync + 'static,
) -> Part
where
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Display,
{
    Part::new(name, move || {
        let probing = tokio::time::timeout(PROBED_WITHIN, probe());
        async move {
            match probing.await {
                Ok(Ok(())) => Ok(answers.to_owned()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("does not answer".to_owned()),
            }
        }
    })
}
