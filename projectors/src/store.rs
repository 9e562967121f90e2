//! The read models as a projector writes them.
//!
//! One type for both stores, not a trait with two implementations: rows, statements and the
//! transaction are the same text but for literals and the words of an upsert ([`statement`]), so a
//! second implementation would be the first one again.
//!
//! What must stay true: **rows and checkpoint move in one transaction, and only if the checkpoint
//! is where this projector left it, in the same tables.** That makes every record count once,
//! whoever dies when, and lets only one of two projectors of a partition win. From it follows that
//! rows known at a checkpoint are a function of the log before it; so they may be loaded outside
//! the transaction: if somebody else went on in between, the checkpoint has moved and nothing is
//! written. The tables have to be the same, because a replay puts others in their place at the same
//! checkpoint, and what was read from damaged rows must not come back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use migrations::lent::{Lent, in_time};
use migrations::words::word;
use migrations::{Database, DatabaseError};
use record::reader::HighestFence;
use record::{Partition, Topic};
use sqlx::{AssertSqlSafe, Connection, Executor, SqlStr};
use tokio::sync::{Mutex, RwLock};
use uuid::Uuid;

use crate::changes::Changes;
use crate::fold::{Known, Mark, Projected, Rows};
use crate::store::literal::{Dialect, Literal};
use crate::store::statement::{OnConflict, Script, Upsert, Written, literals};

pub mod alone;
pub(crate) mod literal;
pub(crate) mod statement;

/// What this program makes of the log. A change of a projection that must be seen in rows that are
/// there already raises it; then the read models have to be replayed.
pub const FOLD_VERSION: u32 = 1;

/// How often a transaction is begun anew when others were in its way, before its projector backs
/// off.
const ATTEMPTS_MAX: usize = 5;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or refuses.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// Somebody else moved the checkpoint. Nothing was written; load it and go on from there.
    #[error("another projector went on with {0}")]
    Fenced(Partition),
    /// The rows were made from another log.
    #[error("these read models were made from log {stored}, but this is log {found}")]
    OtherLog {
        /// Whose rows these are.
        stored: Uuid,
        /// The log that was asked to be projected.
        found: Uuid,
    },
    /// The rows were made by a program that understood the log differently.
    #[error(
        "these read models are of version {stored}, this program makes version {FOLD_VERSION}: run `holdfast replay`"
    )]
    OtherFold {
        /// The version of the rows.
        stored: u64,
    },
}

/// A store of read models. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadModels {
    pub(crate) database: Database,
    pub(crate) suffix: &'static str,
    /// Taken for writing while nobody of this process may write: see [`crate::replay()`].
    pub(crate) frozen: Arc<RwLock<()>>,
    /// Held by a replay in this process.
    pub(crate) replaying: Arc<Mutex<()>>,
}

/// A step of a partition's checkpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Advance {
    pub(crate) partition: Partition,
    /// The tables that it was made for ([`ReadModels::adopt`]).
    pub(crate) build: Uuid,
    pub(crate) from: Mark,
    pub(crate) to: Mark,
}

/// What is added to the names of the tables that queries are answered from.
pub(crate) const LIVE: &str = "";
/// What is added to those that are rebuilt beside them.
pub(crate) const REBUILD: &str = "_rebuild";

impl ReadModels {
    /// The read models in this store, which must be opened for writing.
    pub fn new(database: Database) -> Self {
        Self {
            database,
            suffix: LIVE,
            frozen: Arc::default(),
            replaying: Arc::default(),
        }
    }

    /// The tables that are rebuilt beside these.
    pub(crate) fn beside(&self) -> Self {
        Self {
            database: self.database.clone(),
            suffix: REBUILD,
            frozen: Arc::default(),
            replaying: Arc::default(),
        }
    }

