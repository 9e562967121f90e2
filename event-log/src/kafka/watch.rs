//! Looks after the log while it is open: whether its topics are still the same, and whether its
//! producer is still alive.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::cluster::Cluster;
use super::producer::Producer;
use crate::LogError;

/// How often the topics are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The thread that looks; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(cluster: Arc<Cluster>, producer: Arc<Producer>) -> Result<Self, LogError> {
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("log-watch".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                    producer.renew_after_fatal_error();
                    if let Err(error) = cluster.look() {
                        tracing::warn!(%error, "the topics cannot be vouched for");
                    }
                }
            })
            .map_err(|error| LogError::Unavailable(format!("no thread to watch: {error}")))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the log panicked");
        }
    }
}
