//! Completion: a pending record that stands in two scans is taken through steps 3–6 by any node.
//!
//! Its own node may be dead or only paused; nothing is released because of a time-out.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use crate::commit::{Committer, Settling};
use crate::epoch::{EpochState, OpenEpoch};

/// Scans for as long as the committer lives.
pub fn start(committer: &Arc<Committer>) {
    let interval = committer.settings.completion_interval;
    let committer = Arc::downgrade(committer);
    tokio::spawn(async move {
        let mut seen = HashSet::new();
        let mut epoch = None;
        loop {
            tokio::time::sleep(interval).await;
            let Some(open) = open_epoch(&committer) else {
                if committer.strong_count() == 0 {
                    return;
                }
                continue;
            };
            if epoch.replace(open.number()) != Some(open.number()) {
                seen.clear();
            }
            let Some(committer) = committer.upgrade() else {
                return;
            };
            seen = scan(&committer, &open, &seen).await;
        }
    });
}

fn open_epoch(committer: &Weak<Committer>) -> Option<Arc<OpenEpoch>> {
    let state = committer.upgrade()?.keeper.state();
    match &*state.borrow() {
        EpochState::Open(open) => Some(Arc::clone(open)),
        _ => None,
    }
}

/// Completes what stood in the scan before, too. Returns what stands in this one.
async fn scan(
    committer: &Committer,
    epoch: &Arc<OpenEpoch>,
    before: &HashSet<record::RecordId>,
) -> HashSet<record::RecordId> {
    let pending = match committer.gate.pending(epoch.current(), None).await {
        Ok(pending) => pending,
        Err(error) => {
            committer.notice(epoch, &error);
            return HashSet::new();
        }
    };
    for record in pending
        .iter()
        .map(|pending| pending.record)
        .filter(|id| before.contains(id))
    {
        match committer.complete(epoch, record, Settling::Awaited).await {
            Ok(_) => metrics::counter!(crate::metrics::COMPLETIONS).increment(1),
            Err(error) => {
                tracing::warn!(record.id = %record, %error, "a record is not completed yet")
            }
        }
    }
    pending.into_iter().map(|pending| pending.record).collect()
}
