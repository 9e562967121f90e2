//! Either store behind one door: opened with the settings that the tables rely on, and read as
//! plain integers, text and bytes.
//!
//! The SQL of questions is the same text for both stores, so it is written once; where the two
//! must differ (how rows are written) `projectors` looks at the variants. What was refused: sqlx's
//! `Any`, which knows neither binary columns nor both stores' settings.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlRow};
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    Connection as _, Encode, Executor, MySqlPool, Row as _, SqlSafeStr, SqlStr, SqlitePool, Type,
};

pub use crate::database_error::DatabaseError;
use crate::foreign::{Cell, ForeignDatabase};
use crate::lent::{Lent, in_time};

/// How long a request may wait for a free connection.
const ACQUIRE_AT_MOST: Duration = Duration::from_secs(5);
/// How long a writer may wait for the writers before it: a replay makes indexes and compares.
const QUEUE_AT_MOST: Duration = Duration::from_secs(600);
/// How long SQLite waits for a lock that another connection holds.
const BUSY_AT_MOST: Duration = Duration::from_secs(10);

/// Literals in statements are escaped for this mode (backslash escapes, no ANSI quotes), and a
/// value that does not fit must be an error, never a shorter value. READ COMMITTED spares gap
/// locks; nothing here reads twice in one transaction.
const MYSQL_SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
     SESSION transaction_isolation = 'READ-COMMITTED'";
/// MariaDB before 11.1 names the isolation differently.
const MARIADB_SESSION: &str = "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', \
     SESSION tx_isolation = 'READ-COMMITTED'";

/// A store of read models. Cheap to clone. Opened lazily: that it can be opened says nothing about
/// whether it answers.
#[derive(Clone)]
pub enum Database {
    /// MySQL or MariaDB.
    MySql(MySqlPool),
    /// A file of SQLite.
    Sqlite(SqlitePool),
    /// Somebody else's, in SQLite's words.
    Foreign(Arc<dyn ForeignDatabase>),
}

