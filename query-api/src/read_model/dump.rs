//! The figures of every row, all of one moment: what an audit compares with the log.
//!
//! Read in pages by key, so that no answer of the database is huge, inside one read-only
//! transaction on a snapshot, so that rows and checkpoints are of one moment although projectors
//! go on. The transaction ends with the dump: on SQLite it keeps the write-ahead file from being
//! reused for as long as it takes.

use futures::TryStreamExt;
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
    /// The id of the log that the rows were made from; `None` while there are none.
    pub log_id: Option<Uuid>,
    /// How far every partition is in the rows.
    pub checkpoints: Vec<DumpedCheckpoint>,
    /// Every order, by id.
    pub orders: Vec<DumpedOrder>,
    /// The figures of every item, stubs included, by SKU.
    pub items: Vec<DumpedItem>,
    /// What the catalogue says of each of them, in the same order.
    pub catalogue: Vec<DumpedEntry>,
    /// Every user, by id.
    pub users: Vec<DumpedUser>,
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
    /// Whose it is; nil where that cannot be read.
    pub user_id: Uuid,
    /// The word of its status.
    pub status: String,
    /// Its total in minor units.
    pub total: i64,
    /// The currency of that.
    pub currency: String,
    /// When it was placed: microseconds since 1970.
    pub placed_at: i64,
    /// Its version.
    pub version: i64,
    /// The JSON of its lines.
    pub lines: String,
    /// The JSON of its history.
    pub history: String,
}

/// A row of `inventory`: its figures.
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

/// A row of `inventory`: what the catalogue says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedEntry {
    /// The item's SKU.
    pub sku: String,
    /// The item's version; 0 is a stub.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// The price of a unit in minor units.
    pub price: i64,
    /// The currency of that.
    pub currency: String,
    /// Its category.
    pub category: Option<String>,
    /// The word of its status.
    pub status: String,
    /// When it was created: microseconds since 1970.
    pub created_at: i64,
    /// What is searched in.
    pub search: String,
}

/// A row of `users`, without what is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedUser {
    /// Its id.
    pub id: Uuid,
    /// The keyed hash of its address.
    pub email_hash: String,
    /// Names the key that its data is sealed with; nil where that cannot be read.
    pub key_id: Uuid,
    /// The word of its role.
    pub role: String,
    /// When it registered: microseconds since 1970.
    pub created_at: i64,
    /// Its version.
    pub version: i64,
}

/// A row of `inventory_movements`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DumpedMovement {
    /// The item's SKU.
    pub sku: String,
    /// Its id: see [`migrations::ledger::movement_id`].
    pub id: Vec<u8>,
    /// Signed units.
    pub quantity: i64,
    /// The word of its reason.
    pub reason: String,
    /// The order that took or gave them; nil where that cannot be read.
    pub order_id: Option<Uuid>,
    /// When: microseconds since 1970.
    pub happened_at: i64,
    /// The word for who moved them.
    pub actor: String,
    /// The user who did; nil where that cannot be read.
    pub actor_id: Option<Uuid>,
    /// What they call it.
    pub reference: Option<String>,
}

/// Hears every row of the ledger, in any order: there are more than anybody wants to hold.
pub type HearMovement<'a> = &'a mut (dyn FnMut(DumpedMovement) + Send);

impl ReadModels {
    /// Dumps the figures of every row but the ledger's.
    ///
    /// # Errors
    /// When the store does not answer, or a row cannot be read.
    pub async fn dump(&self) -> Result<Dump, DatabaseError> {
        self.dump_all(None).await
    }

    /// Dumps the figures of every row; those of the ledger are told one by one.
    ///
    /// # Errors
    /// As [`ReadModels::dump`].
    pub async fn dump_with_ledger(&self, hear: HearMovement<'_>) -> Result<Dump, DatabaseError> {
        self.dump_all(Some(hear)).await
    }

    async fn dump_all(&self, hear: Option<HearMovement<'_>>) -> Result<Dump, DatabaseError> {
        match &self.database {
            Database::MySql(pool) => dump(pool, Some(MYSQL_SNAPSHOT), MYSQL_BEGIN, hear).await,
            Database::Sqlite(pool) => dump(pool, None, SQLITE_BEGIN, hear).await,
            Database::Foreign(_) => Err(DatabaseError::not_on_foreign()),
        }
    }
}

