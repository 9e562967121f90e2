//! The simulated log: partitions as Kafka keeps them, and each process' producer and tails.
//!
//! What must stay true: what landed stays, in order, and is shown to every tail in that order (the
//! protocol assumes no less); everything else may go wrong: an acknowledgement is late or lost, a
//! record lands though its producer was told that nobody knows, or twice, or a minute later.

pub mod broker;
pub mod connection;
mod producer;
