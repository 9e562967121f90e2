//! What a store may answer instead of rows, sorted by what can be done about it.

use sqlx::mysql::MySqlDatabaseError;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It does not answer; try again.
    #[error("the read models' database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// It answered with an error.
    #[error("the read models' database refused a statement")]
    Refused(#[source] sqlx::Error),
    /// A row does not hold what this program wrote.
    #[error("a row of the read models cannot be read: {0}")]
    Unreadable(String),
    /// It cannot be used like this.
    #[error("{0}")]
    Misconfigured(String),
}

/// MySQL's numbers of errors that undo the work of a transaction for reasons of concurrency: lock
/// wait time-out, deadlock, and a row changed since it was read.
const CONFLICTS: [u16; 3] = [1205, 1213, 1020];
/// The server is going away, or closed this connection: shutdown, killed, idle for too long.
const DISCONNECTS: [u16; 4] = [1053, 1317, 1927, 4031];

impl DatabaseError {
    /// Another transaction was in the way. The whole transaction must be rolled back and may be
    /// tried again: after a lock wait time-out MySQL undoes one statement only and leaves the rest
    /// of the transaction standing.
    pub fn is_conflict(&self) -> bool {
        self.mysql_number().is_some_and(|n| CONFLICTS.contains(&n))
            || matches!(self.sqlite_code(), Some(5 | 6))
    }

    /// The connection is gone. Whether the last statement took effect is not known.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, Self::Unavailable(sqlx::Error::Io(_)))
            || self
                .mysql_number()
                .is_some_and(|n| DISCONNECTS.contains(&n))
    }

    /// A table is not there (yet).
    pub fn is_missing_table(&self) -> bool {
        self.mysql_number() == Some(1146)
            || self
                .database_error()
                .is_some_and(|error| error.message().starts_with("no such table"))
    }

    /// The rows and what was to be written do not go together: a row is damaged, or was written by
    /// somebody else. It will not pass by itself.
    pub fn is_of_rows(&self) -> bool {
        let violates = |error: &dyn sqlx::error::DatabaseError| {
            !matches!(error.kind(), sqlx::error::ErrorKind::Other)
        };
        matches!(self, Self::Unreadable(_)) || self.database_error().is_some_and(violates)
    }

    fn database_error(&self) -> Option<&dyn sqlx::error::DatabaseError> {
        match self {
            Self::Refused(sqlx::Error::Database(error)) => Some(error.as_ref()),
            _ => None,
        }
    }

    fn mysql_number(&self) -> Option<u16> {
        let error = self.database_error()?;
        Some(error.try_downcast_ref::<MySqlDatabaseError>()?.number())
    }

    /// The primary result code, without the extension in the higher bits.
    fn sqlite_code(&self) -> Option<u32> {
        let error = self.database_error()?;
        error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
        Some(error.code()?.parse::<u32>().ok()? & 0xff)
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed => Self::Unavailable(error),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::Decode(_) => Self::Unreadable(error.to_string()),
            other => Self::Refused(other),
        }
    }
}
