//! The gate calls that are batched.

use std::sync::Arc;

use async_trait::async_trait;

use crate::batch::Call;
use crate::epoch::OpenEpoch;
use crate::gate::{Decide, Gate, GateError, Look, Looked, Reply, Settle, Settled, Verdict};
use crate::read_back::ReadBack;
use crate::settle::others_wait_for;

/// Step 1.
pub(crate) struct LoadCall {
    pub(crate) gate: Arc<dyn Gate>,
}

#[async_trait]
impl Call for LoadCall {
    type Question = Look;
    type Answer = Looked;

    async fn call(&self, epoch: &OpenEpoch, looks: &[Look]) -> Result<Reply<Looked>, GateError> {
        self.gate.load(epoch.current(), looks).await
    }
}

/// Step 2.
pub(crate) struct DecideCall {
    pub(crate) gate: Arc<dyn Gate>,
}

#[async_trait]
impl Call for DecideCall {
    type Question = Decide;
    type Answer = Verdict;

    async fn call(
        &self,
        epoch: &OpenEpoch,
        commands: &[Decide],
    ) -> Result<Reply<Verdict>, GateError> {
        self.gate.decide(epoch.current(), commands).await
    }
}

/// Step 6.
pub(crate) struct SettleCall {
    pub(crate) gate: Arc<dyn Gate>,
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
        self.gate.settle(epoch.current(), records, &tails).await
    }
}
