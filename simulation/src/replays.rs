//! Replays of the read models beside the projectors that run, and what befalls their process in the
//! middle of one: above all while the live tables stand still for them.

use std::sync::Arc;

use anyhow::Result;
use parking_lot::Mutex;
use projectors::{ReplayError, Replayed};

use crate::checks::Violation;
use crate::link::{Life, Link};
use crate::plan::Fault;
use crate::site::Running;

/// How many times in a thousand a step may be struck that a replay takes many times.
const MANY_PER_MILLE: u64 = 100;

/// Where a replay is, as its statements tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It makes its tables, or fills them.
    Fills,
    /// Both are compared; the live ones stand still.
    Compares,
    /// They change places.
    Swaps,
}

impl Step {
    /// The step of a replay that a statement is, if it is one's.
    pub fn of(sql: &str) -> Option<Self> {
        if !sql.contains("_rebuild") {
            return None;
        }
        Some(match sql {
            swap if swap.starts_with("UPDATE build_rebuild ") => Self::Swaps,
            digest if digest.contains("_rebuild ORDER BY ") => Self::Compares,
            _ => Self::Fills,
        })
    }
}

/// A process has come to a step of a replay, or has just done it.
pub fn reached(link: &Link, step: Step) {
    let world = &link.world;
    if link.life() != Life::Running || step == Step::Fills && !world.chance(MANY_PER_MILLE) {
        return;
    }
    let (fault, life) = if world.strikes(Fault::ReplayKilled) {
        (Fault::ReplayKilled, Life::Gone)
    } else if world.strikes(Fault::ReplayPaused) {
        (Fault::ReplayPaused, Life::Paused)
    } else {
        return;
    };
    world.say("nemesis", format!("{fault} ({}: {step:?})", link.name));
    link.set(life);
}

/// The replays of a run.
#[derive(Debug, Default)]
pub struct Replays {
    /// One at a time, as the lock of a real store sees to.
    under_way: Mutex<bool>,
    ended: Mutex<Vec<Replayed>>,
}

impl Replays {
    /// Replays that came to their end.
    pub fn ended(&self) -> Vec<Replayed> {
        self.ended.lock().clone()
    }
}

/// Replays in the projectors' process, unless a replay is under way. A process that is killed or
/// paused in it comes back.
///
/// # Errors
/// A mistake of the simulation.
pub async fn replay(running: &Running) -> Result<()> {
    let replays = &running.replays;
    if std::mem::replace(&mut *replays.under_way.lock(), true) {
        return Ok(());
    }
    let (link, replayed) = running.replay();
    let world = running.world();
    tokio::pin!(replayed);
    let outcome = loop {
        tokio::select! {
            biased;
            () = link.gone() => break None,
            outcome = &mut replayed => break Some(outcome),
            () = link.paused() => {
                tokio::time::sleep(world.delay(500..=30_000)).await;
                link.set(Life::Running);
            }
        }
    };
    *replays.under_way.lock() = false;
    match outcome {
        None => {
            tokio::time::sleep(world.delay(100..=5_000)).await;
            running.replace_projectors(&link);
        }
        Some(Ok(replayed)) => {
            let (records, differences) = (replayed.records, &replayed.differences);
            world.say(
                &link.name,
                format!("has replayed {records} records, other than before: {differences:?}"),
            );
            replays.ended.lock().push(replayed);
        }
        Some(Err(error)) => world.say(&link.name, format!("has not replayed: {error}")),
    }
    Ok(())
}

/// Replays until the rows are those of this program, as an operator does who reads what the
/// projectors say.
///
/// # Errors
/// A mistake of the simulation.
pub async fn until_of_this_fold(running: &Running) -> Result<()> {
    let world = running.world();
    while !running.store.is_of_this_fold()? {
        tokio::time::sleep(world.delay(500..=10_000)).await;
        replay(running).await?;
    }
    Ok(())
}

/// A replay when nothing goes wrong any more: it comes to its end and finds nothing to mend.
pub async fn last(running: &Arc<Running>) -> Option<Violation> {
    let (link, replayed) = running.replay();
    let broken = |what: String| Some(Violation::new("I5", what));
    match replayed.await {
        Err(error) => broken(format!("the last replay fails: {error}")),
        Ok(Replayed { differences, .. }) if !differences.is_empty() => broken(format!(
            "the last replay finds other rows in {differences:?}"
        )),
        Ok(_) => {
            running.world().say(&link.name, "has replayed at the end");
            None
        }
    }
}

/// What a replay comes to.
pub type Outcome = Result<Replayed, ReplayError>;
