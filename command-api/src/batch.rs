//! Many questions in one call of the gate: what has queued goes along, nobody waits for more.
//!
//! A call without an answer is sent again, the same questions in the same epoch, so that it finds
//! the first run's results. What became of it is told to every question: whether an earlier call
//! may have run decides between *unavailable* and *outcome unknown*.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::Instant;

use crate::epoch::OpenEpoch;
use crate::gate::{GateError, Reply};

/// A gate call that takes many questions.
#[async_trait]
pub(crate) trait Call: Send + Sync + 'static {
    type Question: Send + Sync + 'static;
    type Answer: Send + 'static;

    /// Whether others wait for what this question does, so that a call must not linger.
    fn is_urgent(_question: &Self::Question) -> bool {
        false
    }

    /// Asks once.
    async fn call(
        &self,
        epoch: &OpenEpoch,
        questions: &[Self::Question],
    ) -> Result<Reply<Self::Answer>, GateError>;
}

/// A call that failed for all of its questions.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub(crate) struct CallFailed {
    /// How the last attempt failed.
    #[source]
    pub(crate) error: GateError,
    /// Whether an earlier attempt may have run.
    pub(crate) may_have_run: bool,
}

/// An answer, and how it came.
#[derive(Debug, Clone)]
pub(crate) struct Answered<T> {
    /// The answer.
    pub(crate) answer: T,
    /// Whether an earlier, unanswered call with the same question may have run.
    pub(crate) may_have_run: bool,
}

struct Asked<C: Call> {
    epoch: Arc<OpenEpoch>,
    question: C::Question,
    answer: oneshot::Sender<Result<Answered<C::Answer>, CallFailed>>,
}

/// How a batcher works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The most questions in one call.
    pub(crate) questions_max: usize,
    /// Calls under way at once.
    pub(crate) calls_in_flight: usize,
    /// How long to collect before a call; zero: never wait.
    pub(crate) linger: Duration,
    /// How long an unanswered call is repeated.
    pub(crate) retry_for: Duration,
}

/// Collects questions into calls. Cheap to clone; its task ends with the last clone.
pub(crate) struct Batcher<C: Call> {
    queue: mpsc::UnboundedSender<Asked<C>>,
}

impl<C: Call> Batcher<C> {
    /// Starts the batcher's task. What queues is bounded by the commands under way.
    pub(crate) fn start(call: C, limits: Limits) -> Self {
        let (queue, questions) = mpsc::unbounded_channel();
        tokio::spawn(run(Arc::new(call), limits, questions));
        Self { queue }
    }

    /// Asks one question in an epoch.
    pub(crate) async fn ask(
        &self,
        epoch: &Arc<OpenEpoch>,
        question: C::Question,
    ) -> Result<Answered<C::Answer>, CallFailed> {
        match self.send(epoch, question).await {
            Ok(answer) => answer,
            Err(_) => Err(CallFailed {
                error: GateError::Unanswered("the node is stopping".to_owned()),
                may_have_run: true,
            }),
        }
    }

    /// Queues one question at once; its answer comes through the receiver.
    pub(crate) fn send(
        &self,
        epoch: &Arc<OpenEpoch>,
        question: C::Question,
    ) -> oneshot::Receiver<Result<Answered<C::Answer>, CallFailed>> {
        let (answer, receiver) = oneshot::channel();
        // A closed queue drops the sender, which the receiver hears.
        let _ = self.queue.send(Asked {
            epoch: Arc::clone(epoch),
            question,
            answer,
        });
        receiver
    }
}

async fn run<C: Call>(
    call: Arc<C>,
    limits: Limits,
    mut questions: mpsc::UnboundedReceiver<Asked<C>>,
) {
    let permits = Arc::new(Semaphore::new(limits.calls_in_flight));
    let mut next: Option<Asked<C>> = None;
    loop {
        let first = match next.take() {
            Some(first) => first,
            None => match questions.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        if !limits.linger.is_zero() && !C::is_urgent(&first.question) {
            tokio::time::sleep(limits.linger).await;
        }
        let permit = Arc::clone(&permits)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let epoch = Arc::clone(&first.epoch);
        let mut batch = vec![first];
        while batch.len() < limits.questions_max {
            match questions.try_recv() {
                // Questions of one call share their epoch; another one starts the next call.
                Ok(asked) if asked.epoch.number() == epoch.number() => batch.push(asked),
                Ok(asked) => {
                    next = Some(asked);
                    break;
                }
                Err(_) => break,
            }
        }
        let call = Arc::clone(&call);
        tokio::spawn(async move {
            answer(&*call, &epoch, batch, limits.retry_for).await;
            drop(permit);
        });
    }
}

/// Asks until there is an answer, and hands it out.
async fn answer<C: Call>(call: &C, epoch: &OpenEpoch, batch: Vec<Asked<C>>, retry_for: Duration) {
    let (questions, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|asked| (asked.question, asked.answer))
        .unzip();
    let deadline = Instant::now() + retry_for;
    let mut may_have_run = false;
    let result = loop {
        match call.call(epoch, &questions).await {
            Err(GateError::Unanswered(_)) if Instant::now() < deadline => may_have_run = true,
            Err(error) => {
                may_have_run |= matches!(error, GateError::Unanswered(_) | GateError::Damaged(_));
                break Err(CallFailed {
                    error,
                    may_have_run,
                });
            }
            Ok(reply) => break Ok(reply),
        }
    };
    match result {
        Ok(reply) => {
            epoch.heard_of_generation(reply.generation);
            for (sender, answer) in answers.into_iter().zip(reply.answers) {
                let _ = sender.send(Ok(Answered {
                    answer,
                    may_have_run,
                }));
            }
        }
        Err(failed) => {
            for sender in answers {
                let _ = sender.send(Err(failed.clone()));
            }
        }
    }
}
