//! The log of a single process: one SQLite file, one writer thread, group commit.
//!
//! In: entries by [`EventLog::append`]. Out: the same records, by tails and by position. Every
//! topic has one partition and a table of its own, whose integer primary key is the offset, so
//! that an append always goes to the right edge of a b-tree.
//!
//! What must stay true:
//! - A record is acknowledged and shown only after the `COMMIT` that holds it returned, with
//!   `synchronous=FULL`: the file was synced. The commit is append, read-back and
//!   acknowledgement in one.
//! - A group that was rolled back is [`AppendFailure::NotStarted`]; one whose `COMMIT` failed is
//!   [`AppendFailure::Unknown`], and the writer reads the file again before it goes on.
//! - Nobody holds a read transaction while it waits for its own reader: tails read chunks and let
//!   go, so that the write-ahead file can always be checkpointed (a slow reader once made such
//!   files grow to gigabytes).
//!
//! The modules in the order of a record: `writer` takes it, `file` holds it, `recent`
//! keeps it for tails that are up to date, `tail` shows it, `checkpoint` moves it from the
//! write-ahead file into the main file.
//!
//! Traps that were met: SQLite before 3.51.3 can lose committed writes when a checkpoint meets a
//! write on another connection, hence the check of its version; under a steady load a passive
//! checkpoint never catches up with the writer, so that the write-ahead file is never reused
//! unless a checkpoint that locks out the writer for a moment follows it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use record::{Layout, Partition, Position, Topic};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::single::Single;
use crate::{
    AppendFailure, Deliveries, Entry, EventLog, Extent, LogError, RawRecord, Tail, fail_all,
    refuse_for_good,
};

mod checkpoint;
mod file;
mod recent;
mod tail;
mod writer;

use file::LogFile;
use recent::Recent;
use writer::Request;

/// How the file is used. The defaults suit a server.
#[derive(Debug, Clone)]
pub struct SqliteSettings {
    /// The largest payload that is taken.
    pub payload_bytes_max: usize,
    /// How much may wait for the writer; more is [`AppendFailure::NotStarted`].
    pub queue_bytes_max: usize,
    /// How many records one transaction takes at most.
    pub group_records_max: usize,
    /// How much of each topic is kept in memory for tails that are up to date.
    pub recent_bytes_max: usize,
    /// How large the write-ahead file may grow before the writer is locked out for a moment. It
    /// can be a few times as large while a foreign reader holds a transaction open.
    pub wal_bytes_max: u64,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1_000_000 - 1_024,
            queue_bytes_max: 64 << 20,
            group_records_max: 4_096,
            recent_bytes_max: 8 << 20,
            wal_bytes_max: 32 << 20,
        }
    }
}

/// The log in one SQLite file. Dropping it commits what waits and closes the file.
#[derive(Debug)]
pub struct SqliteLog {
    file: LogFile,
    settings: SqliteSettings,
    recent: Arc<Recent>,
    reader: Arc<Mutex<Option<Connection>>>,
    access: Access,
}

#[derive(Debug)]
enum Access {
    Write(WriterHandle),
    /// Another process may be writing: what exists is asked from the file.
    Read,
}

#[derive(Debug)]
struct WriterHandle {
    requests: Option<mpsc::Sender<Request>>,
    queued_bytes: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl SqliteLog {
    /// Opens the log in this directory for writing; makes it if there is none. The directory has
    /// to exist, and to be locked by the caller against a second server. Blocks shortly.
    ///
    /// # Errors
    /// [`LogError::Misconfigured`] when the file is not a log, or one of a newer program;
    /// [`LogError::Unavailable`] when it cannot be opened.
    pub fn open(directory: &Path, settings: SqliteSettings) -> Result<Self, LogError> {
        let file = LogFile::in_directory(directory);
        let connection = file.create_or_open()?;
        let recent = Arc::new(Recent::new(
            settings.recent_bytes_max,
            file::ends(&connection).map_err(unavailable)?,
        ));
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let (checkpoints, nudges) = checkpoint::channel();
        let (requests, received) = mpsc::channel();
        let writer = writer::Writer::new(
            file.clone(),
            connection,
            Arc::clone(&recent),
            Arc::clone(&queued_bytes),
            checkpoints,
            &settings,
        )?;
        let threads = vec![
            spawn("log-writer", move || writer.run(&received))?,
            checkpoint::spawn(file.clone(), settings.wal_bytes_max, nudges)?,
        ];
        Ok(Self {
            file,
            settings,
            recent,
            reader: Arc::default(),
            access: Access::Write(WriterHandle {
                requests: Some(requests),
                queued_bytes,
                threads,
            }),
        })
    }

    /// Opens the log for reading only: beside a running server, or in a directory where this user
    /// may not write. Appends are refused as not started; tails look for new records a few times
    /// a second.
    ///
    /// # Errors
    /// [`LogError::Misconfigured`] when there is no log, or none that can be read: what to do.
    pub fn open_read_only(directory: &Path) -> Result<Self, LogError> {
        let file = LogFile::in_directory(directory).for_reading()?;
        let connection = file.read()?;
        let settings = SqliteSettings::default();
        let ends = file::ends(&connection).map_err(unavailable)?;
        let recent = Arc::new(Recent::new(settings.recent_bytes_max, ends));
        Ok(Self {
            file,
            settings,
            recent,
            reader: Arc::new(Mutex::new(Some(connection))),
            access: Access::Read,
        })
    }

    /// The version of the SQLite inside this program.
    pub fn sqlite_version() -> &'static str {
        rusqlite::version()
    }

    /// The file that holds the log.
    pub fn path(&self) -> PathBuf {
        self.file.path().to_owned()
    }

