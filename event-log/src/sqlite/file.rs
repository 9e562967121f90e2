//! The file: where it is, how it is opened, its tables, and what is read from it.
//!
//! The format is stated in `meta`; this program reads its own and all older ones. A reader that
//! may not write falls back to SQLite's `immutable` mode, which needs no side files, and only
//! where no write-ahead file holds records that it would not see.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use record::Topic;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::unavailable;
use crate::{LogError, RawRecord};

/// The format that this program writes.
const FORMAT: i64 = 1;
/// Earlier versions can lose committed writes when a checkpoint meets a write.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the log is, and how it may be opened.
#[derive(Debug, Clone)]
pub(super) struct LogFile {
    path: PathBuf,
    immutable: bool,
}

impl LogFile {
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self {
            path: directory.join("log.sqlite"),
            immutable: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The write-ahead file.
    fn wal(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push("-wal");
        name.into()
    }

    /// How large the write-ahead file is.
    pub(super) fn wal_bytes(&self) -> u64 {
        std::fs::metadata(self.wal()).map_or(0, |wal| wal.len())
    }

    /// Opens the file for writing; makes it, durably, if there is none.
    pub(super) fn create_or_open(&self) -> Result<Connection, LogError> {
        check_sqlite()?;
        let connection = self.write()?;
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(|error| self.cannot_open(&error))?;
        if tables == 0 {
            connection.execute_batch(&schema()).map_err(unavailable)?;
        }
        self.check_format(&connection)?;
        self.sync_directory()?;
        Ok(connection)
    }

    /// A connection that writes.
    pub(super) fn write(&self) -> Result<Connection, LogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&self.path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            // Deleted keys of personal data are overwritten, not only unlinked.
            connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = ON;",
            )?;
            connection.set_prepared_statement_cache_capacity(16);
            Ok(connection)
        });
        opened.map_err(|error| self.cannot_open(&error))
    }

    /// A connection that reads.
    pub(super) fn read(&self) -> Result<Connection, LogError> {
        let connection = self.connect_read_only().map_err(unavailable)?;
        self.check_format(&connection)?;
        Ok(connection)
    }

    /// Finds out how this user can read the file.
    pub(super) fn for_reading(mut self) -> Result<Self, LogError> {
        check_sqlite()?;
        let path = self.path.display().to_string();
        if !self.path.exists() {
            return Err(LogError::Misconfigured(format!(
                "There is no log at {path}."
            )));
        }
        let Err(error) = self.connect_read_only() else {
            return Ok(self);
        };
        if self.wal_bytes() > 0 {
            return Err(LogError::Misconfigured(format!(
                "{path} has a write-ahead file that this user cannot use ({error}): a server runs or \
                 was not stopped in order; run this as the user of the server."
            )));
        }
        self.immutable = true;
        match self.connect_read_only() {
            Ok(_) => Ok(self),
            Err(error) => Err(LogError::Misconfigured(format!(
                "{path} cannot be read ({error}); read it as the user of the server."
            ))),
        }
    }

    fn connect_read_only(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(self.uri(), flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(16);
        // Opening is lazy; only a read finds out whether the file can be read.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    }

    fn uri(&self) -> String {
        let path = self.path.to_string_lossy();
        let escaped = path
            .replace('%', "%25")
            .replace('?', "%3f")
            .replace('#', "%23");
        let immutable = if self.immutable { "?immutable=1" } else { "" };
        format!("file:{escaped}{immutable}")
    }

    fn check_format(&self, connection: &Connection) -> Result<(), LogError> {
        let path = self.path.display();
        let found: rusqlite::Result<i64> =
            connection.query_row("SELECT value FROM meta WHERE name = 'format'", [], |row| {
                row.get(0)
            });
        match found {
            Ok(FORMAT) => Ok(()),
            Ok(found) => Err(LogError::Misconfigured(format!(
                "{path} has format {found}, but this program reads up to {FORMAT}; upgrade the \
                 program."
            ))),
            Err(error) => Err(LogError::Misconfigured(format!(
                "{path} is not a log ({error}); name another data directory or restore the file."
            ))),
        }
    }

    fn cannot_open(&self, error: &rusqlite::Error) -> LogError {
        let path = self.path.display();
        LogError::Unavailable(format!("{path} cannot be opened: {error}"))
    }

    /// A file whose name is not durable is lost with all that it holds.
    fn sync_directory(&self) -> Result<(), LogError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|error| {
            let directory = directory.display();
            LogError::Unavailable(format!("{directory} cannot be made durable: {error}"))
        })
    }
}

