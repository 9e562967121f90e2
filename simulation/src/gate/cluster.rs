//! Both servers, and how a message gets to one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use command_api::gate::GateError;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::server::{Role, Server};
use crate::link::Link;
use crate::plan::Fault;
use crate::recovery::Step;
use crate::world::World;

/// How long a process waits for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How often a message looks whether its server answers again.
const HUNG_POLL: Duration = Duration::from_millis(50);

/// Two servers of Redis.
#[derive(Debug)]
pub struct Cluster {
    /// The world around them.
    pub world: Arc<World>,
    /// The servers; nobody holds the lock while it waits.
    pub servers: Mutex<[Server; 2]>,
    replids: AtomicU64,
}

/// What a message does at its server.
pub(super) type Run<T> = Arc<dyn Fn(&mut Server) -> Result<T, GateError> + Send + Sync>;

/// One message to a server.
pub(super) struct Message<T> {
    /// What it is, in a history.
    pub(super) what: String,
    /// Whether it may be delivered twice.
    pub(super) repeatable: bool,
    /// What it does there.
    pub(super) run: Run<T>,
    /// What is said of the answer.
    pub(super) tell: fn(&T) -> String,
    /// Which step of a recovery it is.
    pub(super) step: Option<Step>,
}

impl<T> Clone for Message<T> {
    fn clone(&self) -> Self {
        Self {
            what: self.what.clone(),
            repeatable: self.repeatable,
            run: Arc::clone(&self.run),
            tell: self.tell,
            step: self.step,
        }
    }
}

impl Cluster {
    /// A master and its replica, both empty.
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        let entries = world.plan.entries_per_generation;
        let servers = [
            Server::new("redis-0", Role::Master, 1, entries),
            Server::new("redis-1", Role::Replica, 1, entries),
        ];
        Arc::new(Self {
            world: Arc::clone(world),
            servers: Mutex::new(servers),
            replids: AtomicU64::new(1),
        })
    }

    /// A replication id that no server ever had.
    pub fn new_replid(&self) -> u64 {
        self.replids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether two masters serve at this moment.
    pub fn is_split(&self) -> bool {
        let servers = self.servers.lock();
        servers.iter().all(|it| it.up && it.role == Role::Master)
    }

    /// Sends a message from a process to the server that it talks to, and waits for the answer.
    pub(super) async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        link: &Arc<Link>,
        message: Message<T>,
    ) -> Result<T, GateError> {
        link.pass().await;
        let (at, world) = (link.server(), &self.world);
        let starts = {
            let server = &self.servers.lock()[at];
            if !server.up {
                world.say(
                    &link.name,
                    format!("{} finds {} down", message.what, server.name),
                );
                return Err(GateError::NotRun("no connection".to_owned()));
            }
            server.starts
        };
        let lost = Err(GateError::Unanswered("no answer came".to_owned()));
        if world.strikes(Fault::RequestLost) {
            world.say(&link.name, format!("{} is lost on its way", message.what));
            tokio::time::sleep(ANSWER_WITHIN).await;
            link.pass().await;
            return lost;
        }
        let repeated = message.repeatable && world.strikes(Fault::CallRepeated);
        if repeated {
            let again = world.delay(10..=20_000);
            let from = (Arc::clone(link), " again");
            tokio::spawn(Arc::clone(self).carry(from, at, starts, message.clone(), again, None));
        }
        let (sender, answer) = oneshot::channel();
        let (delay, sender) = if world.strikes(Fault::CallLate) {
            (world.delay(2_000..=60_000), None)
        } else if world.strikes(Fault::ReplyLost) {
            (world.delay(1..=5), None)
        } else {
            (world.delay(0..=4), Some(sender))
        };
        let from = (Arc::clone(link), "");
        tokio::spawn(Arc::clone(self).carry(from, at, starts, message, delay, sender));
        let answered = match timeout(ANSWER_WITHIN, answer).await {
            // Whatever sends a call again has heard no answer: were "did not run" heard here, it
            // would be a lie as soon as the other copy runs.
            Ok(Ok(Err(GateError::NotRun(_)))) if repeated => lost,
            Ok(Ok(answered)) => answered,
            // The connection broke, or nobody answers: the call may have run.
            Ok(Err(_)) | Err(_) => lost,
        };
        link.pass().await;
        answered
    }

    async fn carry<T: Send + 'static>(
        self: Arc<Self>,
        from: (Arc<Link>, &'static str),
        at: usize,
        starts: u64,
        message: Message<T>,
        delay: Duration,
        sender: Option<oneshot::Sender<Result<T, GateError>>>,
    ) {
        tokio::time::sleep(delay).await;
        let result = loop {
            match self.delivered(&from, at, starts, &message, sender.is_some()) {
                Delivered::Ran(result) => break result,
                Delivered::Nobody => return,
                Delivered::NotYet => tokio::time::sleep(HUNG_POLL).await,
            }
        };
        if let Some(sender) = sender {
            tokio::time::sleep(self.world.delay(0..=4)).await;
            // Whoever gave up does not hear it.
            let _ = sender.send(result);
        }
    }

    fn delivered<T>(
        &self,
        (from, again): &(Arc<Link>, &'static str),
        at: usize,
        starts: u64,
        message: &Message<T>,
        heard: bool,
    ) -> Delivered<T> {
        let server = &mut self.servers.lock()[at];
        if server.starts != starts {
            return Delivered::Nobody;
        }
        if server.hung {
            return Delivered::NotYet;
        }
        let result = (message.run)(server);
        let lost = if heard { "" } else { ", not heard" };
        let told = match &result {
            Ok(answer) => (message.tell)(answer),
            Err(error) => error.to_string(),
        };
        let what = &message.what;
        self.world.say(
            server.name,
            format!("{}{again} {what}: {told}{lost}", from.name),
        );
        if let Some(step) = message.step.filter(|_| result.is_ok()) {
            self.world.recoveries.reached(from, step);
        }
        Delivered::Ran(result)
    }
}

enum Delivered<T> {
    Ran(Result<T, GateError>),
    /// The process that it was sent to is gone.
    Nobody,
    NotYet,
}
