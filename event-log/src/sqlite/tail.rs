//! Tails over the file: what exists, then what is committed.

use std::time::Duration;

use record::{Position, Topic};
use rusqlite::Connection;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

use super::file::{self, LogFile};
use super::recent::Recent;
use super::unavailable;
use crate::{Batch, LogError, RawRecord, Tail, blocking};

/// How many batches wait for a slow reader.
const BATCHES_MAX: usize = 16;
/// How many records are taken from memory at once.
const RECORDS_MAX: usize = 1_000;
/// How often a file that another process writes is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Follows the writer of this process: from memory where it can, from the file where it must.
pub(super) fn follow(file: LogFile, recent: Arc<Recent>, from: Vec<Position>) -> Tail {
    let (batches, received) = mpsc::channel(BATCHES_MAX);
    let commits = recent.commits();
    let recent = Arc::downgrade(&recent);
    let mut reader = Reader::new(file, batches);
    tokio::spawn(async move {
        let mut commits: watch::Receiver<()> = commits;
        let mut from = from;
        loop {
            commits.borrow_and_update();
            let Some(recent) = recent.upgrade() else {
                return;
            };
            if reader.show_all(&mut from, Some(&recent)).await.is_err() {
                return;
            }
            drop(recent);
            tokio::select! {
                committed = commits.changed() => if committed.is_err() { return },
                () = reader.batches.closed() => return,
            }
        }
    });
    Tail::new(received)
}

/// Follows a file that another process may write.
pub(super) fn poll(file: LogFile, from: Vec<Position>) -> Tail {
    let (batches, received) = mpsc::channel(BATCHES_MAX);
    let mut reader = Reader::new(file, batches);
    tokio::spawn(async move {
        let mut from = from;
        let mut looks = tokio::time::interval(POLL_INTERVAL);
        loop {
            tokio::select! {
                _ = looks.tick() => if reader.show_all(&mut from, None).await.is_err() { return },
                () = reader.batches.closed() => return,
            }
        }
    });
    Tail::new(received)
}

struct Reader {
    file: LogFile,
    connection: Option<Connection>,
    batches: mpsc::Sender<Result<Batch, LogError>>,
}

/// The tail is over: it has told why, or nobody reads it any more.
struct Ended;

impl Reader {
    fn new(file: LogFile, batches: mpsc::Sender<Result<Batch, LogError>>) -> Self {
        Self {
            file,
            connection: None,
            batches,
        }
    }

    /// Shows what exists of every partition, in turns, until there is no more.
    async fn show_all(
        &mut self,
        from: &mut [Position],
        recent: Option<&Recent>,
    ) -> Result<(), Ended> {
        let mut more = true;
        while more {
            more = false;
            for position in &mut *from {
                let records = self.records(*position, recent).await?;
                let Some(last) = records.last() else {
                    continue;
                };
                more = true;
                position.offset = last.offset + 1;
                let batch = Batch {
                    partition: position.partition,
                    records,
                };
                self.batches.send(Ok(batch)).await.map_err(|_| Ended)?;
            }
        }
        Ok(())
    }

    async fn records(
        &mut self,
        from: Position,
        recent: Option<&Recent>,
    ) -> Result<Vec<RawRecord>, Ended> {
        let topic = from.partition.topic;
        if let Some(recent) = recent {
            let records = recent.from(topic, from.offset, RECORDS_MAX);
            let reached = from.offset >= recent.ends()[super::recent::index(topic)];
            if !records.is_empty() || reached {
                return Ok(records);
            }
        }
        match self.read(topic, from.offset).await {
            Ok(records) => Ok(records),
            Err(error) => {
                // If nobody hears it, nobody needs it.
                let _ = self.batches.send(Err(error)).await;
                Err(Ended)
            }
        }
    }

    async fn read(&mut self, topic: Topic, offset: u64) -> Result<Vec<RawRecord>, LogError> {
        let (file, connection) = (self.file.clone(), self.connection.take());
        let (connection, records) = blocking(move || {
            let connection = match connection {
                Some(connection) => connection,
                None => file.read()?,
            };
            let records = file::read_from(&connection, topic, offset).map_err(unavailable)?;
            Ok((connection, records))
        })
        .await?;
        self.connection = Some(connection);
        Ok(records)
    }
}
