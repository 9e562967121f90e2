//! Planned changes of the epoch: all that can be folded is folded before anybody has to wait.
//!
//! The open epoch serves while the log is folded, twice, so that little is left when it is fenced.
//! Then it is a recovery as any other, and commands wait as in any other. What is being prepared
//! is given up where a recovery becomes due meanwhile.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::fold::Fold;
use super::keeper::Keeper;
use super::recovery::RecoveryError;
use super::snapshots::fold_to_the_end;
use crate::gate::Current;

/// A change of the epoch that was asked for, and who waits to hear of it.
pub(super) struct Wanted {
    why: String,
    answer: oneshot::Sender<Result<Changed, String>>,
}

/// A change of the epoch that only has to be carried out.
pub(super) struct Planned {
    wanted: Wanted,
    prepared: Prepared,
}

/// What a planned change begins with.
pub(super) struct Prepared {
    /// Nearly all of the log.
    pub(super) fold: Fold,
    /// The epoch of a claim that was waited for in vain.
    pub(super) outwaited: Option<u64>,
}

/// An epoch that was changed as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The new one.
    pub epoch: u64,
    /// How long no command could be decided.
    pub pause: Duration,
}

impl std::fmt::Debug for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planned").finish_non_exhaustive()
    }
}

impl Keeper {
    /// Changes the epoch, so that what was over long ago leaves the gate. All that can be done
    /// before is done before; then commands wait as in any recovery.
    ///
    /// # Errors
    /// Why it was not changed; the open epoch stays, or another one was opened.
    pub async fn change_epoch(&self, why: &str) -> Result<Changed, String> {
        let stopping = || "the node is stopping".to_owned();
        let (answer, answered) = oneshot::channel();
        let why = why.to_owned();
        let wanted = Wanted { why, answer };
        self.wanted.send(wanted).await.map_err(|_| stopping())?;
        let given_up = || "it was given up, for a recovery was due".to_owned();
        answered.await.map_err(|_| given_up())?
    }

    /// Changes the epoch as planned.
    pub(super) async fn carry_out(&self, planned: Planned) -> Result<Current, RecoveryError> {
        let Planned { wanted, prepared } = planned;
        let outwaited = prepared.outwaited;
        let began = Instant::now();
        let recovered = self.recover(wanted.why, Some(prepared)).await;
        let pause = began.elapsed();
        let answer = match &recovered {
            Ok(current) => Ok(Changed {
                epoch: current.epoch,
                pause,
            }),
            Err(error) => Err(error.to_string()),
        };
        if recovered.is_err() {
            self.pass_over(outwaited);
        }
        // Who asked may have gone.
        let _ = wanted.answer.send(answer);
        recovered
    }
}

/// The next change that was asked for, with all of the log folded that is there by now.
pub(super) async fn prepared(keeper: &Keeper, wanted: &mut mpsc::Receiver<Wanted>) -> Planned {
    loop {
        let Some(wanted) = wanted.recv().await else {
            // The keeper itself holds the other end.
            return std::future::pending().await;
        };
        tracing::info!(why = wanted.why, "a change of the epoch is being prepared");
        match prepare(keeper).await {
            Ok(prepared) => return Planned { wanted, prepared },
            Err(error) => {
                let _ = wanted.answer.send(Err(error.to_string()));
            }
        }
    }
}

/// Folds twice: the second time only what came while the first took its time.
async fn prepare(keeper: &Keeper) -> Result<Prepared, RecoveryError> {
    let outwaited = keeper.outwait_rival().await?;
    let fold = fold_to_the_end(keeper, None, false).await?;
    let fold = fold_to_the_end(keeper, Some(fold), false).await?;
    Ok(Prepared { fold, outwaited })
}
