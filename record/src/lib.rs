//! What is written: the record that one command appends, its envelope, where it goes and how
//! every reader judges it. Pure; shared by the writer and all readers of the log.
//!
//! A record is one message on one partition, hence atomic. Its [`envelope`] is frozen: every
//! version of the program can read the envelope of every other, so that even a record whose body
//! it does not know can be fenced, skipped or refused. The [`body`] has the events and what
//! explains them. [`partition`] says where a record goes, [`position`] where it stands,
//! [`reader`] whether it counts, and [`epochs`] what stands in the topic of claims.
//!
//! The schema is documented in `record/SCHEMA.md`.

pub mod body;
pub mod envelope;
pub mod epochs;
pub mod partition;
pub mod position;
pub mod reader;

pub use body::{Actor, Body, Events, Recalled, Record, RecordedKey};
pub use envelope::{AggregateType, Envelope, RecordId};
pub use partition::{Layout, Partition, Topic};
pub use position::Position;

/// Why bytes from the log are not a record that this program can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes do not start with the frozen envelope.
    #[error("the record has no readable envelope: {0}")]
    Envelope(&'static str),
    /// The body was written in a format that is newer than this program.
    #[error("the record has format {found}, but this program reads up to {known}; upgrade it")]
    NewerFormat {
        /// The record's format.
        found: u16,
        /// The newest format that is read here.
        known: u16,
    },
    /// The body does not fit its format.
    #[error("the record's body cannot be read: {0}")]
    Body(String),
}
