//! Attempts that wait for an epoch or a gate, and what is said of them.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use command_api::clock::SystemClock;
use command_api::commit::CommitError;
use command_api::epoch::EpochState;
use command_api::gate::memory::MemoryGate;
use command_api::gate::{
    Current, Decide, Gate, GateError, Look, Looked, Pending, Rebuild, Refusal, Reply, Settle,
    Settled, Verdict,
};
use event_log::EventLog;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use parking_lot::Mutex;
use personal_data::Secrets;
use record::epochs::GATE_INTERFACE;
use record::{Partition, Position, Record, RecordId};
use tokio::sync::watch;

use crate::commit::{Node, refusal, request, sku};
use crate::recovery::{append, claim};

/// What a call to decide comes to.
#[derive(Debug)]
enum Trouble {
    /// It does not run there.
    Answered(Result<Verdict, GateError>),
    /// Nobody hears of it, and it runs when all other troubles are over.
    Late,
}

/// A gate whose pointer a node cannot read before somebody says so, and to which the next calls to
/// decide have their troubles.
#[derive(Debug)]
struct Troubled {
    gate: Arc<MemoryGate>,
    answers: watch::Receiver<bool>,
    decides: Mutex<VecDeque<Trouble>>,
    late: Mutex<Vec<Decide>>,
}

impl Troubled {
    fn late(gate: Arc<MemoryGate>, answers: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self {
            gate,
            answers,
            decides: Mutex::default(),
            late: Mutex::default(),
        })
    }

    /// Lets what is late run, where all troubles are over.
    async fn deliver(&self, current: &Current) {
        if self.decides.lock().is_empty() {
            let late = std::mem::take(&mut *self.late.lock());
            self.gate.decide(current, &late).await.unwrap();
        }
    }
}

#[async_trait]
impl Gate for Troubled {
    async fn probe(&self) -> Result<(), GateError> {
        self.gate.probe().await
    }

    async fn current(&self) -> Result<Option<Current>, GateError> {
        let mut answers = self.answers.clone();
        let _ = answers.wait_for(|answers| *answers).await;
        self.gate.current().await
    }

    async fn load(&self, current: &Current, looks: &[Look]) -> Result<Reply<Looked>, GateError> {
        self.deliver(current).await;
        self.gate.load(current, looks).await
    }

    async fn decide(
        &self,
        current: &Current,
        commands: &[Decide],
    ) -> Result<Reply<Verdict>, GateError> {
        self.deliver(current).await;
        let trouble = self.decides.lock().pop_front();
        match trouble {
            None => self.gate.decide(current, commands).await,
            Some(Trouble::Answered(answer)) => Ok(Reply {
                generation: 0,
                answers: vec![answer?; commands.len()],
            }),
            Some(Trouble::Late) => {
                self.late.lock().extend_from_slice(commands);
                Err(GateError::Unanswered("the connection broke".to_owned()))
            }
        }
    }

    async fn settle(
        &self,
        current: &Current,
        records: &[Settle],
        tails: &[Position],
    ) -> Result<Reply<Settled>, GateError> {
        self.gate.settle(current, records, tails).await
    }

    async fn pending(
        &self,
        current: &Current,
        of: Option<&[RecordId]>,
    ) -> Result<Vec<Pending>, GateError> {
        self.gate.pending(current, of).await
    }

    async fn tail_starts(&self, current: &Current) -> Result<BTreeMap<Partition, u64>, GateError> {
        self.gate.tail_starts(current).await
    }

    async fn begin_rebuild(&self, epoch: u64) -> Result<Box<dyn Rebuild>, GateError> {
        self.gate.begin_rebuild(epoch).await
    }
}

/// A retry of what waits was refused, and that was forgotten while it waited.
#[tokio::test]
async fn what_waited_for_the_epoch_belongs_to_its_first_generation() {
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    // One entry is a generation.
    let (gate, secrets) = (Arc::new(MemoryGate::new(1)), Arc::new(Secrets::generate()));
    let node = Node::over(gate.clone(), Arc::clone(&log), &secrets);
    node.stock("A", 1).await;
    let first = node.order(None, &[("A", 1)]).await.unwrap();

    let (says, answers) = watch::channel(false);
    let gate = Troubled::late(gate, answers);
    let late = Node::tuned(gate, log, &secrets, Arc::new(SystemClock), |settings| {
        settings.recovery_wait = Duration::from_secs(60);
    });
    let mut waits = pin!(late.order(Some("K"), &[("A", 1)]));
    assert!(futures::poll!(waits.as_mut()).is_pending());
    // In this one thread its task comes to the waiting before the others are answered.
    for key in [Some("K"), None, None, None] {
        let refused = refusal(node.order(key, &[("A", 1)]).await);
        assert!(matches!(refused, Refusal::OutOfStock { .. }), "{refused:?}");
    }
    let given_back = node
        .commands
        .cancel_order(request(None), first.value.id, None, None);
    given_back.await.unwrap();
    says.send_replace(true);
    let decided = waits.await;
    assert!(
        matches!(decided, Err(CommitError::Unavailable(_))),
        "its retry was refused, and yet: {decided:?}"
    );
}

