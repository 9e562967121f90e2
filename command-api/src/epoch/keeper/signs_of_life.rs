//! Signs of life: what a node answers to one that is about to claim.

use std::sync::Weak;

use record::epochs::EpochEntry;

use super::Keeper;
use crate::epoch::EpochState;

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
