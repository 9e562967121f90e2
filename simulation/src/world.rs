//! The world of one run: its dice, its time, what happened in it and how often what went wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use command_api::clock::{Clock, Ids};
use domain::time::Time;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;

use crate::plan::{Fault, Plan};
use crate::recovery::Recoveries;
use crate::versions::Deciders;

/// The clocks begin in 2026.
const BEGIN_MICROSECONDS: i64 = 1_780_000_000_000_000;

/// A run that says more than this goes round in circles.
const LINES_MAX: usize = 1_000_000;

/// What every part of a run shares.
pub struct World {
    /// What may go wrong in this run.
    pub plan: Plan,
    /// The recoveries that are under way.
    pub recoveries: Recoveries,
    /// Who decides in which epoch.
    pub deciders: Deciders,
    dice: Mutex<SmallRng>,
    began: Instant,
    calm: AtomicBool,
    lines: Mutex<Vec<String>>,
    faults: Mutex<BTreeMap<Fault, u64>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// A world that begins now.
    pub fn new(seed: u64, plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            plan,
            recoveries: Recoveries::default(),
            deciders: Deciders::default(),
            dice: Mutex::new(SmallRng::seed_from_u64(seed ^ 0x9E37_79B9_7F4A_7C15)),
            began: Instant::now(),
            calm: AtomicBool::new(false),
            lines: Mutex::default(),
            faults: Mutex::default(),
        })
    }

    /// Virtual time since the run began.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A number out of a range.
    pub fn roll(&self, range: RangeInclusive<u64>) -> u64 {
        self.dice.lock().random_range(range)
    }

    /// One of these places, `count` of them.
    pub fn pick(&self, count: usize) -> usize {
        self.dice.lock().random_range(0..count.max(1))
    }

    /// Milliseconds out of a range.
    pub fn delay(&self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.roll(range))
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn chance(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.roll(1..=1_000) <= per_mille
    }

    /// Whether a fault of single messages happens now; counts it if it does.
    pub fn strikes(&self, fault: Fault) -> bool {
        let strikes = self.may_strike(fault);
        if strikes {
            self.count(fault);
        }
        strikes
    }

    /// The same for a fault that counts only if something else comes to pass.
    pub fn may_strike(&self, fault: Fault) -> bool {
        !self.is_calm() && self.chance(self.plan.rate(fault))
    }

    /// Counts a fault that happens now.
    pub fn count(&self, fault: Fault) {
        *self.faults.lock().entry(fault).or_default() += 1;
    }

    /// What went wrong so far, and how often.
    pub fn faults(&self) -> BTreeMap<Fault, u64> {
        self.faults.lock().clone()
    }

    /// From now on nothing goes wrong any more.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Whether nothing goes wrong any more.
    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// A line of the history.
    pub fn say(&self, who: &str, what: impl fmt::Display) {
        let at = self.elapsed();
        let mut lines = self.lines.lock();
        let number = lines.len() + 1;
        assert!(number < LINES_MAX, "the run does not come to an end");
        let (seconds, millis) = (at.as_secs(), at.subsec_millis());
        lines.push(format!(
            "{number:>6} {seconds:>5}.{millis:03} {who:<9} {what}"
        ));
    }

    /// The history so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().clone()
    }
}

/// The clock of one node, which may jump.
#[derive(Debug)]
pub struct NodeClock {
    world: Arc<World>,
    ahead: AtomicI64,
}

impl NodeClock {
    /// A clock that is right.
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self {
            world: Arc::clone(world),
            ahead: AtomicI64::new(0),
        })
    }

    /// Puts the clock ahead of the true time by these many seconds.
    pub fn jump(&self, seconds: i64) {
        self.ahead.store(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Time {
        let elapsed = i64::try_from(self.world.elapsed().as_micros()).unwrap_or(i64::MAX);
        let ahead = self.ahead.load(Ordering::Relaxed);
        Time::from_microseconds(BEGIN_MICROSECONDS + elapsed + ahead)
    }
}

/// Ids of version 7 out of the dice.
impl Ids for World {
    fn next(&self) -> Uuid {
        let millis = BEGIN_MICROSECONDS as u64 / 1_000 + self.elapsed().as_millis() as u64;
        let bytes: [u8; 10] = self.dice.lock().random();
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}

/// The end of an id, which tells it from others to a reader of a history.
pub fn short(id: Uuid) -> String {
    let text = id.simple().to_string();
    text[26..].to_owned()
}
