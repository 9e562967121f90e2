//! How scenarios are run: so many schedules, half of them at random, half by priority.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::plants::{self, Plant};

/// Changes of priority that PCT makes in an execution, at most.
const PRIORITY_CHANGES: usize = 4;

/// An execution that takes longer goes round in circles. (The longest that holds takes a tenth.)
const STEPS_MAX: usize = 40_000;

/// How much is run.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Begins the random numbers. The same seed makes the same choices; what they lead to may still
    /// differ where a task goes through a hash map.
    pub seed: u64,
    /// Schedules of each kind.
    pub schedules: usize,
    /// No new schedule of a kind is begun after this time.
    pub within: Duration,
}

fn config(run: Run) -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.max_time = Some(run.within);
    config.failure_persistence = FailurePersistence::Print;
    config
}

thread_local! {
    static HISTORY: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static SCHEDULES: Cell<usize> = const { Cell::new(0) };
}

/// Notes what happened in this execution, for people who read why it failed.
pub(crate) fn note(happened: impl Into<String>) {
    HISTORY.with_borrow_mut(|history| history.push(happened.into()));
}

/// Runs a scenario; a failure prints its history and its schedule. Returns how many schedules
/// were run.
///
/// # Panics
/// When the scenario does not hold.
pub fn check(scenario: fn(), run: Run) -> usize {
    plants::put(None);
    match run_both(scenario, run) {
        Ok(schedules) => schedules,
        Err(why) => {
            let history = HISTORY.take().join("\n  ");
            eprintln!("What happened, in order:\n  {history}");
            resume_unwind(why)
        }
    }
}

/// Whether a scenario finds a planted fault, and with which schedule and within which time.
pub fn finds(plant: Plant, scenario: fn(), run: Run) -> Option<(usize, Duration)> {
    plants::put(Some(plant));
    let begun = Instant::now();
    SCHEDULES.set(0);
    let found = run_both(scenario, run).is_err();
    plants::put(None);
    found.then(|| (SCHEDULES.get(), begun.elapsed()))
}

fn run_both(scenario: fn(), run: Run) -> std::thread::Result<usize> {
    let noted = move || {
        HISTORY.with_borrow_mut(Vec::clear);
        SCHEDULES.set(SCHEDULES.get() + 1);
        scenario();
    };
    let at_random = RandomScheduler::new_from_seed(run.seed, run.schedules);
    let by_priority = PctScheduler::new_from_seed(run.seed, PRIORITY_CHANGES, run.schedules);
    let first = AssertUnwindSafe(|| Runner::new(at_random, config(run)).run(noted));
    let second = AssertUnwindSafe(|| Runner::new(by_priority, config(run)).run(noted));
    Ok(catch_unwind(first)? + catch_unwind(second)?)
}
