//! What is known of a request from outside it: its id, its trace and its matched route.
//!
//! One line in the log and one set of metrics per request, labelled by the route as it stands in
//! the router, never by what the client sent: paths hold ids, and scanners make up new ones
//! (report R50).

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::{Problem, headers};

/// Requests answered, by `method`, `route` and `status`.
pub const REQUESTS: &str = "holdfast_http_requests_total";
/// Seconds from the request's head to the answer's, by `method` and `route`.
pub const DURATION: &str = "holdfast_http_request_duration_seconds";

/// The route of a request that matched none.
const NO_ROUTE: &str = "none";
/// The longest request id that is taken from a client.
const REQUEST_ID_LENGTH_MAX: usize = 128;

/// Who a request is, for records and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext {
    /// As answered in `X-Request-Id`: the client's own where it is a sane one.
    pub request_id: String,
    /// The same as a UUID, for records; a new one where the client's id is none.
    pub correlation_id: Uuid,
    /// The W3C trace context, where a valid one was sent.
    pub traceparent: Option<String>,
}

impl RequestContext {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers::single(headers, &name).ok().flatten();
        let sent = text(headers::REQUEST_ID).filter(|id| is_sane(id));
        let correlation_id = sent
            .and_then(|id| Uuid::try_parse(id).ok())
            .unwrap_or_else(Uuid::now_v7);
        Self {
            request_id: sent.map_or_else(|| correlation_id.to_string(), str::to_owned),
            correlation_id,
            traceparent: text(headers::TRACEPARENT)
                .filter(|text| is_traceparent(text))
                .map(str::to_owned),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<Self>().cloned();
        Ok(known.unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

/// Gives a request its id and an answer its line in the log.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let context = RequestContext::of(request.headers());
    let method = known_method(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| NO_ROUTE.to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", "request.id" = context.request_id);
    let request_id = HeaderValue::from_str(&context.request_id).ok();
    request.extensions_mut().insert(context);

    let started = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let entered = span.enter();
    tell(method, route, &response, started.elapsed());
    drop(entered);
    if let Some(request_id) = request_id {
        response
            .headers_mut()
            .insert(headers::REQUEST_ID, request_id);
    }
    response
}

/// The target of the line per request. It costs as much as a read: a process that answers
/// thousands a second may filter it out and keep the metrics.
pub const ACCESS: &str = "holdfast::access";

/// One wide event and the metrics of a request.
fn tell(method: &'static str, route: String, response: &Response, duration: Duration) {
    let status = response.status();
    let problem = response
        .extensions()
        .get::<Problem>()
        .map_or("", |p| p.code().as_str());
    tracing::info!(
        target: ACCESS,
        {
            http.method = method,
            http.route = route,
            http.status = status.as_u16(),
            problem = problem,
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
        },
        "answered {method} {route} with {}",
        status.as_u16(),
    );
    metrics::histogram!(DURATION, "method" => method, "route" => route.clone())
        .record(duration.as_secs_f64());
    metrics::counter!(REQUESTS, "method" => method, "route" => route, "status" => label(status))
        .increment(1);
}

/// The statuses of this API as labels.
fn label(status: StatusCode) -> String {
    status.as_str().to_owned()
}

/// The method as a label: a client may make up methods too.
fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}

/// Whether a client's request id may stand in our headers and logs.
fn is_sane(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=REQUEST_ID_LENGTH_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// Whether it is a trace context of version 00 (W3C Trace Context, 3.2).
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    match text.split('-').collect::<Vec<_>>()[..] {
        ["00", trace, parent, flags] => {
            let lengths = (trace.len(), parent.len(), flags.len()) == (32, 16, 2);
            let digits = hex(trace) && hex(parent) && hex(flags);
            lengths && digits && !zero(trace) && !zero(parent)
        }
        _ => false,
    }
}
