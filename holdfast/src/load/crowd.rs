//! Many clients at once, on a thread of their own.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::Barrier;

use super::call::Call;
use super::client::Client;
use super::connection::Target;
use super::tally::Tally;

/// Descriptors that are left for everything but the clients' connections.
const DESCRIPTORS_SPARED: usize = 128;

/// A tally that is filled by a crowd and may be looked at meanwhile.
pub(crate) type Shared = Arc<Mutex<Tally>>;

/// Who runs, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Crowd {
    /// Where to.
    pub(crate) target: Target,
    /// Connections, each with one request in flight.
    pub(crate) clients: usize,
    /// When to stop.
    pub(crate) until: Until,
}

/// When a client of a crowd stops.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    /// No call begins later than this after the start.
    Elapsed(Duration),
    /// This many calls were made, by all clients together.
    Calls(usize),
}

/// What a crowd was answered, and how long it took from the first call to the last answer.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The answers.
    pub(crate) tally: Tally,
    /// From the first call to the last answer.
    pub(crate) took: Duration,
}

impl Crowd {
    /// Lets every client send what `call` gives for a number, one after the other. Calls are
    /// numbered over the whole crowd. All connect first and then start together. Answers are
    /// counted in `shared` as they come.
    ///
    /// Runs on one thread with a runtime of its own: one thread is enough for it, and it spares
    /// the moving of tasks between threads.
    ///
    /// # Errors
    /// When a client cannot connect.
    pub(crate) async fn run<F>(self, shared: &Shared, call: F) -> Result<Ran>
    where
        F: Fn(usize) -> Call + Send + Sync + 'static,
    {
        let tally = Arc::clone(shared);
        let took = apart(move || self.all(tally, Arc::new(call))).await??;
        Ok(Ran {
            tally: look(shared),
            took,
        })
    }

    async fn all<F>(self, shared: Shared, call: Arc<F>) -> Result<Duration>
    where
        F: Fn(usize) -> Call + Send + Sync + 'static,
    {
        let start = Arc::new(Barrier::new(self.clients + 1));
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..self.clients {
            let mut client = Client::of(&self.target);
            client
                .connect()
                .await
                .context("a client of the load cannot connect")?;
            let (start, shared, call) =
                (Arc::clone(&start), Arc::clone(&shared), Arc::clone(&call));
            let (until, of) = (self.until, self.clients);
            clients.spawn(async move {
                start.wait().await;
                let began = Instant::now();
                let mut sent = number;
                while until.allows(began, sent) {
                    let answered = client.send(&call(sent)).await;
                    lock(&shared).count(sent, &answered);
                    sent += of;
                }
            });
        }
        start.wait().await;
        let began = Instant::now();
        while let Some(ended) = clients.join_next().await {
            ended.context("a client of the load panicked")?;
        }
        Ok(began.elapsed())
    }
}

impl Until {
    fn allows(self, began: Instant, call: usize) -> bool {
        match self {
            Self::Elapsed(limit) => began.elapsed() < limit,
            Self::Calls(count) => call < count,
        }
    }
}

/// How many connections this process and a server that it starts may hold, as far as descriptors
/// go.
pub(crate) fn connections_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok());
    soft.unwrap_or(1024)
        .saturating_sub(DESCRIPTORS_SPARED)
        .max(1)
}

/// A copy of the tally as it stands.
pub(crate) fn look(shared: &Shared) -> Tally {
    lock(shared).clone()
}

/// A client that panicked has left the tally whole, for nothing in `count` can stop half-way.
fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Tally> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs this on a thread with a runtime of its own.
async fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let done = runtime.map(|runtime| runtime.block_on(work()));
            // Whoever asked may have been stopped by Ctrl-C.
            let _ = answer.send(done);
        })?;
    Ok(answered.await.context("the load's thread panicked")??)
}
