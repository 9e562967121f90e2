//! The gate calls that are batched. Each tells the keeper what it finds out about the epoch.

use std::sync::Arc;

use async_trait::async_trait;
use record::RecordId;

use crate::batch::Call;
use crate::epoch::OpenEpoch;
use crate::epoch::keeper::Keeper;
use crate::gate::{
    Decide, Gate, GateError, Look, Looked, Pending, Reply, Settle, Settled, Verdict,
};
use crate::read_back::ReadBack;
use crate::settle::others_wait_for;

/// The gate, whose failures the keeper hears of: an epoch that is closed or damaged is over.
#[derive(Debug, Clone)]
pub(crate) struct NoticingGate {
    gate: Arc<dyn Gate>,
    keeper: Arc<Keeper>,
}

impl NoticingGate {
    pub(crate) fn new(gate: Arc<dyn Gate>, keeper: Arc<Keeper>) -> Self {
        Self { gate, keeper }
    }

    /// See [`Gate::pending`].
    pub(crate) async fn pending(
        &self,
        epoch: &OpenEpoch,
        of: Option<&[RecordId]>,
    ) -> Result<Vec<Pending>, GateError> {
        self.noticed(epoch, self.gate.pending(epoch.current(), of).await)
    }

    /// Passes a result on.
    pub(crate) fn noticed<T>(
        &self,
        epoch: &OpenEpoch,
        result: Result<T, GateError>,
    ) -> Result<T, GateError> {
        match &result {
            Err(GateError::Closed(why)) => self.keeper.report_closed(epoch.number(), why),
            Err(GateError::Damaged(why)) => self.keeper.report_damaged(epoch.number(), why),
            _ => {}
        }
        result
    }
}

/// Step 1.
pub(crate) struct LoadCall(pub(crate) NoticingGate);

#[async_trait]
impl Call for LoadCall {
    type Question = Look;
    type Answer = Looked;

    async fn call(&self, epoch: &OpenEpoch, looks: &[Look]) -> Result<Reply<Looked>, GateError> {
        self.0
            .noticed(epoch, self.0.gate.load(epoch.current(), looks).await)
    }
}

/// Step 2.
pub(crate) struct DecideCall(pub(crate) NoticingGate);

#[async_trait]
impl Call for DecideCall {
    type Question = Decide;
    type Answer = Verdict;

    async fn call(
        &self,
        epoch: &OpenEpoch,
        commands: &[Decide],
    ) -> Result<Reply<Verdict>, GateError> {
        self.0
            .noticed(epoch, self.0.gate.decide(epoch.current(), commands).await)
    }
}

/// Step 6.
pub(crate) struct SettleCall {
    pub(crate) gate: NoticingGate,
    pub(crate) read_back: Arc<ReadBack>,
}

#[async_trait]
impl Call for SettleCall {
    type Question = Settle;
    type Answer = Settled;

    fn is_urgent(settle: &Settle) -> bool {
        others_wait_for(settle)
    }

    async fn call(
        &self,
        epoch: &OpenEpoch,
        records: &[Settle],
    ) -> Result<Reply<Settled>, GateError> {
        let tails = self.read_back.contiguous(epoch.number());
        failpoint::reached!("commit.answered");
        let settled = self
            .gate
            .gate
            .settle(epoch.current(), records, &tails)
            .await;
        failpoint::reached!("commit.settled");
        self.gate.noticed(epoch, settled)
    }
}
