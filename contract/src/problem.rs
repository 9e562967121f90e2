//! Problem documents (RFC 9457): how every refusal and failure reaches a client.
//!
//! Clients branch on the end of `type`, one of the [`Code`]s; people read `detail`, which says
//! what to do next and, for a write, what is safe.

mod code;

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use domain::sku::Sku;
use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub use self::code::Code;
use crate::headers::IDEMPOTENT_REPLAYED;
use crate::operations::PartState;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One member of a body that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) to the member; empty: the whole body.
    #[schema(example = "/lines/0/quantity")]
    pub pointer: String,
    /// What to change.
    pub detail: String,
}

impl FieldError {
    /// An error at a JSON pointer.
    pub fn new(pointer: impl Into<String>, detail: impl Display) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.to_string(),
        }
    }
}

/// Why a request did not succeed, as a document for the client. An `Err` of every handler.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        ProblemDocument::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        ProblemDocument::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        ProblemDocument::schemas(schemas);
    }
}

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    document: ProblemDocument,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
    replayed: bool,
}

/// A problem document (RFC 9457). Members that do not apply are left out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// A stable URI reference that ends in the problem's code.
    #[schema(value_type = String, example = "/problems/out-of-stock")]
    r#type: String,
    /// A summary, the same for every occurrence.
    #[schema(value_type = String)]
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened and what to do next.
    #[schema(value_type = String)]
    detail: Cow<'static, str>,
    /// The path that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    instance: Option<String>,
    /// The SKU in question.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    sku: Option<Sku>,
    /// The units that were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    requested: Option<i64>,
    /// The units that are available.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    available: Option<i64>,
    /// What is wrong with the body, member by member.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// How each part of the role is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartState>,
}

