//! Faults in the middle of a recovery: whatever a node has just done for one, it, the gate or both
//! may end there, or it stands still until another node recovers as well.
//!
//! A recovery shows itself by what it does outside: entries that it appends, batches that it reads
//! and calls that it makes of the gate. Each is a step here, reached when its effect is there and
//! nobody has heard of it yet. What it does on its own between two steps leaves nothing behind that
//! could be half done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::link::{Life, Link};
use crate::nemesis;
use crate::plan::Fault;
use crate::site::Running;

/// How long a node stands still for another one to recover, at most. Another one waits for a sign
/// of life before it does.
const OTHER_WITHIN: Duration = Duration::from_secs(50);
/// How many times in a thousand a step may be struck that a recovery takes many times.
const MANY_PER_MILLE: u64 = 100;

/// What a recovery has just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Its claim landed.
    Claimed,
    /// One of its fences landed.
    Fenced,
    /// A batch of the log was read for its fold.
    Scanned,
    /// The gate said that the epoch can be built.
    Looked,
    /// Lower epochs were deleted.
    Deleted,
    /// The gate told its replication id.
    Identified,
    /// The epoch's marker was written.
    Marked,
    /// Pieces were written.
    Written,
    /// The scripts were loaded.
    Loaded,
    /// The epoch was published.
    Published,
    /// Its opening landed.
    Opened,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 11] = [
        Self::Claimed,
        Self::Fenced,
        Self::Scanned,
        Self::Looked,
        Self::Deleted,
        Self::Identified,
        Self::Marked,
        Self::Written,
        Self::Loaded,
        Self::Published,
        Self::Opened,
    ];
}

/// As it is told in reports.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Claimed => "claimed",
            Self::Fenced => "one fence appended",
            Self::Scanned => "a batch scanned",
            Self::Looked => "the gate looked at",
            Self::Deleted => "lower epochs deleted",
            Self::Identified => "replication id read",
            Self::Marked => "marker written",
            Self::Written => "pieces written",
            Self::Loaded => "scripts loaded",
            Self::Published => "published",
            Self::Opened => "opening appended",
        })
    }
}

/// What befalls a recovery.
#[derive(Debug)]
pub struct Strike {
    fault: Fault,
    step: Step,
    /// The node that recovers.
    link: Arc<Link>,
}

/// The recoveries of a run.
#[derive(Debug)]
pub struct Recoveries {
    strikes: mpsc::UnboundedSender<Strike>,
    heard: Mutex<Option<mpsc::UnboundedReceiver<Strike>>>,
    /// The nodes that have fenced and not come to the gate yet.
    scanning: Mutex<BTreeSet<String>>,
    /// Who took the last step, and how many were taken.
    last: watch::Sender<(String, u64)>,
    struck: Mutex<BTreeMap<Step, u64>>,
}

impl Default for Recoveries {
    fn default() -> Self {
        let (strikes, heard) = mpsc::unbounded_channel();
        Self {
            strikes,
            heard: Mutex::new(Some(heard)),
            scanning: Mutex::default(),
            last: watch::Sender::new((String::new(), 0)),
            struck: Mutex::default(),
        }
    }
}

impl Recoveries {
    /// How often a recovery was struck after each step.
    pub fn struck(&self) -> BTreeMap<Step, u64> {
        self.struck.lock().clone()
    }

    /// A node has read a batch of the log, maybe for its fold.
    pub fn read(&self, link: &Arc<Link>) {
        if self.scanning.lock().contains(&link.name) {
            self.reached(link, Step::Scanned);
        }
    }

    /// A node has taken a step. Where it is struck it does not hear of it.
    pub fn reached(&self, link: &Arc<Link>, step: Step) {
        if link.life() == Life::Gone {
            return;
        }
        match step {
            Step::Fenced => {
                self.scanning.lock().insert(link.name.clone());
            }
            Step::Looked => {
                self.scanning.lock().remove(&link.name);
            }
            _ => {}
        }
        let taken = self.last.borrow().1 + 1;
        self.last.send_replace((link.name.clone(), taken));
        let world = &link.world;
        // There are many of these, and few recoveries would come further.
        if matches!(step, Step::Fenced | Step::Scanned) && !world.chance(MANY_PER_MILLE) {
            return;
        }
        let fault = if world.strikes(Fault::RecovererKilled) {
            Fault::RecovererKilled
        } else if world.strikes(Fault::RecoveryGateKilled) {
            Fault::RecoveryGateKilled
        } else if world.strikes(Fault::RecoveryBothKilled) {
            Fault::RecoveryBothKilled
        } else if world.may_strike(Fault::RecoveriesAtOnce) {
            Fault::RecoveriesAtOnce
        } else {
            return;
        };
        *self.struck.lock().entry(step).or_default() += 1;
        world.say("nemesis", format!("{fault} ({}: {step})", link.name));
        match fault {
            Fault::RecovererKilled | Fault::RecoveryBothKilled => link.set(Life::Gone),
            Fault::RecoveriesAtOnce => link.set(Life::Paused),
            _ => {}
        }
        let link = Arc::clone(link);
        // It is heard for as long as the run lasts.
        let _ = self.strikes.send(Strike { fault, step, link });
    }

    /// Waits until another node than this one takes a step.
    async fn another(&self, name: &str) {
        let mut last = self.last.subscribe();
        let (_, taken) = last.borrow().clone();
        let other = |(who, now): &(String, u64)| *now > taken && who != name;
        // The sender lives as long as this does.
        let _ = last.wait_for(other).await;
    }
}

/// Carries out what befalls recoveries, and puts back what was killed.
pub async fn strike(running: Arc<Running>) {
    let heard = running.world().recoveries.heard.lock().take();
    let Some(mut strikes) = heard else { return };
    while let Some(strike) = strikes.recv().await {
        let running = Arc::clone(&running);
        tokio::spawn(async move {
            let world = Arc::clone(running.world());
            if let Err(error) = carry_out(&running, &strike).await {
                world.say("nemesis", format!("{} fails: {error:#}", strike.fault));
            }
            running.note_split();
        });
    }
}

async fn carry_out(running: &Running, strike: &Strike) -> Result<()> {
    let (world, link) = (running.world(), &strike.link);
    match strike.fault {
        Fault::RecoveriesAtOnce => {
            let other = world.recoveries.another(&link.name);
            if tokio::time::timeout(OTHER_WITHIN, other).await.is_ok() {
                world.count(Fault::RecoveriesAtOnce);
                tokio::time::sleep(world.delay(0..=500)).await;
            }
            let step = strike.step;
            world.say(&link.name, format!("goes on with its recovery ({step})"));
            link.set(Life::Running);
        }
        Fault::RecovererKilled => bring_back(running, link).await?,
        fault => {
            let with_file = world.chance(500);
            nemesis::restart(running, link.server(), with_file).await;
            if fault == Fault::RecoveryBothKilled {
                bring_back(running, link).await?;
            }
        }
    }
    Ok(())
}

async fn bring_back(running: &Running, link: &Link) -> Result<()> {
    let nodes = running.nodes();
    let index = nodes.iter().position(|node| node.link.name == link.name);
    let Some(index) = index else { return Ok(()) };
    tokio::time::sleep(running.world().delay(100..=10_000)).await;
    running.replace_node(index)
}
