//! Reading a query string, strictly, and answering a page of a list.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::Problem;

/// The parameters of a query: every one known, named once and with a good value, or a 400. `T`
/// must deny unknown fields.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(query) => Ok(Self(query.0)),
            Err(error) => {
                let error = error.body_text();
                let why = error.strip_prefix("Failed to deserialize query string: ");
                Err(Problem::malformed_parameter(why.unwrap_or(&error)))
            }
        }
    }
}

/// How many rows a page has: 1–200, 50 where the client does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct Limit(u16);

impl Limit {
    /// The longest page.
    pub const MAX: u16 = 200;

    /// The rows.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

impl TryFrom<u32> for Limit {
    type Error = &'static str;
    fn try_from(rows: u32) -> Result<Self, Self::Error> {
        match u16::try_from(rows) {
            Ok(rows) if (1..=Self::MAX).contains(&rows) => Ok(Self(rows)),
            _ => Err("A page has 1 to 200 rows."),
        }
    }
}

/// Reads a parameter through its type's only door, `FromStr`.
///
/// # Errors
/// The door's own sentence.
pub fn by_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(D::Error::custom)
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows, newest first unless stated.
    pub items: Vec<T>,
    /// Send it as `cursor` with the same query for the rows that follow; `null` at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}
