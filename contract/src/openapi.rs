//! The frame of the OpenAPI document: what it says of all roles alike. The rest is generated from
//! the routes that are merged into it, so that it cannot say anything else than they do.

use axum::http::StatusCode;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::Problem;

/// The document without any route: what it is about, how a client authenticates, and how every
/// refusal looks ([`crate::refused`] only refers to that).
pub fn document() -> OpenApi {
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
    let mut problems = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut problems);
    let components = ComponentsBuilder::new()
        .schemas_from_iter(problems)
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

/// Says of every response what OpenAPI 3.1 requires to be said, where its operation does not: the
/// status in words.
pub fn describe_responses(document: &mut OpenApi) {
    for operation in operations(document) {
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response
                && response.description.is_empty()
            {
                let words = StatusCode::from_bytes(status.as_bytes()).ok();
                let words = words.and_then(|status| status.canonical_reason());
                response.description = words.unwrap_or(status).to_owned();
            }
        }
    }
}

/// Every operation of a document.
pub fn operations(document: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        let (get, post, put) = (&mut item.get, &mut item.post, &mut item.put);
        let (patch, delete) = (&mut item.patch, &mut item.delete);
        [get, post, put, patch, delete].into_iter().flatten()
    })
}
