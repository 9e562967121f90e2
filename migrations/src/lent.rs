//! Connections of a pool to MySQL that never wait for ever, and never go back in the middle of an
//! answer.
//!
//! A server whose machine is gone says nothing: no answer comes, and no connection is reset. sqlx has
//! no limit of its own, not even for the ping with which a connection goes back to its pool.

use std::future::Future;
use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlConnection, MySqlPool};
use tokio::time::Timeout;
use tokio::time::error::Elapsed;

/// How long a statement or transaction may take that asks or writes rows; longer than MySQL waits
/// for a row's lock (50 s by default).
const ANSWERED_WITHIN: Duration = Duration::from_secs(75);

/// A connection of a pool. Dropped without [`Lent::answered`], as when nobody waits any more, it is
/// closed: who asked next over it would be waiting for the same answer.
#[derive(Debug)]
pub struct Lent {
    connection: PoolConnection<MySql>,
    is_whole: bool,
}

/// Bounds what is asked over a connection.
pub fn in_time<F: Future>(asked: F) -> Timeout<F> {
    tokio::time::timeout(ANSWERED_WITHIN, asked)
}

/// What was answered, or that the server was silent.
///
/// # Errors
/// As answered; or that nothing was.
pub fn or_silent<T>(asked: Result<Result<T, sqlx::Error>, Elapsed>) -> Result<T, sqlx::Error> {
    asked.unwrap_or_else(|_| {
        let silent = "it has not answered for too long";
        let error = io::Error::new(io::ErrorKind::TimedOut, silent);
        Err(sqlx::Error::Io(error))
    })
}

impl Lent {
    /// A connection, as soon as one is free.
    ///
    /// # Errors
    /// When none becomes free in time, or the server does not take another one.
    pub async fn of(pool: &MySqlPool) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: pool.acquire().await?,
            is_whole: false,
        })
    }

    /// Gives the connection back, with what was asked over it.
    ///
    /// # Errors
    /// What the server answered, or an [`io::ErrorKind::TimedOut`]: then the connection is closed.
    pub fn answered<T>(
        mut self,
        asked: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, sqlx::Error> {
        self.is_whole = asked.is_ok();
        or_silent(asked)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_whole {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Lent {
    type Target = MySqlConnection;

    fn deref(&self) -> &MySqlConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut MySqlConnection {
        &mut self.connection
    }
}
