//! The binary as its users meet it: started as processes, spoken to over HTTP, killed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod broker;
mod epochs;
mod flow;
mod harness;
mod planted;
mod projecting;
mod properties;
mod readiness;
mod restart;
mod sale;
mod scenarios;
mod settings;
mod signals;
mod smoke;
mod tools;
mod users;
