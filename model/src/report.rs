//! What people see: tables and histories.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::commands::name;
use crate::explore::{Broken, Explored, explore, explore_asking};
use crate::promises::Promise;
use crate::rules::{ROWS, Row, Rule};
use crate::scenario::{self, Scenario};

pub(crate) fn find(name: &str) -> Result<Scenario> {
    scenario::all()
        .into_iter()
        .find(|it| it.name == name)
        .with_context(|| format!("There is no scenario {name}: see `list`."))
}

pub(crate) fn list() {
    for it in scenario::all() {
        println!("{:<22} {}", it.name, it.text);
        for (attempt, command) in it.commands.iter().enumerate() {
            println!("{:22}   {}: {command}", "", name(attempt));
        }
    }
    for row in ROWS {
        println!("{} {:<22} {}", row.id, row.scenario, row.text);
    }
}

pub(crate) fn scenario(name: &str) -> Result<bool> {
    let scenario = find(name)?;
    let explored = explore(&scenario, &[]);
    print_scenario(&scenario, &explored);
    if let Some(broken) = &explored.broken {
        print_history(&scenario, broken);
    }
    Ok(explored.broken.is_none() && explored.finished)
}

pub(crate) fn rule(id: &str, elsewhere: Option<&str>, promise: Option<&str>) -> Result<bool> {
    let row = ROWS
        .iter()
        .find(|row| row.id.eq_ignore_ascii_case(id))
        .with_context(|| format!("There is no rule {id}: see `list`."))?;
    let scenario = find(elsewhere.unwrap_or(row.scenario))?;
    let promises = match promise {
        None => Promise::ALL.to_vec(),
        Some(name) => vec![find_promise(name)?],
    };
    let explored = explore_asking(&scenario, &without(row), &promises);
    print_row(row, scenario.name, &explored);
    if let Some(broken) = &explored.broken {
        print_history(&scenario, broken);
    }
    Ok(explored.broken.is_some() || row.not_shown.is_some())
}

fn find_promise(name: &str) -> Result<Promise> {
    Promise::ALL
        .into_iter()
        .find(|it| it.to_string().eq_ignore_ascii_case(name))
        .with_context(|| format!("There is no promise {name}."))
}

/// Explores the mutant of a row. Where the first thing to break is that the system can be put in
/// order again (S4), it also looks for what clients would see of it.
pub(crate) fn explore_row(row: &Row) -> Result<Explored> {
    let scenario = find(row.scenario)?;
    let mut explored = explore(&scenario, &without(row));
    if let Some(broken) = &mut explored.broken
        && broken.promise == Promise::NothingLeaks
        && scenario.claims.is_none()
    {
        let further = explore_asking(&scenario, &without(row), &SEEN_BY_CLIENTS);
        explored.states += further.states;
        broken.then = further.broken.map(|it| (it.promise, it.history.len()));
    }
    Ok(explored)
}

const SEEN_BY_CLIENTS: [Promise; 6] = [
    Promise::NeverOversold,
    Promise::NothingLost,
    Promise::Once,
    Promise::NoFalseNo,
    Promise::Terms,
    Promise::OneOwner,
];

fn without(row: &Row) -> Vec<Rule> {
    let mut without = vec![row.rule];
    without.extend(row.with);
    without
}

