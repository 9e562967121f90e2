//! Idempotency keys and what a retry is compared by.
//!
//! The gate and the log keep keyed hashes only: a key may hold an order number or a name, and a
//! body is none of the log's business. The hash is keyed so that neither can be guessed from it.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use personal_data::MacKey;
use record::{Actor, RecordedKey};
use serde_json::Value;

use crate::{Problem, headers};

/// The longest key, in characters.
const LENGTH_MAX: usize = 255;

/// The `Idempotency-Key` of a request that needs one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The `Idempotency-Key` of a request that may have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalIdempotencyKey(pub Option<IdempotencyKey>);

impl IdempotencyKey {
    /// A key of 1–255 visible ASCII characters.
    pub fn parse(text: &str) -> Option<Self> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        (visible && (1..=LENGTH_MAX).contains(&text.len())).then(|| Self(text.to_owned()))
    }

    /// The key as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OptionalIdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let name = &headers::IDEMPOTENCY_KEY;
        let Some(text) = headers::single(&parts.headers, name)? else {
            return Ok(Self(None));
        };
        let key = IdempotencyKey::parse(text).ok_or_else(|| {
            Problem::malformed_header(name, "It has 1 to 255 visible ASCII characters.")
        })?;
        Ok(Self(Some(key)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let key = OptionalIdempotencyKey::from_request_parts(parts, state).await?;
        key.0.ok_or_else(Problem::idempotency_key_missing)
    }
}

/// Hashes keys and requests as [`RecordedKey`] holds them.
#[derive(Debug, Clone)]
pub struct Fingerprints(MacKey);

impl Fingerprints {
    /// With the fingerprint key of the secrets file.
    pub fn new(key: MacKey) -> Self {
        Self(key)
    }

    /// A key of an actor, and the request it stands for. `body` is the body without secrets.
    pub fn of_json(
        &self,
        actor: &Actor,
        key: &IdempotencyKey,
        method: &str,
        path: &str,
        body: &Value,
    ) -> RecordedKey {
        let mut canonical = Vec::new();
        write_canonical(body, &mut canonical);
        self.of_bytes(actor, key, method, path, &canonical)
    }

    /// The same for a body that is not JSON: compared byte by byte.
    pub fn of_bytes(
        &self,
        actor: &Actor,
        key: &IdempotencyKey,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> RecordedKey {
        let (kind, id) = identity(actor);
        let (method, path) = (method.as_bytes(), path.as_bytes());
        RecordedKey {
            key: self
                .0
                .short_tag("idempotency-key", &[kind, &id, key.as_str().as_bytes()]),
            fingerprint: self.0.short_tag("fingerprint", &[method, path, body]),
        }
    }
}

/// Whose a key is. The role does not count: a promotion between two attempts changes nothing.
fn identity(actor: &Actor) -> (&'static [u8], Vec<u8>) {
    match actor {
        Actor::User { id, .. } => (b"user", id.0.as_bytes().to_vec()),
        Actor::Anonymous { email_hash } => (b"anonymous", email_hash.as_str().into()),
        Actor::Operator => (b"operator", vec![]),
    }
}

/// Writes JSON with sorted members and without blanks, so that equal values are equal bytes.
/// serde_json sorts by itself only as long as no crate in the build asks it to keep the order.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    let separated = |out: &mut Vec<u8>, index: usize| {
        if index > 0 {
            out.push(b',');
        }
    };
    match value {
        Value::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                separated(out, index);
                write_canonical(element, out);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                separated(out, index);
                out.extend(Value::from(name.as_str()).to_string().bytes());
                out.push(b':');
                write_canonical(member, out);
            }
            out.push(b'}');
        }
        leaf => out.extend(leaf.to_string().bytes()),
    }
}
