//! The figures of every row, all of one moment: what an audit compares with the log.
//!
//! Read in pages by key, so that no answer of the database is huge, inside one read-only
//! transaction on a snapshot, so that rows and checkpoints are of one moment although projectors
//! go on. The transaction ends with the dump: on SQLite it keeps the write-ahead file from being
//! reused for as long as it takes.

use migrations::{Database, DatabaseError};
use sqlx::{AssertSqlSafe, Connection as _, Executor, Pool, Row as _};
use uuid::Uuid;

use super::ReadModels;

/// Rows of one page.
const PAGE: usize = 5_000;

/// READ COMMITTED, which the connections are set to, would give every page its own moment.
const MYSQL_SNAPSHOT: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
const MYSQL_BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
/// SQLite's transactions are snapshots from their first read on.
const SQLITE_BEGIN: &str = "BEGIN";

/// The figures of every order and item. Plain data as it stands in the rows, so that what a row
/// must not hold can be seen too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dump {
    /// How far every partition is in the rows.
    pub checkpoints: Vec<DumpedCheckpoint>,
    /// Every order, by id.
    pub orders: Vec<DumpedOrder>,
    /// Every item, stubs included, by SKU.
    pub items: Vec<DumpedItem>,
    /// Every user, by id.
    pub users: Vec<DumpedUser>,
    /// The stock ledger, summed up by SKU.
    pub ledger: Vec<DumpedLedger>,
}

/// A row of `checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedCheckpoint {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: i64,
    /// The offset that comes next.
    pub next_offset: i64,
    /// The highest fence before it.
    pub highest_fence: i64,
}

/// A row of `orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedOrder {
    /// Its id.
    pub id: Uuid,
    /// The word of its status.
    pub status: String,
    /// Its total in minor units.
    pub total: i64,
}

/// A row of `inventory`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedItem {
    /// Its SKU.
    pub sku: String,
    /// Units supplied.
    pub supplied: i64,
    /// Units held.
    pub held: i64,
    /// Units sold.
    pub sold: i64,
}

/// A row of `users`, without what is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedUser {
    /// Its id.
    pub id: Uuid,
    /// The keyed hash of its address.
    pub email_hash: String,
    /// The word of its role.
    pub role: String,
    /// Its version.
    pub version: i64,
}

/// The rows of `inventory_movements` of one SKU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedLedger {
    /// The SKU.
    pub sku: String,
    /// How many there are.
    pub entries: i64,
    /// The sum of their quantities.
    pub quantity: i64,
}

impl ReadModels {
    /// Dumps the figures of every row.
    ///
    /// # Errors
    /// When the store does not answer, or a row cannot be read.
    pub async fn dump(&self) -> Result<Dump, DatabaseError> {
        match &self.database {
            Database::MySql(pool) => dump(pool, Some(MYSQL_SNAPSHOT), MYSQL_BEGIN).await,
            Database::Sqlite(pool) => dump(pool, None, SQLITE_BEGIN).await,
            Database::Foreign(_) => Err(DatabaseError::not_on_foreign()),
        }
    }
}

/// `before` runs on the same connection, right before the transaction begins.
async fn dump<DB>(
    pool: &Pool<DB>,
    before: Option<&'static str>,
    begin: &'static str,
) -> Result<Dump, DatabaseError>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    DB::Row: Cells,
{
    let mut connection = pool.acquire().await?;
    if let Some(before) = before {
        sqlx::raw_sql(before).execute(&mut *connection).await?;
    }
    let mut transaction = connection.begin_with(begin).await?;
    let checkpoints = "SELECT topic, partition_number, next_offset, highest_fence FROM checkpoints";
    let checkpoints = page(&mut transaction, checkpoints.to_owned(), checkpoint).await?;
    let orders = |after: Option<&DumpedOrder>| {
        let behind = after.map(|last| format!("WHERE id > x'{}'", last.id.simple()));
        select("id, status, total FROM orders", behind, "id")
    };
    let orders = pages(&mut transaction, orders, order).await?;
    let items = |after: Option<&DumpedItem>| {
        let behind = after.map(|last| format!("WHERE sku > '{}'", last.sku.replace('\'', "''")));
        select("sku, supplied, held, sold FROM inventory", behind, "sku")
    };
    let items = pages(&mut transaction, items, item).await?;
    let users = |after: Option<&DumpedUser>| {
        let behind = after.map(|last| format!("WHERE id > x'{}'", last.id.simple()));
        select("id, email_hash, role, version FROM users", behind, "id")
    };
    let users = pages(&mut transaction, users, user).await?;
    let ledger = page(&mut transaction, LEDGER.to_owned(), ledger).await?;
    transaction.commit().await?;
    Ok(Dump {
        checkpoints,
        orders,
        items,
        users,
        ledger,
    })
}

