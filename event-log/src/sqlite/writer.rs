//! The one writer: takes what has queued, commits it as a group, shows it, acknowledges it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use record::Topic;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::SqliteSettings;
use super::checkpoint::{self, Nudge};
use super::file::{self, LogFile};
use super::recent::{Recent, index};
use crate::{AppendFailure, Deliveries, Entry, LogError, RawRecord};

/// What the writer is asked for.
pub(super) enum Request {
    /// Append these.
    Append {
        entries: Vec<Entry>,
        /// What they take in the queue.
        bytes: usize,
        deliveries: Arc<dyn Deliveries>,
    },
    /// Say when everything before was committed.
    Flush(oneshot::Sender<()>),
    /// Say whether the file can be written.
    Probe(oneshot::Sender<Result<(), String>>),
}

/// Owns the connection that writes.
pub(super) struct Writer {
    file: LogFile,
    /// None after a failed commit: then the file is opened and read again.
    connection: Option<Connection>,
    /// The next offset of every topic.
    ends: [u64; Topic::ALL.len()],
    recent: Arc<Recent>,
    queued_bytes: Arc<AtomicUsize>,
    checkpoints: Nudge,
    bytes_since_checkpoint: usize,
    group_records_max: usize,
    wal_bytes_max: u64,
    /// Why the last group failed.
    trouble: Option<String>,
}

/// What one call of `append` brought.
struct Appended {
    entries: Vec<Entry>,
    deliveries: Arc<dyn Deliveries>,
}

impl Writer {
    pub(super) fn new(
        file: LogFile,
        connection: Connection,
        recent: Arc<Recent>,
        queued_bytes: Arc<AtomicUsize>,
        checkpoints: Nudge,
        settings: &SqliteSettings,
    ) -> Result<Self, LogError> {
        let ends = file::ends(&connection).map_err(super::unavailable)?;
        Ok(Self {
            file,
            connection: Some(connection),
            ends,
            recent,
            queued_bytes,
            checkpoints,
            bytes_since_checkpoint: 0,
            group_records_max: settings.group_records_max,
            wal_bytes_max: settings.wal_bytes_max,
            trouble: None,
        })
    }

