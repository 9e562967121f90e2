//! The OpenAPI document: generated from the routes, so that it cannot say anything else.

use axum::Json;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use axum::{Router, routing};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi};
use utoipa::{PartialSchema, ToSchema};

use crate::Problem;

/// Where the document is served.
pub const PATH: &str = "/v1/openapi.json";

/// Makes the document of an API from those of its routers: what it is called, how a client
/// authenticates, and how every refusal looks.
pub fn document(routers: impl IntoIterator<Item = OpenApi>) -> OpenApi {
    let mut document = OpenApi::default();
    for router in routers {
        document.merge(router);
    }
    document.info = InfoBuilder::new()
        .title("Holdfast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("An order backend that cannot oversell."))
        .build();
    let mut problems = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut problems);
    let common = ComponentsBuilder::new()
        .schemas_from_iter(problems)
        .security_scheme(
            "bearer",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        )
        .build();
    let components = document.components.get_or_insert_default();
    components.schemas.extend(common.schemas);
    components.security_schemes.extend(common.security_schemes);
    document
}

/// Serves the document.
pub fn routes(document: OpenApi) -> Router {
    let answer = async move || ([(CACHE_CONTROL, "no-cache")], Json(document)).into_response();
    Router::new().route(PATH, routing::get(answer))
}
