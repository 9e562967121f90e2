//! What of a request goes into the record, beside its body: who asked, with which key, and the
//! ids by which it is found again.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use contract::{Fingerprints, IdempotencyKey, RequestContext};
use serde_json::Value;

use crate::commit::Request;

/// A request without its body.
#[derive(Debug)]
pub(super) struct Asked {
    context: RequestContext,
    method: Method,
    path: String,
}

impl Asked {
    /// A command of this actor, without a key.
    pub(super) fn by(self, actor: impl Into<record::Actor>) -> Request {
        Request {
            actor: actor.into(),
            key: None,
            correlation_id: self.context.correlation_id,
            traceparent: self.context.traceparent,
        }
    }

    /// A command of this actor; with a key, a repetition is told by method, path and body.
    /// `body` must have no secrets in it.
    pub(super) fn keyed(
        self,
        fingerprints: &Fingerprints,
        actor: impl Into<record::Actor>,
        key: Option<&IdempotencyKey>,
        body: &Value,
    ) -> Request {
        let actor = actor.into();
        let recorded = key
            .map(|key| fingerprints.of_json(&actor, key, self.method.as_str(), &self.path, body));
        Request {
            key: recorded,
            ..self.by(actor)
        }
    }

    /// The commands of a file, likewise; compared byte by byte.
    pub(super) fn keyed_file(
        self,
        fingerprints: &Fingerprints,
        actor: impl Into<record::Actor>,
        key: Option<&IdempotencyKey>,
        file: &[u8],
    ) -> Request {
        let actor = actor.into();
        let (method, path) = (self.method.as_str(), &*self.path);
        let recorded = key.map(|key| fingerprints.of_bytes(&actor, key, method, path, file));
        Request {
            key: recorded,
            ..self.by(actor)
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            context: RequestContext::from_request_parts(parts, state).await?,
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
        })
    }
}