/// A value that is bound to a statement.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// A number, a time or an amount.
    Integer(i64),
    /// Text.
    Text(&'a str),
    /// An id.
    Bytes(&'a [u8]),
}

/// A row of an answer. Columns are numbered from 0.
#[derive(Debug)]
pub struct Row(Cells);

enum Cells {
    MySql(MySqlRow),
    Sqlite(SqliteRow),
    Foreign(Vec<Cell>),
}

impl Database {
    /// MySQL or MariaDB at `mysql://user:password@host:port/database`.
    ///
    /// A connection that the server closed while it was idle is noticed before it is used, by a
    /// ping (field report R05).
    ///
    /// # Errors
    /// When the URL is malformed or names no database. The message never shows the URL, which has
    /// a password in it.
    pub fn mysql(url: &str, connections: u32) -> Result<Self, DatabaseError> {
        let options: MySqlConnectOptions = url.parse().map_err(|_| {
            DatabaseError::Misconfigured(
                "The URL of MySQL must be mysql://user:password@host:port/database.".to_owned(),
            )
        })?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(DatabaseError::Misconfigured(
                "The URL of MySQL names no database; add /holdfast to it.".to_owned(),
            ));
        }
        let pool = MySqlPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_AT_MOST)
            .test_before_acquire(true)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    // Which of the two it is can only be asked by trying.
                    if connection.execute(MYSQL_SESSION).await.is_err() {
                        connection.execute(MARIADB_SESSION).await?;
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        Ok(Self::MySql(pool))
    }

    /// The one writer of a SQLite file, which is created if it is missing. A single connection, so
    /// that writers queue here in order instead of polling SQLite's lock.
    pub fn sqlite_writer(file: &Path) -> Self {
        // NORMAL may lose the last transactions when power fails, but rows and checkpoint stay
        // one: the log has the rest.
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_AT_MOST)
            // Measured: a statement of many rows keeps a journal of its own (in a file, by
            // default), and indexes that are written everywhere outgrow the default cache of 2 MiB.
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-65536")
            .pragma("wal_autocheckpoint", "4000");
        let pool = lasting(1)
            .acquire_timeout(QUEUE_AT_MOST)
            .before_acquire(|connection, _| {
                Box::pin(async move {
                    // SQLite undoes a transaction by itself when the disk is full. Then sqlx fails
                    // to, and believes for ever that the connection is still in it.
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            });
        Self::Sqlite(pool.connect_lazy_with(options))
    }

    /// Readers of a SQLite file that somebody else writes.
    pub fn sqlite_reader(file: &Path, connections: u32) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .read_only(true)
            .busy_timeout(BUSY_AT_MOST);
        Self::Sqlite(lasting(connections).connect_lazy_with(options))
    }

    /// Asks a question. Asked once more when the connection broke: a question changes nothing.
    ///
    /// # Errors
    /// When the database does not answer or refuses the statement.
    pub async fn select(
        &self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        let sql = sql.into_sql_str();
        match self.select_once(sql.clone(), values).await {
            Err(error) if error.is_disconnected() => self.select_once(sql, values).await,
            other => other,
        }
    }

    async fn select_once(
        &self,
        sql: SqlStr,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, DatabaseError> {
        Ok(match self {
            Self::MySql(pool) => {
                let query = bound::<sqlx::MySql>(sql, values);
                let mut lent = Lent::of(pool).await?;
                let asked = in_time(query.fetch_all(&mut *lent)).await;
                let rows = lent.answered(asked)?;
                rows.into_iter().map(|row| Row(Cells::MySql(row))).collect()
            }
            Self::Sqlite(pool) => {
                let rows = bound::<sqlx::Sqlite>(sql, values).fetch_all(pool).await?;
                rows.into_iter()
                    .map(|row| Row(Cells::Sqlite(row)))
                    .collect()
            }
            Self::Foreign(store) => foreign_rows(store.select(sql.as_str(), values).await?),
        })
    }

    /// Asks a question whose values are literals in its text, without preparing it: for statements
    /// whose shape is different every time.
    ///
    /// # Errors
    /// When the database does not answer or refuses the statement.
    pub async fn select_unprepared(&self, sql: impl SqlSafeStr) -> Result<Vec<Row>, DatabaseError> {
        let sql = sql.into_sql_str();
        Ok(match self {
            Self::MySql(pool) => {
                let query = sqlx::raw_sql(sql);
                let mut lent = Lent::of(pool).await?;
                let asked = in_time(query.fetch_all(&mut *lent)).await;
                let rows = lent.answered(asked)?;
                rows.into_iter().map(|row| Row(Cells::MySql(row))).collect()
            }
            Self::Sqlite(pool) => {
                let rows = sqlx::raw_sql(sql).fetch_all(pool).await?;
                rows.into_iter()
                    .map(|row| Row(Cells::Sqlite(row)))
                    .collect()
            }
            Self::Foreign(store) => foreign_rows(store.select(sql.as_str(), &[]).await?),
        })
    }

    /// Shows every row of an answer that may be too large to hold.
    ///
    /// # Errors
    /// When the database does not answer or refuses the statement, and whatever `visit` returns.
    pub async fn each(
        &self,
        sql: impl SqlSafeStr,
        mut visit: impl FnMut(&Row) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let sql = sql.into_sql_str();
        match self {
            Self::MySql(pool) => {
                let mut rows = sqlx::raw_sql(sql).fetch(pool);
                while let Some(row) = rows.try_next().await? {
                    visit(&Row(Cells::MySql(row)))?;
                }
            }
            Self::Sqlite(pool) => {
                let mut rows = sqlx::raw_sql(sql).fetch(pool);
                while let Some(row) = rows.try_next().await? {
                    visit(&Row(Cells::Sqlite(row)))?;
                }
            }
            Self::Foreign(store) => {
                for row in foreign_rows(store.select(sql.as_str(), &[]).await?) {
                    visit(&row)?;
                }
            }
        }
        Ok(())
    }

    /// Runs statements.
    ///
    /// # Errors
    /// When the database does not answer or refuses one.
    pub async fn execute(&self, sql: impl SqlSafeStr) -> Result<u64, DatabaseError> {
        let sql = sql.into_sql_str();
        if let Self::MySql(pool) = self {
            let query = sqlx::raw_sql(sql);
            let mut lent = Lent::of(pool).await?;
            let asked = in_time(query.execute(&mut *lent)).await;
            let done = lent.answered(asked)?;
            return Ok(done.rows_affected());
        }
        self.execute_at_length(sql).await
    }

    /// Runs statements that may take as long as tables are large.
    ///
    /// # Errors
    /// When the database does not answer or refuses one.
    pub async fn execute_at_length(&self, sql: impl SqlSafeStr) -> Result<u64, DatabaseError> {
        let sql = sql.into_sql_str();
        Ok(match self {
            Self::MySql(pool) => sqlx::raw_sql(sql).execute(pool).await?.rows_affected(),
            Self::Sqlite(pool) => sqlx::raw_sql(sql).execute(pool).await?.rows_affected(),
            Self::Foreign(store) => store.execute(sql.as_str()).await?,
        })
    }

    /// Closes every connection. Afterwards every call fails.
    pub async fn close(&self) {
        match self {
            Self::MySql(pool) => pool.close().await,
            Self::Sqlite(pool) => pool.close().await,
            Self::Foreign(_) => {}
        }
    }
}

fn foreign_rows(rows: Vec<Vec<Cell>>) -> Vec<Row> {
    rows.into_iter()
        .map(|row| Row(Cells::Foreign(row)))
        .collect()
}

/// The bytes of a foreign cell; `None` for NULL.
fn foreign_bytes(row: &[Cell], column: usize) -> Result<Option<Vec<u8>>, DatabaseError> {
    match row.get(column) {
        Some(Cell::Null) => Ok(None),
        Some(Cell::Bytes(bytes)) => Ok(Some(bytes.clone())),
        Some(Cell::Integer(_)) | None => Err(not_a("bytes", column)),
    }
}

fn not_a(kind: &str, column: usize) -> DatabaseError {
    DatabaseError::Unreadable(format!("column {column} is not {kind}"))
}

/// SQLite has no server that could close connections, so they are kept for ever.
fn lasting(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_AT_MOST)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn bound<'q, DB>(sql: SqlStr, values: &[Value<'q>]) -> Query<'q, DB, DB::Arguments>
where
    DB: sqlx::Database,
    i64: Encode<'q, DB> + Type<DB>,
    &'q str: Encode<'q, DB> + Type<DB>,
    &'q [u8]: Encode<'q, DB> + Type<DB>,
{
    values
        .iter()
        .fold(sqlx::query(sql), |query, value| match *value {
            Value::Integer(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
        })
}

impl Row {
    /// A number.
    ///
    /// # Errors
    /// When the column is NULL or no number.
    pub fn integer(&self, column: usize) -> Result<i64, DatabaseError> {
        Ok(match &self.0 {
            Cells::MySql(row) => row.try_get_unchecked(column)?,
            Cells::Sqlite(row) => row.try_get_unchecked(column)?,
            Cells::Foreign(row) => match row.get(column) {
                Some(Cell::Integer(number)) => *number,
                Some(Cell::Null | Cell::Bytes(_)) | None => return Err(not_a("a number", column)),
            },
        })
    }

    /// A number that is never negative: a version, an offset, an epoch.
    ///
    /// # Errors
    /// When the column is NULL or negative.
    pub fn unsigned(&self, column: usize) -> Result<u64, DatabaseError> {
        u64::try_from(self.integer(column)?)
            .map_err(|_| DatabaseError::Unreadable(format!("column {column} is negative")))
    }

    /// Bytes, or `None` for NULL.
    ///
    /// # Errors
    /// When there is no such column.
    pub fn optional_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, DatabaseError> {
        // Unchecked, because text is read through here too: on MySQL it stands in binary columns.
        Ok(match &self.0 {
            Cells::MySql(row) => row.try_get_unchecked(column)?,
            Cells::Sqlite(row) => row.try_get_unchecked(column)?,
            Cells::Foreign(row) => foreign_bytes(row, column)?,
        })
    }

    /// Bytes.
    ///
    /// # Errors
    /// When the column is NULL.
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, DatabaseError> {
        self.optional_bytes(column)?
            .ok_or_else(|| DatabaseError::Unreadable(format!("column {column} is empty")))
    }

    /// Text, or `None` for NULL.
    ///
    /// # Errors
    /// When the column is not UTF-8.
    pub fn optional_text(&self, column: usize) -> Result<Option<String>, DatabaseError> {
        self.optional_bytes(column)?
            .map(String::from_utf8)
            .transpose()
            .map_err(|_| DatabaseError::Unreadable(format!("column {column} is not UTF-8")))
    }

    /// Text.
    ///
    /// # Errors
    /// When the column is NULL or not UTF-8.
    pub fn text(&self, column: usize) -> Result<String, DatabaseError> {
        self.optional_text(column)?
            .ok_or_else(|| DatabaseError::Unreadable(format!("column {column} is empty")))
    }

    /// A UUID.
    ///
    /// # Errors
    /// When the column does not have 16 bytes.
    pub fn uuid(&self, column: usize) -> Result<uuid::Uuid, DatabaseError> {
        self.optional_uuid(column)?
            .ok_or_else(|| DatabaseError::Unreadable(format!("column {column} is empty")))
    }

    /// A UUID, or `None` for NULL.
    ///
    /// # Errors
    /// When the column does not have 16 bytes.
    pub fn optional_uuid(&self, column: usize) -> Result<Option<uuid::Uuid>, DatabaseError> {
        self.optional_bytes(column)?
            .map(|bytes| uuid::Uuid::from_slice(&bytes))
            .transpose()
            .map_err(|_| DatabaseError::Unreadable(format!("column {column} is not an id")))
    }

    /// A word (see [`crate::words`]).
    ///
    /// # Errors
    /// When the column does not hold a word of `T`.
    pub fn word<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, DatabaseError> {
        self.parsed(column, |word| crate::words::meaning(word))
    }

    /// Text that a type of the domain parses.
    ///
    /// # Errors
    /// When the column is NULL or `parse` refuses it.
    pub fn parsed<T, E: fmt::Display>(
        &self,
        column: usize,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, DatabaseError> {
        parse(&self.text(column)?)
            .map_err(|error| DatabaseError::Unreadable(format!("column {column}: {error}")))
    }
}

impl fmt::Debug for Database {
    /// Says which store it is and nothing of its address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MySql(_) => "MySQL",
            Self::Sqlite(_) => "SQLite",
            Self::Foreign(_) => "foreign",
        })
    }
}

impl fmt::Debug for Cells {
    /// Rows hold personal data; nothing of them is printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}
