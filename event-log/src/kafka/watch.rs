//! Looks after the log while it is open: whether its topics are still the same, and whether its
//! producer is still alive.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::cluster::Cluster;
use super::producer::Producer;
use crate::LogError;

/// How often the topics are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The thread that looks; it ends soon after this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    /// Nothing is ever sent: the thread notices that it is gone.
    _running: Sender<()>,
}

impl Watch {
    pub(super) fn start(cluster: Arc<Cluster>, producer: &Arc<Producer>) -> Result<Self, LogError> {
        // The producer has to end with the log, which tells everything that is unfinished, and not
        // with a look that waits for a broker that is away.
        let producer = Arc::downgrade(producer);
        let (running, stopped) = channel::<()>();
        let look = move || {
            if let Some(producer) = producer.upgrade() {
                producer.renew_after_fatal_error();
            }
            if let Err(error) = cluster.look() {
                tracing::warn!(%error, "the topics cannot be vouched for");
            }
        };
        let run = move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                look();
            }
        };
        std::thread::Builder::new()
            .name("log-watch".to_owned())
            .spawn(run)
            .map_err(|error| LogError::Unavailable(format!("no thread to watch: {error}")))?;
        Ok(Self { _running: running })
    }
}
