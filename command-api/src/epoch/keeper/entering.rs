//! How an attempt gets its epoch, and the generation of refusals that it belongs to.

use std::sync::Arc;

use super::Keeper;
use crate::epoch::{EpochState, OpenEpoch};

impl Keeper {
    /// The open epoch; waits a bounded time for a recovery that is under way.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self) -> Result<Arc<OpenEpoch>, String> {
        self.enter().await.map(|(epoch, _)| epoch)
    }

    /// The open epoch for an attempt that comes now, and the generation of refusals it belongs to;
    /// waits as [`Keeper::open`] does.
    ///
    /// Refusals end with their epoch, so a retry of what waits may be refused elsewhere in an epoch
    /// that what waits outlives, and that "no" would be a lie (S5): what waits is for no epoch
    /// after the next, and for that only if the gate had closed the one before when it came.
    /// They end two generations later, too, and since it came any number of them may have begun:
    /// it belongs to the first.
    pub(crate) async fn enter(&self) -> Result<(Arc<OpenEpoch>, u64), String> {
        // In this order: what opens in between is later than where it came in.
        let came_in = self.adopted();
        let may_refuse = came_in.filter(|came_in| *self.closed_at_gate.lock() < Some(*came_in));
        if let EpochState::Open(epoch) = &*self.state.borrow() {
            return Ok((Arc::clone(epoch), epoch.generation()));
        }
        let mut state = self.state.subscribe();
        let open = state.wait_for(|state| matches!(state, EpochState::Open(_)));
        let waited = tokio::time::timeout(self.settings.recovery_wait, open).await;
        if let Ok(Ok(state)) = waited
            && let EpochState::Open(epoch) = &*state
        {
            let history = self.history.borrow();
            if may_refuse.is_some_and(|came_in| came_in != epoch.number())
                || came_in.is_some_and(|came_in| !history.is_next(came_in, epoch.number()))
            {
                return Err("the request waited for longer than an epoch; send it again".to_owned());
            }
            return Ok((Arc::clone(epoch), 0));
        }
        Err(match &*self.state.borrow() {
            EpochState::Open(_) => "the epoch has just opened".to_owned(),
            state => state.to_string(),
        })
    }
}