    fn admit(&self, entries: &[Entry]) -> Result<usize, AppendFailure> {
        let Access::Write(writer) = &self.access else {
            return Err(AppendFailure::NotStarted(
                "the log is open for reading only".to_owned(),
            ));
        };
        let bytes = entries.iter().map(bytes_of).sum();
        let queued = writer.queued_bytes.load(Ordering::Relaxed);
        // A single call that is larger than the queue is taken when nothing else waits.
        if queued > 0 && queued + bytes > self.settings.queue_bytes_max {
            return Err(AppendFailure::NotStarted("the queue is full".to_owned()));
        }
        writer.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(bytes)
    }

    /// Hands back what no writer takes.
    fn send(&self, request: Request) -> Result<(), Request> {
        let Access::Write(WriterHandle {
            requests: Some(requests),
            ..
        }) = &self.access
        else {
            return Err(request);
        };
        requests.send(request).map_err(|unsent| unsent.0)
    }

    /// What exists now. With a writer in this process that is known; otherwise the file is asked.
    async fn ends(&self) -> Result<[u64; Topic::ALL.len()], LogError> {
        match self.access {
            Access::Write(_) => Ok(self.recent.ends()),
            Access::Read => self.with_reader(file::ends).await,
        }
    }

    async fn with_reader<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let (file, reader) = (self.file.clone(), Arc::clone(&self.reader));
        crate::blocking(move || {
            let mut reader = reader.lock();
            let connection = match reader.take() {
                Some(connection) => connection,
                None => file.read()?,
            };
            let value = read(&connection).map_err(unavailable)?;
            // After an error the connection is not kept: the next call opens another one.
            *reader = Some(connection);
            Ok(value)
        })
        .await
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    fn layout(&self) -> Layout {
        Layout::uniform(1)
    }

    fn payload_bytes_max(&self) -> usize {
        self.settings.payload_bytes_max
    }

    fn append(&self, mut entries: Vec<Entry>, deliveries: &Arc<dyn Deliveries>) {
        refuse_for_good(self, &mut entries, deliveries.as_ref());
        if entries.is_empty() {
            return;
        }
        let bytes = match self.admit(&entries) {
            Ok(bytes) => bytes,
            Err(failure) => return fail_all(&entries, deliveries.as_ref(), &failure),
        };
        let unsent = self.send(Request::Append {
            entries,
            bytes,
            deliveries: Arc::clone(deliveries),
        });
        if let Err(Request::Append { entries, .. }) = unsent {
            let stopped = AppendFailure::NotStarted(STOPPED.to_owned());
            fail_all(&entries, deliveries.as_ref(), &stopped);
        }
    }

    async fn append_one(&self, entry: Entry) -> Result<Option<u64>, LogError> {
        Single::append(self, entry).await
    }

    async fn tail(&self, from: Vec<Position>) -> Result<Tail, LogError> {
        let ends = self.ends().await?;
        for position in &from {
            let end = ends[recent::index(position.partition.topic)];
            let exists = position.partition.number < self.layout().count(position.partition.topic);
            if position.offset > end || !exists {
                return Err(shortened(*position, end));
            }
        }
        Ok(match self.access {
            Access::Write(_) => tail::follow(self.file.clone(), Arc::clone(&self.recent), from),
            Access::Read => tail::poll(self.file.clone(), from),
        })
    }

    async fn read_at(&self, position: Position) -> Result<RawRecord, LogError> {
        let Position { partition, offset } = position;
        let end = self.ends().await?[recent::index(partition.topic)];
        if partition.number >= self.layout().count(partition.topic) || offset >= end {
            return Err(shortened(position, end));
        }
        if let Some(record) = self.recent.from(partition.topic, offset, 1).pop() {
            return Ok(record);
        }
        self.with_reader(move |connection| file::read_at(connection, partition.topic, offset))
            .await?
            .ok_or_else(|| shortened(position, end))
    }

    async fn extent(&self, partition: Partition) -> Result<Extent, LogError> {
        let end = self.ends().await?[recent::index(partition.topic)];
        Ok(Extent { start: 0, end })
    }

    async fn probe(&self) -> Result<(), LogError> {
        self.with_reader(|connection| file::ends(connection).map(|_| ()))
            .await?;
        let Access::Write(_) = self.access else {
            return Ok(());
        };
        let (answer, answered) = oneshot::channel();
        // A request that no writer takes is dropped, and its answer with it.
        let _ = self.send(Request::Probe(answer));
        match answered.await {
            Ok(probed) => probed.map_err(LogError::Unavailable),
            Err(_) => Err(LogError::Unavailable(STOPPED.to_owned())),
        }
    }

    async fn flush(&self, at_most: Duration) {
        let (answer, answered) = oneshot::channel();
        if self.send(Request::Flush(answer)).is_ok() {
            // Whether it was in time is seen by the deliveries, not here.
            let _ = tokio::time::timeout(at_most, answered).await;
        }
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        // The writer ends with its channel, and the checkpoints end with the writer.
        self.requests = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
    }
}

const STOPPED: &str = "the writer has stopped";

fn bytes_of(entry: &Entry) -> usize {
    /// What an entry takes beside its bytes, roughly.
    const OVERHEAD: usize = 128;
    OVERHEAD + entry.key.len() + entry.payload.as_ref().map_or(0, bytes::Bytes::len)
}

fn shortened(wanted: Position, end: u64) -> LogError {
    LogError::Shortened {
        partition: wanted.partition,
        wanted: wanted.offset,
        start: 0,
        end,
    }
}

fn unavailable(error: rusqlite::Error) -> LogError {
    LogError::Unavailable(error.to_string())
}

fn spawn(
    name: &'static str,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, LogError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| LogError::Unavailable(format!("no thread for {name}: {error}")))
}