    /// Where they stand.
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.database {
            Database::MySql(_) => Dialect::MySql,
            Database::Sqlite(_) | Database::Foreign(_) => Dialect::Sqlite,
        }
    }

    /// Binds empty tables to this log, or checks that they are bound to it, and makes the
    /// checkpoints that are missing. Says which tables they are: others, put in their place by a
    /// replay, have another id.
    pub(crate) async fn adopt(
        &self,
        log_id: Uuid,
        partitions: &[Partition],
    ) -> Result<Uuid, StoreError> {
        let mut script = Script::new(self.dialect(), self.suffix);
        script.write(&[BuildRow(Uuid::new_v4())]);
        script.write(&[SourceRow { log_id }]);
        let rows: Vec<CheckpointRow> = partitions.iter().map(|p| CheckpointRow(*p)).collect();
        script.write(&rows);
        for statement in script.into_statements() {
            let mut tries = Tries::default();
            while let Err(error) = self
                .database
                .execute(AssertSqlSafe(statement.as_str()))
                .await
            {
                if !tries.again(&error) {
                    return Err(error.into());
                }
            }
        }
        let (stored, fold) = self
            .source()
            .await?
            .ok_or_else(|| DatabaseError::Unreadable("log_source is empty".to_owned()))?;
        if stored != log_id {
            let found = log_id;
            return Err(StoreError::OtherLog { stored, found });
        }
        if fold != u64::from(FOLD_VERSION) {
            return Err(StoreError::OtherFold { stored: fold });
        }
        let build = self.build().await?;
        Ok(build.ok_or_else(|| DatabaseError::Unreadable("build is empty".to_owned()))?)
    }

    /// Which tables these are; `None` before the first start.
    pub(crate) async fn build(&self) -> Result<Option<Uuid>, DatabaseError> {
        let sql = format!("SELECT build_id FROM build{} WHERE id = 1", self.suffix);
        let rows = self.database.select(AssertSqlSafe(sql), &[]).await?;
        rows.first().map(|row| row.uuid(0)).transpose()
    }

    /// The id of the log that the rows were made from and the version of the fold; `None` before
    /// the first start.
    pub(crate) async fn source(&self) -> Result<Option<(Uuid, u64)>, DatabaseError> {
        let suffix = self.suffix;
        let sql = format!("SELECT log_id, fold_version FROM log_source{suffix} WHERE id = 1");
        let rows = self.database.select(AssertSqlSafe(sql), &[]).await?;
        let read = |row: &migrations::Row| Ok((row.uuid(0)?, row.unsigned(1)?));
        rows.first().map(read).transpose()
    }

    /// Every partition's mark, all of one moment.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn marks(&self) -> Result<BTreeMap<Partition, Mark>, DatabaseError> {
        let suffix = self.suffix;
        let sql = format!(
            "SELECT topic, partition_number, next_offset, highest_fence FROM checkpoints{suffix}"
        );
        let rows = self.database.select(AssertSqlSafe(sql), &[]).await?;
        let mut marks = BTreeMap::new();
        for row in &rows {
            let number = u16::try_from(row.unsigned(1)?)
                .map_err(|_| DatabaseError::Unreadable("a partition's number".to_owned()))?;
            let topic: Topic = row.word(0)?;
            let mark = Mark {
                next_offset: row.unsigned(2)?,
                highest_fence: HighestFence(row.unsigned(3)?),
            };
            marks.insert(Partition { topic, number }, mark);
        }
        Ok(marks)
    }

    /// The rows of these aggregates, as they stand.
    pub(crate) async fn known(
        &self,
        topic: Topic,
        ids: &BTreeSet<&str>,
    ) -> Result<Known, DatabaseError> {
        Ok(match topic {
            Topic::Users => Known::Users(Rows::new(self.rows_by_uuid(ids).await?)),
            Topic::Orders => Known::Orders(Rows::new(self.rows_by_uuid(ids).await?)),
            Topic::Inventory => {
                let skus = ids.iter().map(|sku| Literal::text(*sku));
                let list = literals(self.dialect(), skus);
                // A stub (version 0) stands for no records of the item's own.
                Known::Inventory(Rows::new(self.rows("version > 0 AND sku", list).await?))
            }
            Topic::UserKeys | Topic::Epochs => Known::Keys,
        })
    }

    /// An id that is no UUID has no row: the fold will say what is wrong with its record.
    async fn rows_by_uuid<R: Projected>(
        &self,
        ids: &BTreeSet<&str>,
    ) -> Result<Vec<R>, DatabaseError> {
        let ids: Vec<Uuid> = ids
            .iter()
            .filter_map(|id| Uuid::try_parse(id).ok())
            .collect();
        let list = ids.iter().map(|id| Literal::Bytes(id.as_bytes()));
        self.rows("id", literals(self.dialect(), list)).await
    }

    async fn rows<R: Projected>(
        &self,
        key: &str,
        list: Option<String>,
    ) -> Result<Vec<R>, DatabaseError> {
        let Some(list) = list else {
            return Ok(vec![]);
        };
        let sql = format!("{}{} WHERE {key} IN {list}", R::KNOWN, self.suffix);
        let rows = self.database.select_unprepared(AssertSqlSafe(sql)).await?;
        rows.iter().map(R::read).collect()
    }

    /// Writes what a batch changes and moves the checkpoint, both or neither.
    ///
    /// After an error of the database it is not known whether it happened (the reply to `COMMIT`
    /// may be lost): load the checkpoint, which tells.
    pub(crate) async fn apply(
        &self,
        advance: Advance,
        changes: &Changes,
    ) -> Result<(), StoreError> {
        let _not_frozen = self.frozen.read().await;
        let statements = changes.statements(self.dialect(), self.suffix);
        let mut tries = Tries::default();
        loop {
            match self.transaction(advance, &statements).await {
                Err(StoreError::Database(error)) if tries.again(&error) => {}
                other => return other,
            }
        }
    }

    async fn transaction(&self, advance: Advance, statements: &[String]) -> Result<(), StoreError> {
        let fence = self.fence(advance);
        let moved = match &self.database {
            Database::MySql(pool) => {
                let mut lent = Lent::of(pool).await.map_err(DatabaseError::from)?;
                let begin = SqlStr::from_static("START TRANSACTION");
                let rows = |done: sqlx::mysql::MySqlQueryResult| done.rows_affected();
                let done = all_or_nothing::<sqlx::MySql>(&mut lent, begin, fence, statements, rows);
                let done = in_time(done).await;
                lent.answered(done)
            }
            Database::Sqlite(pool) => {
                let mut writer = pool.acquire().await.map_err(DatabaseError::from)?;
                let begin = SqlStr::from_static("BEGIN IMMEDIATE");
                let rows = |done: sqlx::sqlite::SqliteQueryResult| done.rows_affected();
                all_or_nothing::<sqlx::Sqlite>(&mut writer, begin, fence, statements, rows).await
            }
            Database::Foreign(store) => {
                let moved = store.all_or_nothing(&fence, statements).await?;
                return match moved {
                    true => Ok(()),
                    false => Err(StoreError::Fenced(advance.partition)),
                };
            }
        };
        match moved.map_err(DatabaseError::from)? {
            true => Ok(()),
            false => Err(StoreError::Fenced(advance.partition)),
        }
    }

    /// Moves the checkpoint if it is where this projector left it, in the same tables.
    fn fence(&self, advance: Advance) -> String {
        let Advance {
            partition,
            build,
            from,
            to,
        } = advance;
        let suffix = self.suffix;
        format!(
            "UPDATE checkpoints{suffix} SET next_offset = {}, highest_fence = {} \
             WHERE topic = '{}' AND partition_number = {} AND next_offset = {} \
             AND EXISTS (SELECT 1 FROM build{suffix} WHERE id = 1 AND build_id = x'{}')",
            to.next_offset,
            to.highest_fence.0,
            partition.topic,
            partition.number,
            from.next_offset,
            build.simple()
        )
    }
}

