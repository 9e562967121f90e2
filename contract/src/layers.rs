//! What every request passes, whichever route it takes; applied once, to the whole router.
//!
//! A handler runs in a task of its own. hyper drops the handler when the client hangs up, and a
//! time-out would drop it too, but neither a commit nor a query on a database connection may be
//! stopped half-way. The task goes on; only the answer is given up. A panic ends its task and is
//! answered as a defect.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument as _;

use crate::{Problem, headers, observe};

/// The one route that takes a file.
pub const IMPORT_ROUTE: &str = "/v1/inventory/import";
/// When a client may come again after a time-out.
const RETRY_AFTER_TIMEOUT: Duration = Duration::from_secs(1);

/// The settings of what every request passes.
#[derive(Debug, Clone)]
pub struct LayerSettings {
    /// The longest body, in bytes.
    pub body_bytes_max: usize,
    /// The longest body of an import, in bytes.
    pub import_bytes_max: usize,
    /// The longest time until a request is answered.
    pub request_timeout: Duration,
    /// The same for an import.
    pub import_timeout: Duration,
    /// The origins whose scripts may use this API; `*` stands for all, none switches CORS off.
    pub cors_origins: Vec<HeaderValue>,
}

impl Default for LayerSettings {
    fn default() -> Self {
        Self {
            body_bytes_max: 64 * 1024,
            import_bytes_max: 16 * 1024 * 1024,
            request_timeout: Duration::from_secs(30),
            import_timeout: Duration::from_secs(300),
            cors_origins: vec![],
        }
    }
}

/// Puts all layers around a router, which must be complete: what it does not know is answered
/// here. Read from below: the last layer is the first that a request meets.
pub fn around(router: Router, settings: LayerSettings) -> Router {
    let cors = (!settings.cors_origins.is_empty()).then(|| cors(&settings.cors_origins));
    let router = router
        .fallback(async || Problem::not_found("resource"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(from_fn_with_state(Arc::new(settings), run_to_the_end))
        .layer(from_fn(finish_answer));
    let router = match cors {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(from_fn(observe::observe))
}

/// Runs the handler in a task of its own, within the limits of its route.
async fn run_to_the_end(
    State(settings): State<Arc<LayerSettings>>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(MatchedPath::as_str);
    let (bytes_max, timeout) = match route {
        Some(IMPORT_ROUTE) => (settings.import_bytes_max, settings.import_timeout),
        _ => (settings.body_bytes_max, settings.request_timeout),
    };
    DefaultBodyLimit::max(bytes_max).apply(&mut request);
    let reads = request.method().is_safe();
    let task = tokio::spawn(next.run(request).in_current_span());
    match tokio::time::timeout(timeout, task).await {
        Ok(Ok(response)) => response,
        Ok(Err(ended)) => {
            tracing::error!(error = %ended, "a handler ended without an answer: {ended}");
            Problem::internal().into_response()
        }
        Err(_) if reads => Problem::unavailable(RETRY_AFTER_TIMEOUT).into_response(),
        Err(_) => Problem::outcome_unknown(RETRY_AFTER_TIMEOUT).into_response(),
    }
}

/// Adds what a handler need not think of: a problem's instance, and that an answer is nobody
/// else's (report R44) where the handler did not say otherwise.
async fn finish_answer(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let mut finished = problem.at(&path).into_response();
        // What the handler said beside the problem stays, such as that it is a replay.
        for (name, value) in response.headers() {
            if *name != CONTENT_LENGTH {
                finished
                    .headers_mut()
                    .entry(name)
                    .or_insert_with(|| value.clone());
            }
        }
        response = finished;
    }
    let headers = response.headers_mut();
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Lets the scripts of these origins send and read the headers of this API.
fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let origins = match origins.iter().any(|origin| origin == "*") {
        true => AllowOrigin::any(),
        false => AllowOrigin::list(origins.iter().cloned()),
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers(SENT)
        .expose_headers(READ)
        .max_age(Duration::from_secs(3600))
}

/// Headers that a script may send.
const SENT: [HeaderName; 8] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    headers::CONSISTENCY_TOKEN,
    headers::IDEMPOTENCY_KEY,
    headers::PREFER,
    headers::REQUEST_ID,
    headers::TRACEPARENT,
    headers::TRACESTATE,
];

/// Headers that a script may read.
const READ: [HeaderName; 7] = [
    ALLOW,
    LOCATION,
    RETRY_AFTER,
    WWW_AUTHENTICATE,
    headers::CONSISTENCY_TOKEN,
    headers::IDEMPOTENT_REPLAYED,
    headers::REQUEST_ID,
];