/// `before` runs on the same connection, right before the transaction begins.
async fn dump<DB>(
    pool: &Pool<DB>,
    before: Option<&'static str>,
    begin: &'static str,
    hear: Option<HearMovement<'_>>,
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
    let source = "SELECT log_id FROM log_source WHERE id = 1".to_owned();
    let source = page(&mut transaction, source, |row| row.reference(0)).await?;
    let log_id = source.into_iter().next().flatten();
    let checkpoints = "SELECT topic, partition_number, next_offset, highest_fence FROM checkpoints";
    let checkpoints = page(&mut transaction, checkpoints.to_owned(), checkpoint).await?;
    let orders = |after: Option<&DumpedOrder>| {
        let behind = after.map(|last| format!("WHERE id > x'{}'", last.id.simple()));
        select(ORDERS, behind, "id")
    };
    let orders = pages(&mut transaction, orders, order).await?;
    let items = |after: Option<&(DumpedItem, DumpedEntry)>| {
        let behind =
            after.map(|(last, _)| format!("WHERE sku > '{}'", last.sku.replace('\'', "''")));
        select(ITEMS, behind, "sku")
    };
    let items = pages(&mut transaction, items, item).await?;
    let (items, catalogue) = items.into_iter().unzip();
    let users = |after: Option<&DumpedUser>| {
        let behind = after.map(|last| format!("WHERE id > x'{}'", last.id.simple()));
        select(USERS, behind, "id")
    };
    let users = pages(&mut transaction, users, user).await?;
    if let Some(hear) = hear {
        let mut rows = sqlx::raw_sql(LEDGER).fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            hear(movement(&row)?);
        }
    }
    transaction.commit().await?;
    Ok(Dump {
        log_id,
        checkpoints,
        orders,
        items,
        catalogue,
        users,
    })
}

const ORDERS: &str = "id, user_id, status, total, currency, placed_at, version, lines_json, history_json FROM orders";
const ITEMS: &str = "sku, supplied, held, sold, version, name, price, currency, category, status, \
     created_at, search FROM inventory";
const USERS: &str = "id, email_hash, key_id, role, created_at, version FROM users";
/// Heard as it comes, so that nobody holds it.
const LEDGER: &str = "SELECT sku, id, quantity, reason, order_id, happened_at, actor, actor_id, \
     reference FROM inventory_movements";

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
    fn optional_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, sqlx::Error>;

    fn bytes(&self, column: usize) -> Result<Vec<u8>, DatabaseError> {
        self.optional_bytes(column)?
            .ok_or_else(|| DatabaseError::Unreadable(format!("column {column} is empty")))
    }

    fn optional_text(&self, column: usize) -> Result<Option<String>, DatabaseError> {
        let text = self.optional_bytes(column)?.map(String::from_utf8);
        text.transpose()
            .map_err(|_| DatabaseError::Unreadable(format!("column {column} is not UTF-8")))
    }

    fn text(&self, column: usize) -> Result<String, DatabaseError> {
        self.optional_text(column)?
            .ok_or_else(|| DatabaseError::Unreadable(format!("column {column} is empty")))
    }

    /// An id that a row refers to or is of. Nil where it is none, so that the comparison finds it.
    fn reference(&self, column: usize) -> Result<Option<Uuid>, DatabaseError> {
        let id = self.optional_bytes(column)?;
        Ok(id.map(|bytes| Uuid::from_slice(&bytes).unwrap_or_default()))
    }

    fn id(&self, column: usize) -> Result<Uuid, DatabaseError> {
        Uuid::from_slice(&self.bytes(column)?)
            .map_err(|_| DatabaseError::Unreadable("a row's id has not 16 bytes".to_owned()))
    }
}

macro_rules! cells_of {
    ($row:ty) => {
        impl Cells for $row {
            fn integer(&self, column: usize) -> Result<i64, sqlx::Error> {
                self.try_get_unchecked(column)
            }
            fn optional_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, sqlx::Error> {
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
        id: row.id(0)?,
        user_id: row.reference(1)?.unwrap_or_default(),
        status: row.text(2)?,
        total: row.integer(3)?,
        currency: row.text(4)?,
        placed_at: row.integer(5)?,
        version: row.integer(6)?,
        lines: row.text(7)?,
        history: row.text(8)?,
    })
}

fn item(row: &impl Cells) -> Result<(DumpedItem, DumpedEntry), DatabaseError> {
    let item = DumpedItem {
        sku: row.text(0)?,
        supplied: row.integer(1)?,
        held: row.integer(2)?,
        sold: row.integer(3)?,
    };
    let entry = DumpedEntry {
        sku: item.sku.clone(),
        version: row.integer(4)?,
        name: row.text(5)?,
        price: row.integer(6)?,
        currency: row.text(7)?,
        category: row.optional_text(8)?,
        status: row.text(9)?,
        created_at: row.integer(10)?,
        search: row.text(11)?,
    };
    Ok((item, entry))
}

fn user(row: &impl Cells) -> Result<DumpedUser, DatabaseError> {
    Ok(DumpedUser {
        id: row.id(0)?,
        email_hash: row.text(1)?,
        key_id: row.reference(2)?.unwrap_or_default(),
        role: row.text(3)?,
        created_at: row.integer(4)?,
        version: row.integer(5)?,
    })
}

fn movement(row: &impl Cells) -> Result<DumpedMovement, DatabaseError> {
    Ok(DumpedMovement {
        sku: row.text(0)?,
        id: row.bytes(1)?,
        quantity: row.integer(2)?,
        reason: row.text(3)?,
        order_id: row.reference(4)?,
        happened_at: row.integer(5)?,
        actor: row.text(6)?,
        actor_id: row.reference(7)?,
        reference: row.optional_text(8)?,
    })
}