/// The table of a topic.
pub(super) fn table(topic: Topic) -> &'static str {
    match topic {
        Topic::Users => "users",
        Topic::Orders => "orders",
        Topic::Inventory => "inventory",
        Topic::Epochs => "epochs",
        Topic::UserKeys => "user_keys",
    }
}

fn schema() -> String {
    let mut sql = format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT;
         INSERT INTO meta VALUES ('format', {FORMAT}), ('probes', 0);"
    );
    for topic in Topic::ALL {
        let table = table(topic);
        sql.push_str(&format!(
            "CREATE TABLE {table} (\"offset\" INTEGER PRIMARY KEY, key BLOB NOT NULL, payload BLOB)
             STRICT;"
        ));
    }
    // The compacted topic keeps only the newest record of each key.
    sql.push_str("CREATE INDEX user_keys_by_key ON user_keys (key); COMMIT;");
    sql
}

/// One past the last offset of every topic.
pub(super) fn ends(connection: &Connection) -> rusqlite::Result<[u64; Topic::ALL.len()]> {
    let mut ends = [0; Topic::ALL.len()];
    for topic in Topic::ALL {
        let sql = format!(
            "SELECT coalesce(max(\"offset\") + 1, 0) FROM {}",
            table(topic)
        );
        let end = connection
            .prepare_cached(&sql)?
            .query_row([], |row| row.get(0))?;
        ends[super::recent::index(topic)] = end;
    }
    Ok(ends)
}

/// The record at this offset.
pub(super) fn read_at(
    connection: &Connection,
    topic: Topic,
    offset: u64,
) -> rusqlite::Result<Option<RawRecord>> {
    let table = table(topic);
    let sql = format!("SELECT \"offset\", key, payload FROM {table} WHERE \"offset\" = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row(params![offset], record)
        .optional()
}

/// The next records from this offset on, up to a bound. The read transaction ends with the call.
pub(super) fn read_from(
    connection: &Connection,
    topic: Topic,
    offset: u64,
) -> rusqlite::Result<Vec<RawRecord>> {
    const RECORDS_MAX: usize = 1_000;
    const BYTES_MAX: usize = 1 << 20;
    let sql = format!(
        "SELECT \"offset\", key, payload FROM {} WHERE \"offset\" >= ?1 ORDER BY \"offset\"
         LIMIT {RECORDS_MAX}",
        table(topic)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut records = Vec::new();
    let mut bytes = 0;
    for found in statement.query_map(params![offset], record)? {
        let found = found?;
        bytes += found.key.len() + found.payload.len();
        records.push(found);
        if bytes > BYTES_MAX {
            break;
        }
    }
    Ok(records)
}

fn record(row: &Row<'_>) -> rusqlite::Result<RawRecord> {
    let payload: Option<Vec<u8>> = row.get(2)?;
    Ok(RawRecord {
        offset: row.get(0)?,
        key: Bytes::from(row.get::<_, Vec<u8>>(1)?),
        payload: payload.map(Bytes::from).unwrap_or_default(),
    })
}

fn check_sqlite() -> Result<(), LogError> {
    if rusqlite::version_number() >= SQLITE_VERSION_MIN {
        return Ok(());
    }
    Err(LogError::Misconfigured(format!(
        "This program was built with SQLite {}, which can lose committed writes; build it with \
         3.51.3 or later.",
        rusqlite::version()
    )))
}
