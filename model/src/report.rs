//! What people see: tables and histories.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use crate::commands::name;
use crate::explore::{Broken, Explored, explore};
use crate::rules::{ROWS, Row, Rule};
use crate::scenario::{self, Scenario};
use crate::state::{Answer, State, Step};

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

pub(crate) fn rule(id: &str, elsewhere: Option<&str>) -> Result<bool> {
    let row = ROWS
        .iter()
        .find(|row| row.id.eq_ignore_ascii_case(id))
        .with_context(|| format!("There is no rule {id}: see `list`."))?;
    let scenario = find(elsewhere.unwrap_or(row.scenario))?;
    let explored = explore(&scenario, &without(row));
    print_row(row, &explored);
    if let Some(broken) = &explored.broken {
        print_history(&scenario, broken);
    }
    Ok(explored.broken.is_some() || row.not_shown.is_some())
}

/// Explores the mutant of a row.
pub(crate) fn explore_row(row: &Row) -> Result<Explored> {
    Ok(explore(&find(row.scenario)?, &without(row)))
}

fn without(row: &Row) -> Vec<Rule> {
    let mut without = vec![row.rule];
    without.extend(row.with);
    without
}

/// Explores everything, two at a time, and prints in order.
pub(crate) fn all(full: bool) -> bool {
    let scenarios: Vec<Scenario> = scenario::all()
        .into_iter()
        .filter(|it| full || !it.full)
        .collect();
    println!(
        "{:<22} {:>10} {:>6} {:>8}  outcome",
        "scenario", "states", "depth", "time"
    );
    let explored = two_at_a_time(&scenarios, |it| explore(it, &[]), print_scenario);
    let mut right = explored.iter().all(|it| it.broken.is_none() && it.finished);
    println!();
    println!(
        "{:<4} {:<22} {:>10} {:>5}  {:<9} rule left out",
        "rule", "scenario", "states", "steps", "broken"
    );
    let explored = two_at_a_time(
        ROWS,
        |row| explore_row(row).expect("every row names a scenario"),
        print_row,
    );
    for (row, explored) in ROWS.iter().zip(&explored) {
        right &= explored.broken.is_some() != row.not_shown.is_some();
    }
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

fn print_row(row: &Row, explored: &Explored) {
    let (promise, steps) = match &explored.broken {
        Some(broken) => (broken.promise.to_string(), broken.history.len().to_string()),
        None if row.not_shown.is_some() => ("not shown".to_owned(), String::new()),
        None => ("NOTHING".to_owned(), String::new()),
    };
    println!(
        "{:<4} {:<22} {:>10} {:>5}  {promise:<9} {}",
        row.id, row.scenario, explored.states, steps, row.text
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
    let mut before = broken.first;
    for (number, (action, after)) in broken.history.iter().enumerate() {
        println!("{:>4}. {action}{}", number + 1, outcome(&before, after));
        before = *after;
    }
    println!("      → {}: {}", broken.promise, broken.how);
    println!();
    for (index, partition) in before.log.iter().enumerate().take(scenario.partitions) {
        let mut line = String::new();
        for entry in partition.entries() {
            if entry.is_fence() {
                let _ = write!(line, " |{}|", entry.epoch);
            } else {
                let (by, version) = (name(entry.attempt()), entry.aggregate_version());
                let _ = write!(line, " {by}(epoch {}, version {version})", entry.epoch);
            }
        }
        println!("      partition {index}:{line}");
    }
}

/// What a step changed, as far as clients and nodes see it.
fn outcome(before: &State, after: &State) -> String {
    let mut text = String::new();
    for (task, (was, is)) in before.tasks.iter().zip(&after.tasks).enumerate() {
        if was.answer != is.answer && task < crate::state::ATTEMPTS {
            let answer = match is.answer {
                Answer::Yes => "2xx",
                Answer::No => "refused",
                Answer::Unavailable => "unavailable: nothing changed",
                Answer::Unknown => "outcome unknown",
                Answer::None => "nothing",
            };
            let _ = write!(text, "; {} is answered {answer}", name(task));
        } else if was.step == Step::Decide && is.step != was.step && is.record != 0 {
            let (of, version) = (name(usize::from(is.record) - 1), is.version & 0x0f);
            let _ = write!(text, ": the record of {of}, version {version}");
        }
    }
    for (was, is) in before.recoveries.iter().zip(&after.recoveries) {
        if was.epoch != is.epoch {
            let _ = write!(text, ": epoch {}", is.epoch);
        } else if was.phase != is.phase && is.phase == crate::state::Phase::Done {
            text.push_str(": done or stopped");
        }
    }
    text
}
