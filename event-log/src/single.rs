//! One append that is waited for: the common path, with a waiter of its own.

use std::sync::Arc;

use parking_lot::Mutex;
use record::{Partition, RecordId};
use tokio::sync::oneshot;

use crate::{AppendFailure, Deliveries, Entry, EventLog, LogError};

type Outcome = Result<Option<u64>, AppendFailure>;

/// Hears what became of one entry.
pub(crate) struct Single(Mutex<Option<oneshot::Sender<Outcome>>>);

impl Single {
    /// Appends the entry and waits for its delivery.
    pub(crate) async fn append(log: &dyn EventLog, entry: Entry) -> Result<Option<u64>, LogError> {
        let (told, outcome) = oneshot::channel();
        let deliveries: Arc<dyn Deliveries> = Arc::new(Self(Mutex::new(Some(told))));
        log.append(vec![entry], &deliveries);
        // The log holds the other reference until it tells; if it goes away without a word, the
        // entry may have been written.
        drop(deliveries);
        let outcome = outcome.await.unwrap_or_else(|_| {
            let stopped = "the log was closed before it told the outcome";
            Err(AppendFailure::Unknown(stopped.to_owned()))
        });
        Ok(outcome?)
    }

    fn tell(&self, outcome: Outcome) {
        if let Some(told) = self.0.lock().take() {
            // Nobody waits any more: the caller gave up.
            let _ = told.send(outcome);
        }
    }
}

impl Deliveries for Single {
    fn acknowledged(&self, _: Partition, _: RecordId, offset: Option<u64>) {
        self.tell(Ok(offset));
    }

    fn failed(&self, _: Partition, _: RecordId, failure: AppendFailure) {
        self.tell(Err(failure));
    }
}
