//! A queue per aggregate: commands of this node on one aggregate are decided one after the other,
//! so that ten parallel cancels of one order do not chase each other's versions.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::gate::AggregateKey;

type Queue = Arc<tokio::sync::Mutex<()>>;

/// The queues of a node. Empty ones are dropped.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queues: Arc<Mutex<HashMap<AggregateKey, Queue>>>,
}

/// It is this command's turn until dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    aggregate: AggregateKey,
    queues: Arc<Mutex<HashMap<AggregateKey, Queue>>>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the aggregate's turn.
    pub(crate) async fn take(&self, aggregate: AggregateKey) -> Turn {
        let queue = Arc::clone(self.queues.lock().entry(aggregate.clone()).or_default());
        let guard = queue.lock_owned().await;
        Turn {
            aggregate,
            queues: Arc::clone(&self.queues),
            guard: Some(guard),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.queues.lock();
        drop(self.guard.take());
        // Nobody can join the queue while the map is locked; one reference is the map's own.
        if queues
            .get(&self.aggregate)
            .is_some_and(|queue| Arc::strong_count(queue) == 1)
        {
            queues.remove(&self.aggregate);
        }
    }
}
