//! How refusals stand in the OpenAPI document: one type per status, listed beside the success of
//! an operation, described by the codes that [`Code`] knows for it.

use std::collections::BTreeMap;

use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoResponses, ToSchema};

use crate::Problem;
use crate::problem::{Code, MEDIA_TYPE};

macro_rules! refused {
    ($($(#[$doc:meta])* $name:ident = $status:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    responses_of($status)
                }
            }
        )+
    };
}

refused! {
    /// 400.
    BadRequest = 400;
    /// 401.
    Unauthorized = 401;
    /// 403.
    Forbidden = 403;
    /// 404.
    NotFound = 404;
    /// 409.
    Conflict = 409;
    /// 413.
    TooLarge = 413;
    /// 415.
    UnsupportedMediaType = 415;
    /// 422.
    Invalid = 422;
    /// 429.
    TooMany = 429;
    /// 503.
    Unavailable = 503;
}

fn responses_of(status: u16) -> BTreeMap<String, RefOr<Response>> {
    let codes: Vec<_> = Code::ALL
        .iter()
        .filter(|code| code.status().as_u16() == status)
        .map(|code| format!("`{}`", code.as_str()))
        .collect();
    let schema = Ref::from_schema_name(Problem::name());
    let response = ResponseBuilder::new()
        .description(format!("A problem: {}.", codes.join(", ")))
        .content(
            MEDIA_TYPE,
            ContentBuilder::new().schema(Some(schema)).build(),
        )
        .build();
    BTreeMap::from([(status.to_string(), RefOr::T(response))])
}
