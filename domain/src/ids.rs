//! Identifiers. All are UUIDs (version 7 when we make them), each a type of its own.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Invalid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Invalid;
            /// Only the canonical form (hyphenated, lower case) is an id: one thing, one path.
            fn from_str(text: &str) -> Result<Self, Invalid> {
                match Uuid::try_parse(text) {
                    Ok(id) if id.hyphenated().to_string() == text => Ok(Self(id)),
                    _ => Err(Invalid::new("An id is a lower-case UUID with hyphens.")),
                }
            }
        }
    };
}

id!(
    /// A user.
    UserId
);
id!(
    /// An order.
    OrderId
);
id!(
    /// One log-in of a user, until it ends.
    SessionId
);
id!(
    /// The key that a user's personal data is sealed with; see `personal-data`.
    PersonalKeyId
);
