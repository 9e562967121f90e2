//! READ MODEL → ANSWER: everything that `GET` and `HEAD` ask for.
//!
//! A request comes in through [`http`], where a handler says who may ask and for what; it waits
//! until the rows have seen the client's own writes ([`freshness`]), asks one question of the
//! [`read_model`] and shapes the answer as `contract` states it. Personal data is opened here and
//! nowhere before. [`key_source`] keeps the keys of access tokens, where another role signs them.
//!
//! What must stay true: nothing here writes or decides, and nothing here knows Redis or Kafka; a
//! position in the log is plain data. Handlers are meant to run inside `contract`'s layers, which
//! let them finish when a client hangs up: a query must not be dropped half-way.

mod api;
pub mod freshness;
pub mod http;
pub mod key_source;
pub mod read_model;

pub use api::Api;
pub use key_source::KeySource;
