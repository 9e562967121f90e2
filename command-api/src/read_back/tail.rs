//! The tasks of a read-back: one reads the log, one appends again what failed.

use std::sync::{Arc, Weak};
use std::time::Duration;

use event_log::{Entry, EventLog, LogError};
use record::{Partition, Position, RecordId};
use tokio::sync::mpsc;

use super::{ReadBack, Seen, TailHealth};

/// Appends again what failed, after a pause, as long as somebody waits for it.
pub(super) async fn append_failed_again(
    read_back: Weak<ReadBack>,
    mut failed: mpsc::UnboundedReceiver<Entry>,
    pause: Duration,
) {
    while let Some(entry) = failed.recv().await {
        tokio::time::sleep(pause).await;
        let Some(read_back) = read_back.upgrade() else {
            return;
        };
        let mut again = vec![entry];
        while let Ok(entry) = failed.try_recv() {
            again.push(entry);
        }
        for entry in again {
            if read_back.is_in_flight(entry.id, entry.partition) {
                read_back.hand_over(entry);
            }
        }
    }
}

/// Reads for as long as the read-back lives. A broken tail goes on at its own position.
pub(super) async fn read(read_back: Weak<ReadBack>, log: Arc<dyn EventLog>) {
    loop {
        let Some(from) = read_back.upgrade().map(|read_back| read_back.positions()) else {
            return;
        };
        let ended = match log.tail(from).await {
            Err(error) => error,
            Ok(mut tail) => {
                if let Some(read_back) = read_back.upgrade() {
                    read_back.health.send_replace(TailHealth::Reading);
                }
                loop {
                    let batch = match tail.next().await {
                        Ok(batch) => batch,
                        Err(error) => break error,
                    };
                    let Some(read_back) = read_back.upgrade() else {
                        return;
                    };
                    if let Err(unreadable) = read_back.take_in(&batch) {
                        return read_back.give_up(&unreadable);
                    }
                }
            }
        };
        let Some(read_back) = read_back.upgrade() else {
            return;
        };
        match ended {
            LogError::Shortened { .. } | LogError::Misconfigured(_) => {
                return read_back.give_up(&ended.to_string());
            }
            LogError::Unavailable(why) => {
                read_back.health.send_replace(TailHealth::Interrupted(why));
            }
            LogError::Append(failure) => {
                read_back
                    .health
                    .send_replace(TailHealth::Interrupted(failure.to_string()));
            }
        }
        drop(read_back);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

impl ReadBack {
    /// Whether an attempt of this node decided the record and will append it, or has.
    fn is_in_flight(&self, record: RecordId, partition: Partition) -> bool {
        let mut state = self.state.lock();
        let awaited = state.awaited(partition, record);
        awaited.is_some_and(|it| it.is_in_flight())
    }

    /// Where the tail goes on.
    fn positions(&self) -> Vec<Position> {
        let state = self.state.lock();
        let position = |(partition, seen): (&Partition, &Seen)| Position {
            partition: *partition,
            offset: seen.next,
        };
        state.partitions.iter().map(position).collect()
    }
}
