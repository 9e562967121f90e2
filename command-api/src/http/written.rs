//! The answer to a write that took effect: what it answers, where it stands in the log, and
//! whether it was answered before.

use axum::Json;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use contract::headers::{CONSISTENCY_TOKEN, IDEMPOTENT_REPLAYED};
use contract::openapi;
use serde::Serialize;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{OpenApi, RefOr};

use super::Api;
use crate::commands::Outcome;

/// An answer with the headers of a write.
#[derive(Debug)]
pub(super) struct Written<R> {
    pub(super) answer: R,
    pub(super) replayed: bool,
    pub(super) consistency_token: Option<String>,
}

/// 201, with the path of what was made.
#[derive(Debug)]
pub(super) struct Created<T> {
    pub(super) location: String,
    pub(super) body: T,
}

/// 204.
pub(super) const DONE: StatusCode = StatusCode::NO_CONTENT;

impl Api {
    /// Answers a write with what its outcome is to a client.
    pub(super) fn written<T, R>(
        &self,
        outcome: Outcome<T>,
        answer: impl FnOnce(T) -> R,
    ) -> Written<R> {
        Written {
            answer: answer(outcome.value),
            replayed: outcome.replayed,
            consistency_token: self.consistency_token([outcome.position]),
        }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let location = [(LOCATION, self.location)];
        (StatusCode::CREATED, location, Json(self.body)).into_response()
    }
}

impl<R: IntoResponse> IntoResponse for Written<R> {
    fn into_response(self) -> Response {
        let mut response = self.answer.into_response();
        let headers = response.headers_mut();
        if self.replayed {
            headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        let token = self.consistency_token.as_deref();
        if let Some(token) = token.and_then(|token| HeaderValue::from_str(token).ok()) {
            headers.insert(CONSISTENCY_TOKEN, token);
        }
        response
    }
}

/// Says in the document what every 2xx to a write carries.
pub(super) fn document_headers(document: &mut OpenApi) {
    openapi::operations(document).for_each(document_operation);
}

fn document_operation(operation: &mut Operation) {
    let told: [(HeaderName, &str); 2] = [
        (
            CONSISTENCY_TOKEN,
            "Send it with a read that must have seen this write.",
        ),
        (
            IDEMPOTENT_REPLAYED,
            "`true` where this was answered before.",
        ),
    ];
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with('2'), response) {
            for (name, description) in &told {
                let header = HeaderBuilder::new().description(Some(*description)).build();
                response.headers.insert(name.to_string(), header.into());
            }
        }
    }
}