impl Problem {
    fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        let document = ProblemDocument {
            r#type: format!("/problems/{}", code.as_str()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            instance: None,
            sku: None,
            requested: None,
            available: None,
            errors: vec![],
            parts: vec![],
        };
        Self(Box::new(Inner {
            code,
            document,
            retry_after: None,
            challenge: None,
            replayed: false,
        }))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(&mut self.0);
        self
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The document as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.0.document).unwrap_or_default()
    }

    /// The path that was asked; `layers` sets it.
    #[must_use]
    pub fn at(self, path: &str) -> Self {
        self.with(|inner| inner.document.instance = Some(path.to_owned()))
    }

    /// As the answer to an earlier attempt of the same idempotency key.
    #[must_use]
    pub fn replayed(self) -> Self {
        self.with(|inner| inner.replayed = true)
    }

    /// With a detail of its own, where the caller knows more than this file does.
    #[must_use]
    pub fn saying(self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.with(|inner| inner.document.detail = detail.into())
    }

    /// 400: the body is not what its content type says.
    pub fn malformed_body(why: impl Display) -> Self {
        Self::new(
            Code::MalformedBody,
            format!("The body cannot be read: {why}. Correct it and send it again."),
        )
    }

    /// 400: there is no body.
    pub fn missing_body() -> Self {
        Self::new(
            Code::MissingBody,
            "This call needs a body; send one as application/json.",
        )
    }

    /// 400: a query parameter.
    pub fn malformed_parameter(why: impl Display) -> Self {
        Self::new(Code::MalformedParameter, why.to_string())
    }

    /// 400: a header.
    pub fn malformed_header(name: &HeaderName, why: impl Display) -> Self {
        Self::new(
            Code::MalformedHeader,
            format!("The header {name} cannot be taken. {why}"),
        )
    }

    /// 400: a cursor of another query, or none of ours.
    pub fn malformed_cursor() -> Self {
        let detail = "Send a next_cursor only with the query that it came from, or start again \
                      without one.";
        Self::new(Code::MalformedCursor, detail)
    }

    /// 400: a consistency token of another log, or none of ours.
    pub fn foreign_consistency_token() -> Self {
        let detail = "This Consistency-Token was not issued for this shop's log; leave it out.";
        Self::new(Code::ForeignConsistencyToken, detail)
    }

    /// 400: no idempotency key where one is required.
    pub fn idempotency_key_missing() -> Self {
        let detail = "Send an Idempotency-Key of 1 to 255 visible ASCII characters, new for each \
                      intent and the same for its retries.";
        Self::new(Code::IdempotencyKeyMissing, detail)
    }

    /// 401: no access token, or none that is good (RFC 6750).
    pub fn unauthorized(why: AccessRefusal) -> Self {
        Self::new(Code::Unauthorized, why.detail())
            .with(|inner| inner.challenge = Some(why.challenge()))
    }

    /// 401 to a log-in, and to a password change with a wrong current password.
    pub fn invalid_credentials() -> Self {
        let detail = "No account has this e-mail address and password; check both.";
        Self::new(Code::InvalidCredentials, detail).with(|inner| inner.challenge = Some(CHALLENGE))
    }

    /// 401 to a refresh.
    pub fn invalid_refresh_token() -> Self {
        let detail = "This session has ended or the token is not one of ours; log in again.";
        Self::new(Code::InvalidRefreshToken, detail).with(|inner| inner.challenge = Some(CHALLENGE))
    }

    /// 403: the role does not allow it.
    pub fn forbidden(what_is_needed: impl Display) -> Self {
        Self::new(Code::Forbidden, what_is_needed.to_string())
    }

    /// 404: nothing of this name, or nothing that the actor may see.
    pub fn not_found(what: &'static str) -> Self {
        Self::new(
            Code::NotFound,
            format!("There is no such {what}, or it is not yours to see."),
        )
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let detail = "This path does not take this method; the header Allow names those it takes.";
        Self::new(Code::MethodNotAllowed, detail)
    }

    /// 409 to a registration.
    pub fn email_taken() -> Self {
        let detail = "An account with this e-mail address exists; log in, or use another address.";
        Self::new(Code::EmailTaken, detail)
    }

    /// 409 to taking the role of the last administrator.
    pub fn last_admin() -> Self {
        let detail = "This user is the only administrator; make another one first.";
        Self::new(Code::LastAdmin, detail)
    }

    /// 409: fewer units than asked for.
    pub fn out_of_stock(sku: Sku, requested: i64, available: i64) -> Self {
        let detail = format!(
            "Of {sku}, {requested} units were asked for and {available} are available; nothing \
             was taken. Ask for fewer, or later."
        );
        Self::new(Code::OutOfStock, detail).with(|inner| {
            inner.document.sku = Some(sku);
            inner.document.requested = Some(requested);
            inner.document.available = Some(available);
        })
    }

    /// 409 to a compare-and-set of the stock, with the true figure.
    pub fn stock_changed(sku: Sku, available: i64) -> Self {
        let detail = format!(
            "Of {sku}, {available} units are available, not as many as expected; nothing was \
             changed. Decide again with this figure."
        );
        Self::new(Code::StockChanged, detail).with(|inner| {
            inner.document.sku = Some(sku);
            inner.document.available = Some(available);
        })
    }

    /// 409: `supplied` would leave 0 to 10^12.
    pub fn stock_limit(sku: Sku) -> Self {
        let detail = format!(
            "What is supplied of {sku} must stay within 0 and 1000000000000 units; nothing was \
             changed."
        );
        Self::new(Code::StockLimit, detail).with(|inner| inner.document.sku = Some(sku))
    }

    /// 409: no new orders of this item.
    pub fn discontinued(sku: Sku) -> Self {
        let detail = format!("{sku} takes no new orders; order without it.");
        Self::new(Code::Discontinued, detail).with(|inner| inner.document.sku = Some(sku))
    }

    /// 409: the order was cancelled before.
    pub fn already_cancelled() -> Self {
        Self::new(
            Code::AlreadyCancelled,
            "This order was cancelled before; nothing is left to do.",
        )
    }

    /// 413.
    pub fn body_too_large() -> Self {
        let detail = "The body is longer than this call takes; nothing was changed. Send less.";
        Self::new(Code::BodyTooLarge, detail)
    }

    /// 415.
    pub fn unsupported_media_type(accepted: impl Display) -> Self {
        let detail = format!("Send the body as {accepted}, without a content encoding.");
        Self::new(Code::UnsupportedMediaType, detail)
    }

    /// 422: readable, but not valid.
    pub fn invalid_body(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [FieldError { pointer, detail }] if !pointer.is_empty() => {
                format!("Correct the body at {pointer}: {detail}")
            }
            [only] => format!("Correct the body: {}", only.detail),
            _ => "Correct the body as the errors say.".to_owned(),
        };
        Self::new(Code::InvalidBody, detail).with(|inner| inner.document.errors = errors)
    }

    /// 422: a SKU that is not in the catalogue, and where the body names it.
    pub fn unknown_sku(sku: Sku, pointer: Option<String>) -> Self {
        let detail = format!("{sku} is not in the catalogue; order without it.");
        Self::new(Code::UnknownSku, detail).with(|inner| {
            let error = |pointer| FieldError::new(pointer, "This SKU is not in the catalogue.");
            inner.document.errors = pointer.into_iter().map(error).collect();
            inner.document.sku = Some(sku);
        })
    }

    /// 422: the total would be beyond 2^53 − 1 with this SKU's line.
    pub fn total_too_large(sku: Sku) -> Self {
        let detail = format!(
            "With {sku} the order is worth more than 9007199254740991 minor units; order less."
        );
        Self::new(Code::TotalTooLarge, detail).with(|inner| inner.document.sku = Some(sku))
    }

    /// 422: the key was used for another request.
    pub fn idempotency_key_reused() -> Self {
        let detail = "This Idempotency-Key stands for another method, path or body; use a new key \
                      for a new intent.";
        Self::new(Code::IdempotencyKeyReused, detail)
    }

    /// 429: wait that long.
    pub fn too_many_attempts(retry_after: Duration) -> Self {
        let detail = "There were too many failed attempts; try again after Retry-After.";
        Self::new(Code::TooManyAttempts, detail).with(|inner| inner.retry_after = Some(retry_after))
    }

    /// 500: a defect, logged where it was met.
    pub fn internal() -> Self {
        let detail = "This is a defect of the server; its log tells more under this X-Request-Id.";
        Self::new(Code::Internal, detail)
    }

    /// 503: this request changed nothing.
    pub fn unavailable(retry_after: Duration) -> Self {
        let detail = "This request changed nothing; send it again after Retry-After.";
        Self::new(Code::Unavailable, detail).with(|inner| inner.retry_after = Some(retry_after))
    }

    /// 503: the write may have happened.
    pub fn outcome_unknown(retry_after: Duration) -> Self {
        let detail = "The write may or may not have happened. Retry with the same \
                      Idempotency-Key after Retry-After: it takes effect at most once.";
        Self::new(Code::OutcomeUnknown, detail).with(|inner| inner.retry_after = Some(retry_after))
    }

    /// 503 to `/readyz`: each part and why not.
    pub fn not_ready(parts: Vec<PartState>) -> Self {
        let waiting: Vec<_> = parts
            .iter()
            .filter(|part| !part.ready)
            .map(|part| &*part.name)
            .collect();
        let detail = format!("Not ready yet: {}.", waiting.join(", "));
        Self::new(Code::NotReady, detail).with(|inner| {
            inner.retry_after = Some(Duration::from_secs(1));
            inner.document.parts = parts;
        })
    }

    /// 503: the read model has not seen the write that the token names.
    pub fn not_yet_consistent(retry_after: Duration) -> Self {
        let detail = "The read model has not seen the write of this Consistency-Token yet; ask \
                      again after Retry-After, or without the token for what is known now.";
        Self::new(Code::NotYetConsistent, detail)
            .with(|inner| inner.retry_after = Some(retry_after))
    }
}

