//! The read side over SQLite: records go into a log, projectors take them into rows, and a client
//! asks through the router as the binary builds it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../../../contract/tests/it/client.rs"]
mod client;
mod freshness;
mod inventory;
mod key_source;
mod malformed;
mod openapi;
mod orders;
mod shop;
mod users;
