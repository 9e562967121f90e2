//! A log with a record that cannot be read any more. Whoever still serves has not read it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event_log::{Batch, Deliveries, Entry, EventLog, Extent, LogError, RawRecord, Tail};
use record::{Layout, Partition, Position};
use tokio::sync::mpsc;

/// A log, but for one record, of which a few bytes are left.
#[derive(Debug)]
pub(crate) struct Unreadable<L> {
    pub(crate) log: L,
    pub(crate) at: Position,
}

fn spoil(at: Position, partition: Partition, record: &mut RawRecord) {
    if (at.partition, at.offset) == (partition, record.offset) {
        record.payload = record.payload.slice(..3);
    }
}

#[async_trait]
impl<L: EventLog> EventLog for Unreadable<L> {
    fn layout(&self) -> Layout {
        self.log.layout()
    }

    fn payload_bytes_max(&self) -> usize {
        self.log.payload_bytes_max()
    }

    fn append(&self, entries: Vec<Entry>, deliveries: &Arc<dyn Deliveries>) {
        self.log.append(entries, deliveries);
    }

    async fn append_one(&self, entry: Entry) -> Result<Option<u64>, LogError> {
        self.log.append_one(entry).await
    }

    async fn tail(&self, from: Vec<Position>) -> Result<Tail, LogError> {
        let (mut tail, at) = (self.log.tail(from).await?, self.at);
        let (sender, receiver) = mpsc::channel::<Result<Batch, LogError>>(1);
        tokio::spawn(async move {
            loop {
                let mut shown = tokio::select! {
                    shown = tail.next() => shown,
                    () = sender.closed() => return,
                };
                if let Ok(batch) = &mut shown {
                    let partition = batch.partition;
                    let records = batch.records.iter_mut();
                    records.for_each(|record| spoil(at, partition, record));
                }
                if sender.send(shown).await.is_err() {
                    return;
                }
            }
        });
        Ok(Tail::new(receiver))
    }

    async fn read_at(&self, position: Position) -> Result<RawRecord, LogError> {
        let mut record = self.log.read_at(position).await?;
        spoil(self.at, position.partition, &mut record);
        Ok(record)
    }

    async fn extent(&self, partition: Partition) -> Result<Extent, LogError> {
        self.log.extent(partition).await
    }

    async fn probe(&self) -> Result<(), LogError> {
        self.log.probe().await
    }

    async fn flush(&self, at_most: Duration) {
        self.log.flush(at_most).await;
    }
}