    /// Runs until the channel is closed and empty.
    pub(super) fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(request) = requests.recv() {
            let mut group = Vec::new();
            let mut next = Some(request);
            // Whatever has queued meanwhile shares the sync; nothing is waited for.
            while let Some(request) = next {
                let after = self.take(request, &mut group);
                if after.is_some() || records(&group) >= self.group_records_max {
                    self.commit(std::mem::take(&mut group));
                }
                if let Some(request) = after {
                    self.answer(request);
                }
                next = requests.try_recv().ok();
            }
            self.commit(group);
        }
    }

    /// Adds an append to the group; hands back what has to come after the group.
    fn take(&mut self, request: Request, group: &mut Vec<Appended>) -> Option<Request> {
        match request {
            Request::Append {
                entries,
                bytes,
                deliveries,
            } => {
                self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                self.bytes_since_checkpoint += bytes;
                group.push(Appended {
                    entries,
                    deliveries,
                });
                None
            }
            other => Some(other),
        }
    }

    fn answer(&mut self, request: Request) {
        // Who does not wait any more needs no answer.
        match request {
            Request::Flush(answer) => {
                let _ = answer.send(());
            }
            Request::Probe(answer) => {
                let _ = answer.send(self.probe());
            }
            Request::Append { .. } => {}
        }
    }

    fn commit(&mut self, group: Vec<Appended>) {
        if group.is_empty() {
            return;
        }
        match self.write(&group) {
            Ok(committed) => {
                self.trouble = None;
                self.ends = ends_after(self.ends, &committed);
                let offsets: Vec<u64> = committed.iter().map(|(_, record)| record.offset).collect();
                self.recent.show(committed);
                acknowledge(&group, &offsets);
            }
            Err(failure) => self.fail(&group, &failure),
        }
        if self.bytes_since_checkpoint >= checkpoint::BYTES_BETWEEN {
            self.bytes_since_checkpoint = 0;
            self.bound_wal();
        }
    }

    fn bound_wal(&self) {
        self.checkpoints.send();
        if self.file.wal_bytes() > 2 * self.wal_bytes_max
            && let Some(connection) = &self.connection
            && let Err(error) = checkpoint::checkpoint(connection, "PASSIVE")
        {
            tracing::warn!(%error, "the writer's own checkpoint failed");
        }
    }

    fn fail(&mut self, group: &[Appended], failure: &AppendFailure) {
        tracing::error!(error = %failure, records = records(group), "the log was not written");
        self.trouble = Some(failure.to_string());
        for appended in group {
            crate::fail_all(&appended.entries, appended.deliveries.as_ref(), failure);
        }
    }

    /// One transaction for the whole group.
    fn write(&mut self, group: &[Appended]) -> Result<Vec<(Topic, RawRecord)>, AppendFailure> {
        let connection = self.connect()?;
        let inserted = match self.insert(&connection, group) {
            Ok(inserted) => inserted,
            Err(error) => {
                // Nothing of a transaction that was not committed is ever seen. If it cannot even
                // be rolled back, closing the connection does it.
                if connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok() {
                    self.connection = Some(connection);
                }
                return Err(AppendFailure::NotStarted(error.to_string()));
            }
        };
        match connection.execute_batch("COMMIT") {
            Ok(()) => {
                self.connection = Some(connection);
                Ok(inserted)
            }
            // The commit may have reached the disk or not: the connection is dropped and the file
            // is read again before anything else is written.
            Err(error) => Err(AppendFailure::Unknown(error.to_string())),
        }
    }

    fn connect(&mut self) -> Result<Connection, AppendFailure> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let reopened = self.file.write().and_then(|connection| {
            let ends = file::ends(&connection).map_err(super::unavailable)?;
            Ok((connection, ends))
        });
        let (connection, ends) =
            reopened.map_err(|error| AppendFailure::NotStarted(error.to_string()))?;
        self.ends = ends;
        self.recent.set_ends(ends);
        Ok(connection)
    }

    fn insert(
        &self,
        connection: &Connection,
        group: &[Appended],
    ) -> rusqlite::Result<Vec<(Topic, RawRecord)>> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut ends = self.ends;
        let mut inserted = Vec::with_capacity(records(group));
        for entry in group.iter().flat_map(|appended| &appended.entries) {
            let topic = entry.partition.topic;
            let end = &mut ends[index(topic)];
            insert_one(connection, entry, *end)?;
            inserted.push((topic, shown(entry, *end)));
            *end += 1;
        }
        Ok(inserted)
    }

    /// After trouble, writes a little: only that shows whether there is space again.
    fn probe(&mut self) -> Result<(), String> {
        if self.trouble.is_none() {
            return Ok(());
        }
        let connection = self.connect().map_err(|failure| failure.to_string())?;
        let sql = "UPDATE meta SET value = value + 1 WHERE name = 'probes'";
        connection
            .execute(sql, [])
            .map_err(|error| error.to_string())?;
        self.connection = Some(connection);
        self.trouble = None;
        Ok(())
    }
}

fn insert_one(connection: &Connection, entry: &Entry, offset: u64) -> rusqlite::Result<()> {
    let topic = entry.partition.topic;
    let table = file::table(topic);
    if topic == Topic::UserKeys {
        // The compacted topic: an erased key must not survive in an older record.
        connection
            .prepare_cached("DELETE FROM user_keys WHERE key = ?1")?
            .execute(params![entry.key.as_bytes()])?;
    }
    let sql = format!("INSERT INTO {table} (\"offset\", key, payload) VALUES (?1, ?2, ?3)");
    connection.prepare_cached(&sql)?.execute(params![
        offset,
        entry.key.as_bytes(),
        entry.payload.as_deref()
    ])?;
    Ok(())
}

fn shown(entry: &Entry, offset: u64) -> RawRecord {
    RawRecord {
        offset,
        key: Bytes::copy_from_slice(entry.key.as_bytes()),
        payload: entry.payload.clone().unwrap_or_default(),
    }
}

