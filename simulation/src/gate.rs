//! The simulated gate: a master and a replica of Redis as far as the protocol can see them, and
//! each process' connection to them.
//!
//! What must stay true: [`server`] does what Redis does and no more; it trusts no caller. Scripts
//! are known by a server until it restarts, the replication id changes on every restart and
//! promotion, and replication is asynchronous. Whether a command may be decided is settled by the
//! same continuity check as in the real scripts; what a command does is the memory gate's own code.

pub mod cluster;
pub mod connection;
pub mod server;
