//! What is true: users, inventory items and orders as pure decisions.
//!
//! A command comes in with everything it needs to be judged (ids, the time, the terms of the
//! items it names) and events or a refusal go out. There is no I/O, no clock, no randomness and
//! no `async` here; `cqrs-es` aggregates only forward to `decide` and `apply`.
//!
//! What must stay true: a value that exists is valid (its only door is `parse` or `new`), `apply`
//! never refuses, and `decide` never changes anything.
//!
//! In the order a command passes them: the values it is made of ([`text`], [`email`], [`sku`],
//! [`quantity`], [`money`], [`ids`], [`time`]), then the aggregates ([`user`], [`inventory`],
//! [`order`]), then what an event does to stock ([`stock`]).

pub mod email;
pub mod ids;
pub mod inventory;
pub mod money;
pub mod order;
pub mod quantity;
pub mod sku;
pub mod stock;
pub mod text;
pub mod time;
pub mod user;

/// Why a value was refused, in words that can be shown to the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A refusal with this sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// Lets a parsed text value be read by serde through the same door as everywhere else.
macro_rules! serde_by_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                <$name>::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_by_text;
