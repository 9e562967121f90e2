//! The names of the headers of this API, and reading one that may be sent only once.

use axum::http::{HeaderMap, HeaderName};

use crate::Problem;

/// Makes a retry safe.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// `true` on an answer that was given before.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Names the writes that a read must have seen.
pub const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");
/// `wait=N`: how long a read may wait (RFC 7240).
pub const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Names the request in answers and logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The vendor's part of the W3C trace context.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The text of a header; `None` when it was not sent.
///
/// # Errors
/// A 400 when it was sent twice (a proxy and we might take different ones) or is not visible
/// ASCII.
pub fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::malformed_header(
            name,
            "It was sent more than once; send it once.",
        ));
    }
    let text = value.to_str().map_err(|_| {
        Problem::malformed_header(name, "It may only have visible ASCII characters.")
    })?;
    Ok(Some(text))
}
