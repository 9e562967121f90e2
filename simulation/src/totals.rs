//! Many seeds: run on every core, added up, and told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::checks::Counts;
use crate::plan::Fault;
use crate::recovery::Step;
use crate::run::Outcome;

/// What many seeds came to.
#[derive(Debug, Default)]
pub struct Totals {
    /// Seeds that were run.
    pub seeds: u64,
    /// Commands of clients.
    pub commands: u64,
    /// Attempts by the kind of their answer.
    pub answers: BTreeMap<String, u64>,
    /// What went wrong, and how often.
    pub faults: BTreeMap<String, u64>,
    /// How often a recovery was struck, by what it had just done.
    pub struck: BTreeMap<String, u64>,
    /// How often a fold looked for a snapshot, by what came of it.
    pub snapshots: BTreeMap<String, u64>,
    /// What was looked at, by promise.
    pub looked: Counts,
    /// Epochs that were claimed.
    pub epochs: u64,
    /// Virtual time.
    pub virtual_time: Duration,
    /// Real time.
    pub real_time: Duration,
    /// The seeds in which a promise broke, lowest first.
    pub broken: Vec<Outcome>,
}

impl Totals {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.commands += outcome.commands;
        self.epochs += outcome.epochs;
        self.virtual_time += outcome.elapsed;
        for (kind, count) in &outcome.answers {
            *self.answers.entry(kind.clone()).or_default() += count;
        }
        for (fault, count) in &outcome.faults {
            *self.faults.entry(fault.clone()).or_default() += count;
        }
        for (step, count) in &outcome.struck {
            *self.struck.entry(step.clone()).or_default() += count;
        }
        for (what, count) in &outcome.snapshots {
            *self.snapshots.entry(what.clone()).or_default() += count;
        }
        for (promise, count) in &outcome.looked {
            *self.looked.entry(promise.clone()).or_default() += count;
        }
        if !outcome.violations.is_empty() {
            self.broken.push(outcome);
        }
    }
}

/// Which seeds, and when to stop.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// Threads.
    pub workers: usize,
    /// Whether the first broken promise is enough.
    pub stop_at_first: bool,
}

/// Runs seeds; `done` hears of each that ended.
pub fn run_all(
    range: Range,
    run: impl Fn(u64) -> Outcome + Sync,
    done: impl Fn(&Outcome) + Sync,
) -> Totals {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..range.workers.max(1) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= range.count || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = run(range.from.wrapping_add(index));
                    done(&outcome);
                    if range.stop_at_first && !outcome.violations.is_empty() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    totals.lock().add(outcome);
                }
            });
        }
    });
    let mut totals = totals.into_inner();
    totals.broken.sort_by_key(|outcome| outcome.seed);
    totals.real_time = began.elapsed();
    totals
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.real_time.as_secs().max(1);
        writeln!(
            f,
            "{} seeds, {} commands, {} epochs claimed, {} h of virtual time in {} s ({} seeds/s)",
            self.seeds,
            self.commands,
            self.epochs,
            self.virtual_time.as_secs() / 3_600,
            self.real_time.as_secs(),
            self.seeds / seconds
        )?;
        writeln!(f, "\nanswers")?;
        for (kind, count) in &self.answers {
            writeln!(f, "  {count:>9}  {kind}")?;
        }
        writeln!(f, "\nfaults")?;
        for fault in Fault::ALL {
            let count = self.faults.get(&fault.to_string()).copied().unwrap_or(0);
            let (words, scenario) = fault.words();
            writeln!(f, "  {count:>9}  {words} ({scenario})")?;
        }
        writeln!(f, "\nrecoveries struck (F7), by what they had just done")?;
        for step in Step::ALL {
            let count = self.struck.get(&step.to_string()).copied().unwrap_or(0);
            writeln!(f, "  {count:>9}  {step}")?;
        }
        writeln!(f, "\nlooks for a snapshot")?;
        for (what, count) in &self.snapshots {
            writeln!(f, "  {count:>9}  {what}")?;
        }
        writeln!(f, "\nlooked at")?;
        for (promise, count) in &self.looked {
            writeln!(f, "  {count:>9}  {promise}")?;
        }
        match self.broken.len() {
            0 => writeln!(f, "\nNo promise is broken."),
            broken => writeln!(f, "\nPROMISES ARE BROKEN in {broken} seeds."),
        }
    }
}

impl Outcome {
    /// What is broken and how to see it again.
    pub fn told(&self) -> String {
        let seed = self.seed;
        let mut told = format!("seed {seed}\n");
        for violation in &self.violations {
            told += &format!("  {} IS BROKEN: {}\n", violation.promise, violation.what);
        }
        told + &format!("  again: cargo xtask simulate --seed {seed} --history\n")
    }
}
