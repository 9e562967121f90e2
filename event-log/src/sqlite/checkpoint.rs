//! Moves records from the write-ahead file into the main file, off the writer's path.
//!
//! A passive checkpoint copies without locking anybody out, but under a steady load the writer is
//! always a step ahead, and the write-ahead file is reused only when everything was copied.
//! Therefore, past a bound, a second checkpoint locks the writer out for the little that is left,
//! after which the file is written from its front again. (Truncating it each time doubled the
//! slowest hundredth of the commits, from 12 to 20 ms, so that is done only where it grew far past
//! the bound.) If a foreign reader is in its way, it gives up soon, so that writes do not wait, and
//! tries again later.
//!
//! Should the writer outrun this thread, it copies the rest itself once the file has twice the
//! bound: then nothing is written meanwhile, and the next write starts at the front of the file.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::file::LogFile;
use crate::LogError;

/// How much the writer writes between two checkpoints.
pub(super) const BYTES_BETWEEN: usize = 4 << 20;
/// How long the writer may be locked out while a foreign reader is in the way.
const LOCKED_OUT_MAX: Duration = Duration::from_millis(20);
/// How soon it is tried again when a foreign reader was in the way, with or without new writes.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Tells the checkpoints that much was written.
#[derive(Debug)]
pub(super) struct Nudge(SyncSender<()>);

impl Nudge {
    /// Never blocks: a nudge that waits already is enough.
    pub(super) fn send(&self) {
        let _ = self.0.try_send(());
    }
}

pub(super) fn channel() -> (Nudge, Receiver<()>) {
    let (sender, receiver) = sync_channel(1);
    (Nudge(sender), receiver)
}

/// Starts the thread; it ends when the writer has dropped its [`Nudge`].
pub(super) fn spawn(
    file: LogFile,
    wal_bytes_max: u64,
    nudges: Receiver<()>,
) -> Result<JoinHandle<()>, LogError> {
    let mut checkpoints = Checkpoints {
        connection: None,
        file,
        wal_bytes_max,
        locking_from: Instant::now(),
    };
    super::spawn("log-checkpoint", move || checkpoints.run(&nudges))
}

struct Checkpoints {
    file: LogFile,
    connection: Option<Connection>,
    wal_bytes_max: u64,
    locking_from: Instant,
}

impl Checkpoints {
    fn run(&mut self, nudges: &Receiver<()>) {
        loop {
            match nudges.recv_timeout(RETRY_AFTER) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
            if let Err(error) = self.step() {
                // Records are safe in the write-ahead file; it only grows meanwhile.
                tracing::warn!(%error, "a checkpoint of the log failed");
                self.connection = None;
            }
        }
    }

    fn step(&mut self) -> Result<(), LogError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let used = checkpoint(&connection, "PASSIVE")
            .map_err(super::unavailable)?
            .bytes;
        let mode = if self.file.wal_bytes() > 2 * self.wal_bytes_max {
            Some("TRUNCATE")
        } else {
            (used > self.wal_bytes_max).then_some("RESTART")
        };
        if let Some(mode) = mode.filter(|_| Instant::now() >= self.locking_from)
            && checkpoint(&connection, mode)
                .map_err(super::unavailable)?
                .blocked
        {
            self.locking_from = Instant::now() + RETRY_AFTER;
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn connect(&self) -> Result<Connection, LogError> {
        let connection = self.file.write()?;
        connection
            .busy_timeout(LOCKED_OUT_MAX)
            .map_err(super::unavailable)?;
        Ok(connection)
    }
}

/// What a checkpoint found.
pub(super) struct Found {
    /// Something was in the way.
    blocked: bool,
    /// How much of the write-ahead file is in use.
    bytes: u64,
}

pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Found> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let page: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    connection.query_row(&sql, [], |row| {
        let pages: i64 = row.get(1)?;
        Ok(Found {
            blocked: row.get::<_, i64>(0)? != 0,
            bytes: u64::try_from(pages).unwrap_or(0) * page,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `log` does when its reader does not read, were it not for the chunks of tails.
    #[test]
    fn the_file_shrinks_once_a_foreign_reader_has_gone_and_nobody_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = LogFile::in_directory(directory.path());
        let writer = file.create_or_open().unwrap();
        let foreign = file.read().unwrap();
        foreign
            .execute_batch("BEGIN; SELECT count(*) FROM orders")
            .unwrap();
        let fill = "INSERT INTO orders (key, payload) VALUES (x'00', zeroblob(100000))";
        for _ in 0..40 {
            writer.execute(fill, []).unwrap();
        }
        let mut checkpoints = Checkpoints {
            file: file.clone(),
            connection: None,
            wal_bytes_max: 1 << 20,
            locking_from: Instant::now(),
        };
        checkpoints.step().unwrap();
        assert!(file.wal_bytes() > 3 << 20, "the reader is in the way");
        assert!(
            checkpoints.locking_from > Instant::now(),
            "writes do not wait again soon"
        );

        foreign.execute_batch("COMMIT").unwrap();
        checkpoints.locking_from = Instant::now();
        checkpoints.step().unwrap();
        assert_eq!(file.wal_bytes(), 0);
    }
}