/// Counts the tries of what is all or nothing, and what others may be in the way of.
#[derive(Debug, Default)]
pub(crate) struct Tries(usize);

impl Tries {
    /// Whether to try once more after this.
    pub(crate) fn again(&mut self, error: &DatabaseError) -> bool {
        self.0 += 1;
        let again = error.is_conflict() && self.0 < ATTEMPTS_MAX;
        if again {
            tracing::debug!(attempt = self.0, ?error, "others were in the way");
        }
        again
    }
}

/// Runs the fence and, if it moved its row, the statements, in one transaction. `false`: it did
/// not, and nothing was written. Whatever goes wrong, the transaction is rolled back as a whole.
async fn all_or_nothing<DB>(
    connection: &mut DB::Connection,
    begin: SqlStr,
    fence: String,
    statements: &[String],
    rows_affected: impl Fn(DB::QueryResult) -> u64,
) -> Result<bool, sqlx::Error>
where
    DB: sqlx::Database,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let mut transaction = connection.begin_with(begin).await?;
    let moved = sqlx::raw_sql(AssertSqlSafe(fence))
        .execute(&mut *transaction)
        .await?;
    if rows_affected(moved) == 0 {
        transaction.rollback().await?;
        return Ok(false);
    }
    for statement in statements {
        sqlx::raw_sql(AssertSqlSafe(statement.as_str()))
            .execute(&mut *transaction)
            .await?;
    }
    failpoint::reached!("projector.rows-written");
    transaction.commit().await?;
    failpoint::reached!("projector.committed");
    Ok(true)
}

struct BuildRow(Uuid);

impl Written for BuildRow {
    const UPSERT: Upsert = Upsert {
        table: "build",
        columns: &[("id", OnConflict::Keep), ("build_id", OnConflict::Keep)],
        key: &["id"],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        vec![Literal::Integer(1), Literal::Bytes(self.0.as_bytes())]
    }
}

struct SourceRow {
    log_id: Uuid,
}

impl Written for SourceRow {
    const UPSERT: Upsert = Upsert {
        table: "log_source",
        columns: &[
            ("id", OnConflict::Keep),
            ("log_id", OnConflict::Keep),
            ("fold_version", OnConflict::Keep),
        ],
        key: &["id"],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        vec![
            Literal::Integer(1),
            Literal::Bytes(self.log_id.as_bytes()),
            Literal::Integer(i64::from(FOLD_VERSION)),
        ]
    }
}

struct CheckpointRow(Partition);

impl Written for CheckpointRow {
    const UPSERT: Upsert = Upsert {
        table: "checkpoints",
        columns: &[
            ("topic", OnConflict::Keep),
            ("partition_number", OnConflict::Keep),
            ("next_offset", OnConflict::Keep),
            ("highest_fence", OnConflict::Keep),
        ],
        key: &["topic", "partition_number"],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        vec![
            Literal::text(word(self.0.topic)),
            Literal::Integer(i64::from(self.0.number)),
            Literal::Integer(0),
            Literal::Integer(0),
        ]
    }
}