/// Summed up where it stands, for there are more movements than anything else. MySQL's sums are
/// decimals until they are told otherwise.
const LEDGER: &str = "SELECT sku, COUNT(*), CAST(SUM(quantity) AS SIGNED) \
     FROM inventory_movements GROUP BY sku";

fn select(columns: &str, behind: Option<String>, key: &str) -> String {
    let behind = behind.unwrap_or_default();
    format!("SELECT {columns} {behind} ORDER BY {key} LIMIT {PAGE}")
}

/// Page after page, each behind the last row of the one before.
async fn pages<DB, T>(
    connection: &mut DB::Connection,
    sql: impl Fn(Option<&T>) -> String,
    read: impl Fn(&DB::Row) -> Result<T, DatabaseError>,
) -> Result<Vec<T>, DatabaseError>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let mut all = Vec::new();
    loop {
        let rows = page::<DB, T>(connection, sql(all.last()), &read).await?;
        let more = rows.len() == PAGE;
        all.extend(rows);
        if !more {
            return Ok(all);
        }
    }
}

/// The text is this file's own, but for keys that were read from the rows and are escaped.
async fn page<DB, T>(
    connection: &mut DB::Connection,
    sql: String,
    read: impl Fn(&DB::Row) -> Result<T, DatabaseError>,
) -> Result<Vec<T>, DatabaseError>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let rows = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

/// What both stores' rows can be asked. Unchecked, for text stands in binary columns on MySQL.
trait Cells {
    fn integer(&self, column: usize) -> Result<i64, sqlx::Error>;
    fn bytes(&self, column: usize) -> Result<Vec<u8>, sqlx::Error>;

    fn text(&self, column: usize) -> Result<String, DatabaseError> {
        String::from_utf8(self.bytes(column)?)
            .map_err(|_| DatabaseError::Unreadable(format!("column {column} is not UTF-8")))
    }
}

macro_rules! cells_of {
    ($row:ty) => {
        impl Cells for $row {
            fn integer(&self, column: usize) -> Result<i64, sqlx::Error> {
                self.try_get_unchecked(column)
            }
            fn bytes(&self, column: usize) -> Result<Vec<u8>, sqlx::Error> {
                self.try_get_unchecked(column)
            }
        }
    };
}
cells_of!(sqlx::mysql::MySqlRow);
cells_of!(sqlx::sqlite::SqliteRow);

fn checkpoint(row: &impl Cells) -> Result<DumpedCheckpoint, DatabaseError> {
    Ok(DumpedCheckpoint {
        topic: row.text(0)?,
        partition: row.integer(1)?,
        next_offset: row.integer(2)?,
        highest_fence: row.integer(3)?,
    })
}

fn order(row: &impl Cells) -> Result<DumpedOrder, DatabaseError> {
    Ok(DumpedOrder {
        id: Uuid::from_slice(&row.bytes(0)?)
            .map_err(|_| DatabaseError::Unreadable("an order's id has not 16 bytes".to_owned()))?,
        status: row.text(1)?,
        total: row.integer(2)?,
    })
}

fn item(row: &impl Cells) -> Result<DumpedItem, DatabaseError> {
    Ok(DumpedItem {
        sku: row.text(0)?,
        supplied: row.integer(1)?,
        held: row.integer(2)?,
        sold: row.integer(3)?,
    })
}

fn user(row: &impl Cells) -> Result<DumpedUser, DatabaseError> {
    Ok(DumpedUser {
        id: Uuid::from_slice(&row.bytes(0)?)
            .map_err(|_| DatabaseError::Unreadable("a user's id has not 16 bytes".to_owned()))?,
        email_hash: row.text(1)?,
        role: row.text(2)?,
        version: row.integer(3)?,
    })
}

fn ledger(row: &impl Cells) -> Result<DumpedLedger, DatabaseError> {
    Ok(DumpedLedger {
        sku: row.text(0)?,
        entries: row.integer(1)?,
        quantity: row.integer(2)?,
    })
}
