//! The tables of a replay: made beside the live ones as those are, filled without secondary
//! indexes, which are made last, and swapped for them.

use migrations::{Database, DatabaseError, Value};
use sqlx::{AssertSqlSafe, Executor};

use super::lock::Lock;
use crate::store::{REBUILD, ReadModels};

/// Every table that belongs to the rows: they change places together.
const TABLES: [&str; 8] = [
    "build",
    "log_source",
    "checkpoints",
    "orders",
    "inventory",
    "inventory_movements",
    "users",
    "user_keys",
];

/// What is added to the names of live tables that were replaced, until they are dropped.
const REPLACED: &str = "_replaced";

/// Makes empty tables. What a replay that died left behind goes.
pub(super) async fn make(live: &ReadModels, lock: &mut Lock) -> Result<(), DatabaseError> {
    discard(live, lock).await?;
    for table in TABLES {
        match live.database() {
            Database::MySql(_) => {
                let like = format!("CREATE TABLE {table}{REBUILD} LIKE {table}");
                live.database.execute_at_length(AssertSqlSafe(like)).await?;
                for index in mysql_indexes(live, table).await? {
                    let name = index.name;
                    let drop = format!("ALTER TABLE {table}{REBUILD} DROP INDEX {name}");
                    live.database.execute_at_length(AssertSqlSafe(drop)).await?;
                }
            }
            Database::Sqlite(_) | Database::Foreign(_) => make_on_sqlite(live, table).await?,
        }
    }
    Ok(())
}

/// Makes the indexes, once the rows are there. On SQLite an index's name is the live table's for as
/// long as that exists: there they are made with the swap.
pub(super) async fn make_indexes(live: &ReadModels) -> Result<(), DatabaseError> {
    let Database::MySql(_) = live.database() else {
        return Ok(());
    };
    for table in TABLES {
        let added: Vec<String> = mysql_indexes(live, table)
            .await?
            .into_iter()
            .map(|index| format!("ADD INDEX {} ({})", index.name, index.columns))
            .collect();
        if !added.is_empty() {
            let sql = format!("ALTER TABLE {table}{REBUILD} {}", added.join(", "));
            live.database.execute_at_length(AssertSqlSafe(sql)).await?;
        }
    }
    Ok(())
}

/// Puts the rebuilt tables in the place of the live ones, all at once. The replaced ones may be
/// left behind ([`discard`]). `false`: somebody reads the live ones for long, and nothing was done.
pub(super) async fn swap(live: &ReadModels, lock: &mut Lock) -> Result<bool, DatabaseError> {
    match live.database() {
        Database::MySql(_) => {
            let renames: Vec<String> = TABLES
                .iter()
                .flat_map(|table| {
                    [
                        format!("{table} TO {table}{REPLACED}"),
                        format!("{table}{REBUILD} TO {table}"),
                    ]
                })
                .collect();
            let sql = format!("RENAME TABLE {}", renames.join(", "));
            return lock.execute_alone(&sql).await;
        }
        Database::Sqlite(pool) => {
            let indexes = sqlite_definitions(live, "index").await?;
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
            for sql in sqlite_swap(indexes) {
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
        }
        Database::Foreign(store) => {
            let swap: Vec<_> = sqlite_swap(sqlite_definitions(live, "index").await?).collect();
            let are_there = format!("UPDATE build{REBUILD} SET build_id = build_id");
            if !store.all_or_nothing(&are_there, &swap).await? {
                let gone = "the rebuilt tables are empty".to_owned();
                return Err(DatabaseError::Unreadable(gone));
            }
        }
    }
    Ok(true)
}

/// Drops what is neither live nor wanted; on MySQL only over the connection that holds the lock, for
/// without it another replay may be filling them.
pub(super) async fn discard(live: &ReadModels, lock: &mut Lock) -> Result<(), DatabaseError> {
    for table in TABLES {
        for suffix in [REBUILD, REPLACED] {
            let sql = format!("DROP TABLE IF EXISTS {table}{suffix}");
            if let Some(connection) = lock.connection() {
                connection.execute(AssertSqlSafe(sql)).await?;
            } else {
                live.database.execute_at_length(AssertSqlSafe(sql)).await?;
            }
        }
    }
    Ok(())
}

/// What puts the rebuilt tables in the place of the live ones on SQLite, with their indexes.
fn sqlite_swap(indexes: Vec<Definition>) -> impl Iterator<Item = String> {
    let swapped =
        |table| format!("DROP TABLE {table}; ALTER TABLE {table}{REBUILD} RENAME TO {table}");
    let tables = TABLES.into_iter().map(swapped);
    tables.chain(indexes.into_iter().map(|index| index.sql))
}

struct Index {
    name: String,
    columns: String,
}

async fn mysql_indexes(live: &ReadModels, table: &str) -> Result<Vec<Index>, DatabaseError> {
    let sql = "SELECT index_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) \
         FROM information_schema.statistics \
         WHERE table_schema = DATABASE() AND table_name = ? AND index_name <> 'PRIMARY' \
         GROUP BY index_name ORDER BY index_name";
    let rows = live.database.select(sql, &[Value::Text(table)]).await?;
    let read = |row: &migrations::Row| {
        Ok(Index {
            name: row.text(0)?,
            columns: row.text(1)?,
        })
    };
    rows.iter().map(read).collect()
}

struct Definition {
    table: String,
    sql: String,
}

/// What was said to make the live tables, or their indexes.
async fn sqlite_definitions(
    live: &ReadModels,
    kind: &str,
) -> Result<Vec<Definition>, DatabaseError> {
    let sql = "SELECT tbl_name, sql FROM sqlite_master \
         WHERE type = ? AND sql IS NOT NULL ORDER BY name";
    let rows = live.database.select(sql, &[Value::Text(kind)]).await?;
    let read = |row: &migrations::Row| {
        Ok(Definition {
            table: row.text(0)?,
            sql: row.text(1)?,
        })
    };
    let all: Vec<Definition> = rows
        .iter()
        .map(read)
        .collect::<Result<_, DatabaseError>>()?;
    let ours = |definition: &Definition| TABLES.contains(&definition.table.as_str());
    Ok(all.into_iter().filter(ours).collect())
}

async fn make_on_sqlite(live: &ReadModels, table: &str) -> Result<(), DatabaseError> {
    let definitions = sqlite_definitions(live, "table").await?;
    let columns = definitions
        .iter()
        .find(|definition| definition.table == table)
        .and_then(|definition| definition.sql.split_once('('))
        .map(|(_, columns)| columns)
        .ok_or_else(|| DatabaseError::Unreadable(format!("there is no table {table}")))?;
    let sql = format!("CREATE TABLE {table}{REBUILD} ({columns}");
    live.database.execute_at_length(AssertSqlSafe(sql)).await?;
    Ok(())
}