/// Explores everything, two at a time, and prints in order; under each mutant its shortest history,
/// if asked.
pub(crate) fn all(full: bool, histories: bool) -> bool {
    let start = Instant::now();
    let scenarios: Vec<Scenario> = scenario::all()
        .into_iter()
        .filter(|it| full || !it.full)
        .collect();
    println!(
        "{:<22} {:>10} {:>6} {:>8}  outcome",
        "scenario", "states", "depth", "time"
    );
    let whole = two_at_a_time(&scenarios, |it| explore(it, &[]), print_scenario);
    let mut right = whole.iter().all(|it| it.broken.is_none() && it.finished);
    println!();
    println!(
        "{:<4} {:<22} {:>10} {:>5}  {:<12} rule left out",
        "rule", "scenario", "states", "steps", "broken"
    );
    let mutants = two_at_a_time(
        ROWS,
        |row| explore_row(row).expect("every row names a scenario"),
        |row, explored| {
            print_row(row, row.scenario, explored);
            if let (true, Some(broken)) = (histories, &explored.broken) {
                let scenario = find(row.scenario).expect("every row names a scenario");
                print_history(&scenario, broken);
                println!();
            }
        },
    );
    for (row, explored) in ROWS.iter().zip(&mutants) {
        right &= explored.broken.is_some() != row.not_shown.is_some();
    }
    let states = |of: &[Explored]| of.iter().map(|it| it.states).sum::<usize>();
    let needless = ROWS.iter().filter(|row| row.not_shown.is_some()).count();
    println!();
    println!(
        "{} scenarios with {} states; {} rules with {} states, {needless} of them not shown; {:.0} s",
        whole.len(),
        states(&whole),
        mutants.len(),
        states(&mutants),
        start.elapsed().as_secs_f32()
    );
    right
}

fn two_at_a_time<T: Sync>(
    of: &[T],
    explore: impl Fn(&T) -> Explored + Sync,
    print: impl Fn(&T, &Explored) + Sync,
) -> Vec<Explored> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Explored>>> = Mutex::new((0..of.len()).map(|_| None).collect());
    let printed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(it) = of.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let explored = explore(it);
                    let index = of.iter().position(|other| std::ptr::eq(other, it));
                    let Ok(mut done) = done.lock() else { return };
                    if let Some(index) = index {
                        done[index] = Some(explored);
                    }
                    // In order, as soon as all before it are there.
                    let mut upto = printed.load(Ordering::Relaxed);
                    while let Some(Some(explored)) = done.get(upto) {
                        print(&of[upto], explored);
                        upto += 1;
                    }
                    printed.store(upto, Ordering::Relaxed);
                }
            });
        }
    });
    let done = done.into_inner().unwrap_or_default();
    done.into_iter().flatten().collect()
}

fn print_scenario(scenario: &Scenario, explored: &Explored) {
    let outcome = match &explored.broken {
        None if explored.finished => "holds".to_owned(),
        None => "UNFINISHED".to_owned(),
        Some(broken) => format!("{} BROKEN: {}", broken.promise, broken.how),
    };
    println!(
        "{:<22} {:>10} {:>6} {:>6.1} s  {outcome}",
        scenario.name,
        explored.states,
        explored.depth,
        explored.time.as_secs_f32()
    );
}

fn print_row(row: &Row, scenario: &str, explored: &Explored) {
    let (promise, steps) = match &explored.broken {
        Some(broken) => {
            let mut promises = broken.promise.to_string();
            if let Some((then, steps)) = broken.then {
                let _ = write!(promises, ", {then} in {steps}");
            }
            (promises, broken.history.len().to_string())
        }
        None if row.not_shown.is_some() => ("not shown".to_owned(), String::new()),
        None => ("NOTHING".to_owned(), String::new()),
    };
    println!(
        "{:<4} {:<22} {:>10} {:>5}  {promise:<12} {}",
        row.id, scenario, explored.states, steps, row.text
    );
    if let Some(why) = row.not_shown {
        println!("{:54}{why}", "");
    }
}

fn print_history(scenario: &Scenario, broken: &Broken) {
    println!();
    for (attempt, command) in scenario.commands.iter().enumerate() {
        println!("      {}: {command}", name(attempt));
    }
    println!();
    for (number, step) in broken.history.iter().enumerate() {
        println!("{:>4}. {step}", number + 1);
    }
    println!("      → {}: {}", broken.promise, broken.how);
    println!();
    for line in &broken.log {
        println!("      {line}");
    }
}