/// A newer program claims while this one looks for its epoch: whatever it opens is not adopted.
#[tokio::test]
async fn an_epoch_that_was_claimed_while_it_was_looked_for_is_judged_before_it_is_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let (gate, secrets) = (
        Arc::new(MemoryGate::new(1000)),
        Arc::new(Secrets::generate()),
    );
    let node = Node::over(gate.clone(), Arc::clone(&log), &secrets);
    node.stock("A", 1).await;
    let claims = node.commands.committer().keeper().history();
    let shop = claims.borrow().claims[0].shop.clone();

    let (says, answers) = watch::channel(false);
    let late = Node::over(Troubled::late(gate, answers), Arc::clone(&log), &secrets);
    let keeper = late.commands.committer().keeper();
    // It knows the first claim, and then waits for the gate.
    let mut known = keeper.history();
    known
        .wait_for(|known| known.log_id().is_some())
        .await
        .unwrap();
    while says.receiver_count() < 2 {
        tokio::task::yield_now().await;
    }
    append(&*log, &claim(&*log, GATE_INTERFACE + 1, shop)).await;
    says.send_replace(true);
    let mut state = keeper.state();
    let decided = state.wait_for(|state| !matches!(state, EpochState::Unready(_)));
    let decided = decided.await.unwrap().clone();
    assert!(
        matches!(&decided, EpochState::Unfit(why) if why.contains("newer program")),
        "{decided:?}"
    );
}

/// A call to decide is lost for the node, but not for the gate, which it may still reach: whatever
/// the next ones come to, nobody may say that the order was not placed.
#[tokio::test]
async fn what_may_still_be_decided_is_never_said_to_be_undone() {
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
    let gate = Troubled::late(Arc::new(MemoryGate::new(1000)), watch::channel(true).1);
    let secrets = Arc::new(Secrets::generate());
    let node = Node::over(gate.clone(), Arc::new(log), &secrets);
    node.stock("A", 1).await;

    let (changed, not_run) = (
        || Trouble::Answered(Ok(Verdict::VersionChanged)),
        || Trouble::Answered(Err(GateError::NotRun("its memory is full".to_owned()))),
    );
    let unanswered = GateError::Unanswered("the connection broke".to_owned());
    let order = async |troubles: Vec<Trouble>| {
        gate.decides.lock().extend(troubles);
        let answered = node.order(Some("K"), &[("A", 1)]).await;
        assert!(gate.decides.lock().is_empty(), "{answered:?}");
        answered.unwrap_err()
    };
    let known = order(vec![changed(), not_run()]).await;
    assert!(matches!(known, CommitError::Unavailable(_)), "{known:?}");
    let lost = Trouble::Answered(Err(unanswered));
    let lost = order(vec![lost, changed(), not_run()]).await;
    assert!(matches!(lost, CommitError::OutcomeUnknown(_)), "{lost:?}");
}

/// A call that is late is accepted by other bytes than the node has made since: completion appends
/// those of the gate. By its own, the item's versions would have a gap.
#[tokio::test]
async fn what_a_late_call_decided_is_not_appended_by_other_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let gate = Troubled::late(Arc::new(MemoryGate::new(1000)), watch::channel(true).1);
    let secrets = Arc::new(Secrets::generate());
    let node = Node::over(gate.clone(), Arc::clone(&log), &secrets);
    node.stock("A", 1).await;

    let changed = Trouble::Answered(Ok(Verdict::VersionChanged));
    gate.decides.lock().extend([Trouble::Late, changed]);
    let discontinued = node.commands.discontinue(request(None), sku("A")).await;
    let unknown = matches!(discontinued, Err(CommitError::OutcomeUnknown(_)));
    assert!(unknown, "{discontinued:?}");
    let current = gate.current().await.unwrap().unwrap();
    let pending = gate.pending(&current, None).await.unwrap();
    let record = Record::decode(&pending[0].payload).unwrap();
    // It was put, and received its stock, before.
    assert_eq!(record.envelope.version, 3);
    let partition = pending[0].partition;
    let log_has = log.extent(partition).await.unwrap();
    assert_eq!(log_has.end, 3, "a fence, and what was there before");
}

/// The first attempt was settled by another node just after this one was told that it is pending.
#[tokio::test]
async fn a_retry_beside_the_first_attempts_end_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let (memory, secrets) = (
        Arc::new(MemoryGate::new(1000)),
        Arc::new(Secrets::generate()),
    );
    let first = Node::over(memory.clone(), Arc::clone(&log), &secrets);
    first.stock("A", 1).await;
    let placed = first.order(Some("K"), &[("A", 1)]).await.unwrap();
    let raw = log.read_at(placed.position).await.unwrap();
    let record = Record::decode(&raw.payload).unwrap();
    let current = memory.current().await.unwrap().unwrap();
    while !memory.pending(&current, None).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }

    let gate = Troubled::late(memory, watch::channel(true).1);
    let second = Node::over(gate.clone(), log, &secrets);
    let mut state = second.commands.committer().keeper().state();
    let open = |state: &EpochState| matches!(state, EpochState::Open(_));
    state.wait_for(open).await.unwrap();
    let pending = Trouble::Answered(Ok(Verdict::Replayed {
        record: record.envelope.id,
        aggregate_id: record.envelope.aggregate_id.as_str().into(),
        position: None,
    }));
    gate.decides.lock().push_back(pending);
    let again = second.order(Some("K"), &[("A", 1)]).await.unwrap();
    assert_eq!((again.value.id, again.replayed), (placed.value.id, true));
}
