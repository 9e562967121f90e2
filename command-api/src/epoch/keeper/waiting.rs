//! Waiting for an epoch that another node has begun.

use std::collections::BTreeMap;
use std::time::Duration;

use record::epochs::EpochEntry;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Keeper, LOOK_AGAIN};
use crate::epoch::EpochState;
use crate::epoch::history::History;
use crate::epoch::recovery::RecoveryError;
use crate::gate::{Current, GateError};

/// How long a recovery may stand at one figure and be waited for all the same: longer than a log may
/// show nothing and Redis may free what was dropped.
const STANDS_STILL_AT_MOST: Duration = Duration::from_secs(240);
/// The doubling of waits with every claim that led to nothing stops here.
pub(super) const DOUBLINGS_MAX: u32 = 5;

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
        let mut signs = Signs::after(&self.history.borrow(), Instant::now());
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
            let now = Instant::now();
            if signs.show_life(&self.history.borrow(), now) {
                deadline = now + wait;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Err(no_life(epoch)))
    }

    /// An epoch that was waited for in vain and that a higher fence has ended is not waited for again.
    pub(in crate::epoch) fn pass_over(&self, outwaited: Option<u64>) {
        let highest = *self.read_back.highest_fence().borrow();
        let ended = outwaited.filter(|epoch| *epoch < highest);
        let mut silent = self.silent.lock();
        *silent = silent.max(ended);
    }

    /// Another node has claimed an epoch and not opened it: waits until it is known to be dead, before
    /// a planned change makes a claim of its own. Meanwhile the open epoch serves. The epoch that the
    /// change may pass over; it alone, for whoever is silent now may be heard of later.
    ///
    /// # Errors
    /// That it lives.
    pub(in crate::epoch) async fn outwait_rival(&self) -> Result<Option<u64>, RecoveryError> {
        self.catch_up_with_claims().await?;
        let Some(claimed) = self.rival() else {
            return Ok(None);
        };
        // Then it is open, and whoever opened it may be about to say so.
        let is_open = Some(claimed) <= self.adopted();
        let mut signs = Signs::after(&self.history.borrow(), Instant::now());
        let asked = EpochEntry::SignOfLifeAsked {
            epoch: claimed,
            node: self.node,
        };
        self.append(asked).await?;
        let deadline = Instant::now() + self.settings.sign_of_life_wait;
        while Instant::now() < deadline && self.rival().is_some() {
            if signs.show_life(&self.history.borrow(), Instant::now()) && !is_open {
                return Err(RecoveryError::Overtaken(claimed));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Some(claimed))
    }
}

/// What was heard while waiting.
struct Signs {
    heard: u64,
    /// How far each rebuilding node was.
    rebuilt: BTreeMap<Uuid, u64>,
    /// When something was heard that had changed.
    moved_at: Instant,
}

impl Signs {
    fn after(history: &History, now: Instant) -> Self {
        Self {
            heard: history.signs,
            rebuilt: BTreeMap::new(),
            moved_at: now,
        }
    }

    /// Whether there is a new sign of life. That a recovery still runs is none for ever: it may
    /// hang, and its node answer all the same.
    fn show_life(&mut self, history: &History, now: Instant) -> bool {
        if self.heard == history.signs {
            return false;
        }
        self.heard = history.signs;
        let has_moved = match history.rebuilding {
            Some((node, rebuilt)) => self.rebuilt.insert(node, rebuilt) != Some(rebuilt),
            None => true,
        };
        if has_moved {
            self.moved_at = now;
        }
        now - self.moved_at < STANDS_STILL_AT_MOST
    }
}

/// Why an epoch that was waited for is taken over.
pub(super) fn no_life(epoch: u64) -> String {
    format!("epoch {epoch} began elsewhere and shows no life")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_that_hangs_shows_life_for_a_bounded_time() {
        let began = Instant::now();
        let mut history = History::default();
        let mut signs = Signs::after(&history, began);
        let mut hears = |rebuilding, seconds| {
            history.rebuilding = rebuilding;
            history.signs += 1;
            signs.show_life(&history, began + Duration::from_secs(seconds))
        };
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert!(hears(Some((one, 7)), 10));
        assert!(hears(Some((one, 7)), 200));
        assert!(!hears(Some((one, 7)), 260));
        assert!(hears(Some((one, 8)), 270), "it goes on");
        assert!(hears(Some((two, 0)), 280));
        assert!(
            !hears(Some((one, 8)), 530),
            "what others say does not count twice"
        );
        assert!(hears(None, 540), "an epoch that is open lives");
    }
}