/// The challenge of a 401 that is not about a token that was sent.
const CHALLENGE: &str = "Bearer";

/// Why an access token does not let a request in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRefusal {
    /// None was sent.
    Missing,
    /// The header is not `Bearer` and a token.
    NotBearer,
    /// It is not one of ours, or was changed.
    Invalid,
    /// Its time is over.
    Expired,
}

impl AccessRefusal {
    fn detail(self) -> &'static str {
        match self {
            Self::Missing => "Log in and send Authorization: Bearer with the access token.",
            Self::NotBearer => "The header Authorization must be Bearer, a blank and the token.",
            Self::Invalid => "This access token was not issued here; log in again.",
            Self::Expired => "This access token has expired; refresh the session.",
        }
    }

    /// RFC 6750: no error code where the request had no token.
    fn challenge(self) -> &'static str {
        match self {
            Self::Missing | Self::NotBearer => CHALLENGE,
            Self::Invalid | Self::Expired => r#"Bearer error="invalid_token""#,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Inner {
            document,
            retry_after,
            challenge,
            replayed,
            ..
        } = &*self.0;
        let mut response = (self.code().status(), Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry_after) = retry_after {
            // Rounded up: a client that waits as told must not come too early.
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if *replayed {
            headers.insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        // Found again by `layers`, which adds the instance and logs the code.
        response.extensions_mut().insert(self);
        response
    }
}