fn ends_after(
    mut ends: [u64; Topic::ALL.len()],
    committed: &[(Topic, RawRecord)],
) -> [u64; Topic::ALL.len()] {
    for (topic, record) in committed {
        ends[index(*topic)] = record.offset + 1;
    }
    ends
}

fn acknowledge(group: &[Appended], offsets: &[u64]) {
    let mut offsets = offsets.iter();
    for appended in group {
        for (entry, offset) in appended.entries.iter().zip(&mut offsets) {
            appended
                .deliveries
                .acknowledged(entry.partition, entry.id, Some(*offset));
        }
    }
}

fn records(group: &[Appended]) -> usize {
    group.iter().map(|appended| appended.entries.len()).sum()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::conformance::{Delivery, Heard, entry};

    struct Fixture {
        writer: Writer,
        _directory: TempDir,
    }

    const ORDERS: record::Partition = record::Partition {
        topic: Topic::Orders,
        number: 0,
    };

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let file = LogFile::in_directory(directory.path());
        let connection = file.create_or_open().unwrap();
        let recent = Arc::new(Recent::new(1 << 20, [0; Topic::ALL.len()]));
        let (nudge, _) = checkpoint::channel();
        let settings = SqliteSettings::default();
        let queued = Arc::default();
        let writer = Writer::new(file, connection, recent, queued, nudge, &settings).unwrap();
        Fixture {
            writer,
            _directory: directory,
        }
    }

    impl Fixture {
        fn append(&mut self, payload: &str) -> Vec<Delivery> {
            let (deliveries, mut heard) = Heard::channel();
            let entries = vec![entry(ORDERS, "k", payload.to_owned()); 2];
            self.writer.commit(vec![Appended {
                entries,
                deliveries,
            }]);
            std::iter::from_fn(|| heard.try_recv().ok()).collect()
        }

        fn end(&self) -> u64 {
            self.writer.recent.ends()[index(Topic::Orders)]
        }

        fn run(&self, sql: &str) {
            let connection = self.writer.connection.as_ref().unwrap();
            connection.execute_batch(sql).unwrap();
        }
    }

    #[test]
    fn a_full_disk_is_told_and_the_log_goes_on_when_there_is_space() {
        let mut log = fixture();
        log.append("first");
        log.run("PRAGMA max_page_count = 1");
        let told = log.append(&"x".repeat(100_000));
        assert_eq!(told.len(), 2);
        for delivery in told {
            assert!(
                matches!(delivery.outcome, Err(AppendFailure::NotStarted(_))),
                "{delivery:?}"
            );
        }
        assert_eq!(log.end(), 2, "nothing of it is shown");
        assert!(log.writer.trouble.is_some());
        log.run("PRAGMA max_page_count = 1000000");
        assert_eq!(log.writer.probe(), Ok(()));
        let told = log.append(&"x".repeat(100_000));
        let offsets: Vec<_> = told.into_iter().map(|delivery| delivery.outcome).collect();
        assert_eq!(offsets, [Ok(Some(2)), Ok(Some(3))]);
    }

    #[test]
    fn a_failed_commit_is_unknown_and_the_file_is_read_again() {
        let mut log = fixture();
        // A violation that is found by the commit, as a failed sync would be.
        log.run(
            "CREATE TABLE other (reference REFERENCES meta DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER fail AFTER INSERT ON orders
             BEGIN INSERT INTO other VALUES ('nothing'); END",
        );
        for delivery in log.append("lost") {
            assert!(
                matches!(delivery.outcome, Err(AppendFailure::Unknown(_))),
                "{delivery:?}"
            );
        }
        assert_eq!(log.end(), 0);
        let repaired = Connection::open(log.writer.file.path()).unwrap();
        repaired.execute_batch("DROP TRIGGER fail").unwrap();
        let told = log.append("kept");
        let offsets: Vec<_> = told.into_iter().map(|delivery| delivery.outcome).collect();
        assert_eq!(offsets, [Ok(Some(0)), Ok(Some(1))]);
        assert_eq!(log.end(), 2);
    }
}
