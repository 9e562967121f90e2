//! Waiting for an epoch that another node has begun.

use record::epochs::EpochEntry;
use tokio::time::Instant;

use super::{Keeper, LOOK_AGAIN};
use crate::epoch::EpochState;
use crate::epoch::recovery::RecoveryError;
use crate::gate::{Current, GateError};

/// The doubling of the wait for a sign of life stops here.
const DOUBLINGS_MAX: u32 = 5;

impl Keeper {
    /// What the pointer names. One that cannot be read names nothing; publishing mends it.
    async fn current_if_whole(&self) -> Result<Option<Current>, RecoveryError> {
        match self.gate.current().await {
            Err(GateError::Damaged(_)) => Ok(None),
            current => Ok(current?),
        }
    }

    /// Another node has begun this epoch, or claimed it: waits here as long as it shows life, for
    /// it or whatever open epoch from `at_least` on.
    pub(super) async fn wait_for_epoch(
        &self,
        epoch: u64,
        at_least: u64,
    ) -> Result<Result<Current, String>, RecoveryError> {
        let fruitless = self.history.borrow().fruitless.saturating_sub(1);
        let wait = self.settings.sign_of_life_wait * 2u32.pow(fruitless.min(DOUBLINGS_MAX));
        let mut signs = self.history.borrow().signs;
        let mut deadline = Instant::now() + wait;
        let mut ask_at = Instant::now();
        while Instant::now() < deadline {
            self.say(EpochState::Waiting { epoch });
            if let Some(current) = self.current_if_whole().await? {
                let loaded = self.gate.load(&current, &[]).await;
                if let Err(GateError::Closed(_)) = loaded {
                    self.is_closed_at_gate(current.epoch);
                }
                if current.epoch >= at_least && loaded.is_ok() {
                    self.check_fences(&current).await?;
                    return Ok(Ok(current));
                }
            }
            if Instant::now() >= ask_at {
                self.append(EpochEntry::SignOfLifeAsked {
                    epoch,
                    node: self.node,
                })
                .await?;
                ask_at = Instant::now() + wait / 3;
            }
            let heard = self.history.borrow().signs;
            if heard != signs {
                (signs, deadline) = (heard, Instant::now() + wait);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Err(no_life(epoch)))
    }
}

/// Why an epoch that was waited for is taken over.
pub(super) fn no_life(epoch: u64) -> String {
    format!("epoch {epoch} began elsewhere and shows no life")
}
