//! What a client sees of the contract, tested through a router as both APIs build it.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod actor;
mod client;
mod consistency;
mod idempotency;
mod layers;
mod problem;
mod query;
mod token;
