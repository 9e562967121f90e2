//! Reading path values: an impossible one is a 404 before any look-up.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use domain::ids::{OrderId, UserId};
use domain::sku::Sku;

use crate::Problem;

/// The one value of a path, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<T>(pub T);

/// What can stand in a path.
pub trait PathValue: Sized {
    /// What a client that names it wrongly is told is not there.
    const NAME: &'static str;

    /// The value; `None` when there can be no such thing.
    fn from_path(text: &str) -> Option<Self>;
}

impl PathValue for OrderId {
    const NAME: &'static str = "order";
    fn from_path(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl PathValue for UserId {
    const NAME: &'static str = "user";
    fn from_path(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl PathValue for Sku {
    const NAME: &'static str = "item";
    fn from_path(text: &str) -> Option<Self> {
        Self::parse(text).ok()
    }
}

impl<S: Send + Sync, T: PathValue> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let values = RawPathParams::from_request_parts(parts, state).await;
        // What is not UTF-8 fails to be read at all and is as impossible.
        let value = values.ok().and_then(|values| match values.iter().next() {
            Some((_, text)) => T::from_path(text),
            // A route that stands in the place of a value ([`crate::layers::IMPORT_ROUTE`] among
            // the items) is one of the values too.
            None => T::from_path(parts.uri.path().rsplit('/').next()?),
        });
        value.map(Self).ok_or_else(|| Problem::not_found(T::NAME))
    }
}
