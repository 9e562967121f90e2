//! Personal data in a log that keeps everything: sealed with a key per user, and the secrets
//! that this and every other keyed hash stands on.
//!
//! Plain names, addresses and password hashes come in and [`domain::text::Sealed`] values go out;
//! only what is sealed is ever written. The way of a value: the [`secrets`] file gives the
//! wrapping key, [`personal_key`] makes one key per user, wraps it and seals with it,
//! [`refresh_token`] gives a session something to hold that is stored nowhere, and [`mac`] is the
//! one keyed hash that all of these (and `contract`) use.
//!
//! What must stay true: a key is used for one purpose only, nothing secret can be printed, and a
//! value opens only under the key and the field that it was sealed for.

pub mod mac;
pub mod personal_key;
pub mod refresh_token;
pub mod secrets;

pub use mac::MacKey;
pub use personal_key::{Field, PersonalKey, Unopened, WrappedKey, random_bytes};
pub use refresh_token::RefreshToken;
pub use secrets::{Secrets, SecretsError};
