//! Creates the tables, and tells whether they are there.

use sqlx::migrate::{Migrate, MigrateError, Migrator};

use crate::database::{Database, DatabaseError};

static MYSQL: Migrator = sqlx::migrate!("./mysql");
static SQLITE: Migrator = sqlx::migrate!("./sqlite");

/// sqlx's table of migrations.
const TABLE: &str = "_sqlx_migrations";
/// A migration that somebody died in: all statements can run again, so forget that it began.
const FORGET_UNFINISHED: &str = "DELETE FROM _sqlx_migrations WHERE NOT success";

/// Why the tables could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database does not answer, or refuses.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A migration failed.
    #[error("the tables could not be brought up to date")]
    Migration(#[from] MigrateError),
    /// Another process has been at it for a minute.
    #[error("another process is creating the tables and has not finished; try again")]
    Locked,
}

/// Creates what is missing, under a lock of the database, so that many may call it at once.
/// Tables of a newer program are left alone: both may run side by side for a while.
///
/// # Errors
/// When the database does not answer or refuses a statement.
pub async fn run(database: &Database) -> Result<(), SchemaError> {
    match database {
        Database::MySql(pool) => {
            let mut connection = pool.acquire().await.map_err(DatabaseError::from)?;
            lock(&mut connection).await?;
            let outcome = run_on_mysql(&mut connection).await;
            // The lock belongs to the connection; closing it gives the lock back, whatever happened.
            connection.close().await.map_err(DatabaseError::from)?;
            outcome
        }
        // No lock, for a lock file admits one server to a data directory; and nothing is left
        // unfinished, for SQLite's statements of this kind are part of the transaction.
        Database::Sqlite(pool) => {
            let mut connection = pool.acquire().await.map_err(DatabaseError::from)?;
            Ok(unlocked(&SQLITE)
                .run_direct(None, &mut *connection, false)
                .await?)
        }
        Database::Foreign(store) => {
            for migration in SQLITE.iter() {
                store.execute(migration.sql.as_str()).await?;
            }
            Ok(())
        }
    }
}

/// sqlx's own lock waits for ever on MySQL by a time-out of −1, which MariaDB takes for "do not
/// wait" and lets everybody through: seen as a duplicate entry in the table of migrations.
/// A lock's name has 64 characters at most; MySQL 9.7 knows neither `SHA1` nor `MD5`.
async fn lock(connection: &mut sqlx::MySqlConnection) -> Result<(), SchemaError> {
    let sql = "SELECT GET_LOCK(CONCAT('holdfast.', LEFT(SHA2(DATABASE(), 256), 40)), 60)";
    let taken: Option<i64> = sqlx::query_scalar(sql)
        .fetch_one(connection)
        .await
        .map_err(DatabaseError::from)?;
    match taken {
        Some(1) => Ok(()),
        _ => Err(SchemaError::Locked),
    }
}

async fn run_on_mysql(connection: &mut sqlx::MySqlConnection) -> Result<(), SchemaError> {
    connection.ensure_migrations_table(TABLE).await?;
    sqlx::raw_sql(FORGET_UNFINISHED)
        .execute(&mut *connection)
        .await
        .map_err(DatabaseError::from)?;
    Ok(unlocked(&MYSQL).run_direct(None, connection, false).await?)
}

fn unlocked(migrator: &Migrator) -> Migrator {
    let mut unlocked = Migrator::with_migrations(migrator.iter().cloned().collect());
    unlocked.set_locking(false).set_ignore_missing(true);
    unlocked
}

/// Whether every table that this program knows is there.
///
/// # Errors
/// When the database does not answer.
pub async fn is_current(database: &Database) -> Result<bool, DatabaseError> {
    let migrator = match database {
        Database::MySql(_) => &MYSQL,
        Database::Sqlite(_) => &SQLITE,
        Database::Foreign(_) => return Err(DatabaseError::not_on_foreign()),
    };
    let sql = "SELECT version FROM _sqlx_migrations WHERE success";
    let applied = match database.select(sql, &[]).await {
        Ok(rows) => rows,
        Err(error) if error.is_missing_table() => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut versions = std::collections::BTreeSet::new();
    for row in &applied {
        versions.insert(row.integer(0)?);
    }
    Ok(migrator
        .iter()
        .all(|known| versions.contains(&known.version)))
}
