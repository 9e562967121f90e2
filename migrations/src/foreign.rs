//! A store that somebody else brings: the same statements in SQLite's words, run wherever its owner
//! wants them to run. It lets a simulation decide when a statement takes effect and whether its
//! answer arrives, with the projectors' own SQL.

use std::fmt;

use futures::future::BoxFuture;

use crate::database::{DatabaseError, Value};

/// A value in a row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A number.
    Integer(i64),
    /// Text or bytes.
    Bytes(Vec<u8>),
}

/// A store of somebody else.
pub trait ForeignDatabase: Send + Sync + fmt::Debug + 'static {
    /// Answers a question.
    fn select<'a>(
        &'a self,
        sql: &'a str,
        values: &'a [Value<'a>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Cell>>, DatabaseError>>;

    /// Runs statements, each for itself, and says how many rows the last one changed.
    fn execute<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<u64, DatabaseError>>;

    /// Runs `fence` and, if it changed a row, the statements, in one transaction. `false`: it
    /// changed none, and nothing was written.
    fn all_or_nothing<'a>(
        &'a self,
        fence: &'a str,
        statements: &'a [String],
    ) -> BoxFuture<'a, Result<bool, DatabaseError>>;
}

impl DatabaseError {
    /// What a store says that does not answer.
    pub fn unanswered(why: &str) -> Self {
        Self::Unavailable(sqlx::Error::Io(std::io::Error::other(why.to_owned())))
    }

    /// What is said of a use that a foreign store does not have.
    pub fn not_on_foreign() -> Self {
        Self::Misconfigured("A foreign store cannot be used like this.".to_owned())
    }
}
