//! The gate of a shop that closes its epoch, loses its answers, and looks at who calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use record::{Envelope, Partition, Position, RecordId};
use shuttle::rand::{Rng as _, thread_rng};

use crate::gate::memory::MemoryGate;
use crate::gate::{
    Current, Decide, Gate, GateError, Look, Looked, Pending, Rebuild, Reply, Settle, Settled,
    Verdict,
};
use crate::log::Log;
use crate::schedules::note;

/// A memory gate, reached over a network.
#[derive(Debug)]
pub(crate) struct Gated {
    inner: MemoryGate,
    log: Arc<Log>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// Epochs up to this one are closed.
    closed: Option<u64>,
    /// How many answers may still be lost.
    faults: u32,
    /// No command may be under way any more.
    drained: bool,
}

impl Gated {
    pub(crate) fn new(log: Arc<Log>, faults: u32) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryGate::new(1000),
            log,
            seen: Mutex::new(Seen {
                closed: None,
                faults,
                drained: false,
            }),
        })
    }

    /// Closes the current epoch, as a restart of Redis does.
    pub(crate) async fn close(&self) {
        if let Ok(Some(current)) = self.inner.current().await {
            note(format!("epoch {} is closed", current.epoch));
            let mut seen = self.seen.lock();
            seen.closed = seen.closed.max(Some(current.epoch));
        }
    }

    /// From now on no command may come.
    pub(crate) fn drained(&self) {
        note("drained");
        self.seen.lock().drained = true;
    }

    /// What another node sees pending here.
    pub(crate) async fn pending_elsewhere(&self) -> Vec<Pending> {
        match self.inner.current().await {
            Ok(Some(current)) => self.inner.pending(&current, None).await.unwrap_or_default(),
            _ => vec![],
        }
    }

    /// The way there.
    async fn reach(&self, current: &Current) -> Result<(), GateError> {
        tokio::task::yield_now().await;
        if Some(current.epoch) <= self.seen.lock().closed {
            return Err(GateError::Closed("it was restarted".to_owned()));
        }
        Ok(())
    }

    /// The way back.
    async fn answer<T>(&self, answer: Result<T, GateError>) -> Result<T, GateError> {
        for _ in 0..thread_rng().gen_range(1..8) {
            tokio::task::yield_now().await;
        }
        let mut seen = self.seen.lock();
        let is_lost = seen.faults > 0 && thread_rng().gen_range(0..8) == 0;
        if is_lost {
            seen.faults -= 1;
            note("an answer of the gate is lost");
            return Err(GateError::Unanswered("it was lost".to_owned()));
        }
        answer
    }
}

#[async_trait]
impl Gate for Gated {
    async fn probe(&self) -> Result<(), GateError> {
        Ok(())
    }

    async fn current(&self) -> Result<Option<Current>, GateError> {
        self.inner.current().await
    }

    async fn load(&self, current: &Current, looks: &[Look]) -> Result<Reply<Looked>, GateError> {
        self.reach(current).await?;
        self.answer(self.inner.load(current, looks).await).await
    }

    async fn decide(
        &self,
        current: &Current,
        commands: &[Decide],
    ) -> Result<Reply<Verdict>, GateError> {
        assert!(
            !self.seen.lock().drained,
            "a command is decided although the node was drained"
        );
        self.reach(current).await?;
        let decided = self.inner.decide(current, commands).await;
        for command in commands {
            note(format!(
                "{} is decided in {}",
                command.record, current.epoch
            ));
        }
        self.answer(decided).await
    }

    async fn settle(
        &self,
        current: &Current,
        records: &[Settle],
        tails: &[Position],
    ) -> Result<Reply<Settled>, GateError> {
        for record in records {
            let raw = self.log.records(record.position.partition);
            let raw = &raw[record.position.offset as usize];
            let (envelope, _) = Envelope::decode(&raw.payload).expect("only records are settled");
            assert_eq!(envelope.id, record.record, "settled at another's position");
            assert_eq!(
                envelope.epoch, current.epoch,
                "a record is settled in another epoch than it was decided in"
            );
        }
        self.reach(current).await?;
        self.answer(self.inner.settle(current, records, tails).await)
            .await
    }

    async fn pending(
        &self,
        current: &Current,
        of: Option<&[RecordId]>,
    ) -> Result<Vec<Pending>, GateError> {
        self.reach(current).await?;
        self.answer(self.inner.pending(current, of).await).await
    }

    async fn tail_starts(&self, current: &Current) -> Result<BTreeMap<Partition, u64>, GateError> {
        self.reach(current).await?;
        self.inner.tail_starts(current).await
    }

    async fn begin_rebuild(&self, epoch: u64) -> Result<Box<dyn Rebuild>, GateError> {
        tokio::task::yield_now().await;
        self.inner.begin_rebuild(epoch).await
    }
}
