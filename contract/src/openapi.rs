//! The frame of the OpenAPI document: what it says of all roles alike. The rest is generated from
//! the routes that are merged into it, so that it cannot say anything else than they do.

use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder};
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
