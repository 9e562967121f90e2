//! The routes of a role, put together: its own, those that every role has, the OpenAPI document.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::HeaderValue;
use contract::TokenVerifier;
use contract::layers::{self, LayerSettings};
use contract::operations::{self, Operations, Part};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::settings::HttpArgs;

/// What the OpenAPI document says of all roles alike.
fn document() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Holdfast")
        .description(Some(
            "Users, orders and inventory of a shop that cannot oversell.",
        ))
        .version(env!("CARGO_PKG_VERSION"))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

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
    let mut all = OpenApiRouter::with_openapi(document());
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
    let (router, openapi) = all.merge(operations::routes(operations)).split_for_parts();
    let docs = SwaggerUi::new("/docs").url("/v1/openapi.json", openapi);
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
