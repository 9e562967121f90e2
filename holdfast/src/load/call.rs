//! One request, kept whole so that it can be sent again exactly as it was.

use contract::headers::IDEMPOTENCY_KEY;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Method, Uri};
use serde::Serialize;

/// A request. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) uri: Uri,
    /// Its headers, but for those of the connection.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// An access token, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(HeaderValue);

impl Bearer {
    /// The header's value for this token.
    ///
    /// # Errors
    /// When the token has characters that no header may have.
    pub(crate) fn new(token: &str) -> anyhow::Result<Self> {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Call {
    /// A request without a body.
    pub(crate) fn bare(method: Method, uri: Uri) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        Self {
            method,
            uri,
            headers,
            body,
        }
    }

    /// A question.
    pub(crate) fn get(uri: Uri) -> Self {
        Self::bare(Method::GET, uri)
    }

    /// A write with a JSON body.
    pub(crate) fn json(method: Method, uri: Uri, body: &impl Serialize) -> Self {
        let json = serde_json::to_vec(body).expect("a body here has only text keys");
        Self::prepared(method, uri, Bytes::from(json))
    }

    /// A write whose JSON was written before.
    pub(crate) fn prepared(method: Method, uri: Uri, body: Bytes) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self {
            method,
            uri,
            headers,
            body,
        }
    }

    /// The same, in somebody's name.
    pub(crate) fn by(mut self, bearer: &Bearer) -> Self {
        self.headers.insert(AUTHORIZATION, bearer.0.clone());
        self
    }

    /// The same, under an idempotency key of its own.
    pub(crate) fn under_new_key(mut self) -> Self {
        let key = HeaderValue::from_str(&uuid::Uuid::now_v7().to_string())
            .expect("a UUID is visible ASCII");
        self.headers.insert(IDEMPOTENCY_KEY, key);
        self
    }
}
