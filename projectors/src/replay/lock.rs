//! What a replay holds: the right to be the only one, and for a moment the checkpoints.

use std::sync::Arc;
use std::time::Duration;

use migrations::lent::{in_time, or_silent};
use migrations::{Database, DatabaseError};
use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection};
use tokio::sync::OwnedMutexGuard;

use super::ReplayError;
use crate::store::{ReadModels, Tries};

/// The server takes everything back from a replay that says nothing for so long.
const SILENT_AT_MOST: Duration = Duration::from_secs(30);
/// How often it says that it is there.
const SAYS_SO_EVERY: Duration = Duration::from_secs(5);

/// The lock's name on MySQL, whose locks are the whole server's.
const NAME: &str = "CONCAT('holdfast.replay.', LEFT(SHA2(DATABASE(), 256), 40))";

/// A replay's right to be the only one.
pub(super) enum Lock {
    /// On MySQL it is a lock of the server, tied to a connection of its own. The same connection
    /// holds the checkpoints later.
    MySql(Box<MySqlConnection>),
    /// A SQLite file has one process that writes it, so a lock of that process does. Whoever brings
    /// a store sees to it that one process at a time replays there.
    OfProcess { _held: OwnedMutexGuard<()> },
}

impl Lock {
    /// Takes the lock; `None` when another replay has it.
    pub(super) async fn take(live: &ReadModels) -> Result<Option<Self>, DatabaseError> {
        let pool = match live.database() {
            Database::MySql(pool) => pool,
            Database::Sqlite(_) | Database::Foreign(_) => {
                let lock = Arc::clone(&live.replaying).try_lock_owned();
                return Ok(lock.ok().map(|_held| Self::OfProcess { _held }));
            }
        };
        let mut connection = pool.acquire().await?.detach();
        // A process that stands still, or whose machine is gone, must not hold the checkpoints.
        let silence = SILENT_AT_MOST.as_secs();
        connection
            .execute(AssertSqlSafe(format!(
                "SET SESSION wait_timeout = {silence}, lock_wait_timeout = 10"
            )))
            .await?;
        let sql = format!("SELECT GET_LOCK({NAME}, 0)");
        let asked = sqlx::query_scalar(AssertSqlSafe(sql));
        let taken: Option<i64> = asked.fetch_one(&mut connection).await?;
        Ok((taken == Some(1)).then(|| Self::MySql(Box::new(connection))))
    }

    /// Does something that takes long, and says meanwhile that whoever holds this is there.
    pub(super) async fn held_during<T>(
        &mut self,
        work: impl Future<Output = Result<T, ReplayError>>,
    ) -> Result<T, ReplayError> {
        let Self::MySql(connection) = self else {
            return work.await;
        };
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(SAYS_SO_EVERY, work.as_mut()).await {
                Ok(done) => return done,
                // Broken off, an answer might be taken for that of the next statement.
                Err(_) => or_silent(in_time(connection.execute("DO 0")).await)
                    .map_err(DatabaseError::from)?,
            };
        }
    }

    /// The connection that holds it, on MySQL.
    pub(super) fn connection(&mut self) -> Option<&mut MySqlConnection> {
        match self {
            Self::MySql(connection) => Some(connection),
            Self::OfProcess { .. } => None,
        }
    }

    /// Holds the checkpoints, so that no projector of another process can finish a transaction.
    pub(super) async fn freeze_elsewhere(&mut self) -> Result<(), DatabaseError> {
        // Projectors that begin anew lock more than one row too, in another order.
        let mut tries = Tries::default();
        while let Err(error) = self.try_to_freeze().await {
            if !tries.again(&error) {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn try_to_freeze(&mut self) -> Result<(), DatabaseError> {
        if let Self::MySql(connection) = self {
            // It ends the transaction of an earlier try, too.
            connection.execute("START TRANSACTION").await?;
            connection
                .execute("SELECT next_offset FROM checkpoints FOR UPDATE")
                .await?;
        }
        Ok(())
    }

    /// Lets go of the checkpoints.
    pub(super) async fn thaw_elsewhere(&mut self) -> Result<(), DatabaseError> {
        if let Self::MySql(connection) = self {
            connection.execute("ROLLBACK").await?;
        }
        Ok(())
    }

    /// Runs a statement that has to be alone with its tables, on MySQL; `false`: somebody reads one
    /// of them for long. It waits for them for a moment only, for all who come behind it wait, too.
    pub(super) async fn execute_alone(&mut self, sql: &str) -> Result<bool, DatabaseError> {
        let Self::MySql(connection) = self else {
            return Err(DatabaseError::not_on_foreign());
        };
        connection
            .execute("SET SESSION lock_wait_timeout = 1")
            .await?;
        match connection.execute(AssertSqlSafe(sql)).await {
            Ok(_) => Ok(true),
            Err(error) => {
                let error = DatabaseError::from(error);
                if error.is_conflict() {
                    return Ok(false);
                }
                Err(error)
            }
        }
    }

    /// Lets go of everything. The server hears of a closed connection some time later, and until
    /// then another replay would be told that this one goes on.
    pub(super) async fn release(self) -> Result<(), DatabaseError> {
        if let Self::MySql(mut connection) = self {
            connection.execute("ROLLBACK").await?;
            let sql = format!("DO RELEASE_LOCK({NAME})");
            connection.execute(AssertSqlSafe(sql)).await?;
            connection.close().await?;
        }
        Ok(())
    }
}
