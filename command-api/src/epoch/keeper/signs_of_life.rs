//! Signs of life: what a node answers to one that is about to claim, and that an epoch is open.

use std::sync::Weak;

use record::epochs::{EpochEntry, partition_name};

use super::{Keeper, LOOK_AGAIN};
use crate::epoch::{EpochState, OpenEpoch};

/// Answers other nodes that ask whether the epoch lives which is open or being rebuilt here.
pub(super) async fn answer(keeper: Weak<Keeper>) {
    let Some(mut history) = keeper.upgrade().map(|keeper| keeper.history.clone()) else {
        return;
    };
    let mut answered = 0;
    while history.changed().await.is_ok() {
        let (questions, asked) = {
            let history = history.borrow_and_update();
            (history.questions, history.asked)
        };
        let Some(keeper) = keeper.upgrade() else {
            return;
        };
        let Some((epoch, asker)) = asked else {
            continue;
        };
        if questions == answered || asker == keeper.node {
            continue;
        }
        answered = questions;
        let rebuilt = match &*keeper.state.borrow() {
            EpochState::Open(open) if open.number() >= epoch => None,
            EpochState::Recovering { progress, .. } => Some(progress.folded + progress.written),
            _ => continue,
        };
        let node = keeper.node;
        if let Err(error) = keeper
            .append(EpochEntry::SignOfLife {
                epoch,
                node,
                rebuilt,
            })
            .await
        {
            tracing::warn!(%error, "a sign of life could not be given");
        }
    }
}

impl Keeper {
    /// Says of an epoch that is open that it is, where nobody has: the node that opened it may have
    /// died before it could, and its claim would be waited for by whoever claims next. Not where a
    /// higher one is claimed: behind that claim it would hide who made it.
    pub(super) async fn say_open(&self, epoch: &OpenEpoch) {
        {
            let history = self.history.borrow();
            let said = matches!(&history.opened, Some((known, _)) if *known >= epoch.number());
            if said || !history.is_next(epoch.number(), u64::MAX) {
                return;
            }
        }
        let (epoch, fences) = (epoch.number(), &epoch.current().fences);
        let fences = fences.iter();
        let fences = fences.map(|(p, offset)| (partition_name(*p), *offset));
        let fences = fences.collect();
        let said = self.append(EpochEntry::Opened { epoch, fences });
        // The log may be away. Then whoever claims next waits.
        let _ = tokio::time::timeout(LOOK_AGAIN, said).await;
    }
}
