//! What both APIs say alike, so that a client meets one system: how a request is read and how an
//! answer, a refusal or a token looks.
//!
//! A request passes these modules in this order. [`layers`] gives it an id, a time limit and a
//! line in the log; [`actor`] says who asks ([`token`] checks the signature); [`json`] and
//! [`list`] read body and query, strictly; [`idempotency`] and [`consistency`] read what makes a
//! retry safe and a read fresh; [`cursor`] leads through lists. The answer is one of [`answers`]
//! or a [`problem`]. [`session`] and [`operations`] are the few routes that every role has, and
//! [`openapi`] makes one document of all routes, with [`schema`] and [`refused`] as its words.
//!
//! There is no store and no I/O here: what needs one is passed in as a closure or as plain data.

pub mod actor;
pub mod answers;
pub mod consistency;
pub mod cursor;
pub mod headers;
pub mod idempotency;
pub mod json;
pub mod layers;
pub mod list;
pub mod observe;
pub mod openapi;
pub mod operations;
pub mod path;
pub mod problem;
pub mod refused;
pub mod schema;
pub mod session;
pub mod token;

pub use actor::{Actor, Admin, OptionalActor, Staff};
pub use consistency::ConsistencyTokens;
pub use cursor::Cursors;
pub use idempotency::{Fingerprints, IdempotencyKey, OptionalIdempotencyKey};
pub use json::{Body, OptionalBody};
pub use list::{Page, Query};
pub use observe::RequestContext;
pub use path::Path;
pub use problem::{FieldError, Problem};
pub use token::{TokenSigner, TokenVerifier};
