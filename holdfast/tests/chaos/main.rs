//! Faults on real services: every row of the faults table, injected under load into real processes
//! of every role, and after each of them the promises checked.
//!
//! A program of its own beside the tests, because it shares their harness, has to be built with
//! failpoints, and says how far it is; `cargo xtask chaos` runs it, and `cargo xtask test` its
//! short form. See [`rows`] for what is injected and [`checks`] for what must hold.

#![expect(clippy::unwrap_used, reason = "a row stops at the first surprise")]

mod broker;
mod checks;
mod door;
#[path = "../it/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use all of it")]
mod harness;
mod ledger;
mod load;
mod recoveries;
mod redis;
mod rows;
mod scene;
mod shop;
mod stage;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

use crate::rows::Row;
use crate::stage::Stage;
use crate::table::Outcome;

/// Faults on real services.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// Only these rows: `F5` is all of its kind, `F5.b` is one.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// How often each row is run.
    #[arg(long, default_value_t = 1)]
    rounds: u64,
    /// Only the rows that tell most: what CI has time for.
    #[arg(long, conflicts_with = "rows")]
    short: bool,
    /// What the load draws its lots from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the table into the repository, with its date and commit.
    #[arg(long, conflicts_with_all = ["rows", "short"])]
    write: bool,
    /// Keep what the processes said also where every promise held.
    #[arg(long)]
    logs: bool,
    /// Name the rows and run nothing.
    #[arg(long)]
    list: bool,
}

impl Arguments {
    fn wants(&self, row: &Row) -> bool {
        let named = |wanted: &String| row.id == wanted || row.kind() == wanted;
        match self.short {
            true => row.short,
            false => self.rows.is_empty() || self.rows.iter().any(named),
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let rows: Vec<_> = rows::all()
        .into_iter()
        .filter(|row| arguments.wants(row))
        .collect();
    if arguments.list || rows.is_empty() {
        for row in rows::all() {
            println!("{:<6} {}", row.id, row.fault);
        }
        return ExitCode::from(u8::from(!arguments.list));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let commit = arguments.write.then(table::commit);
    let outcomes = runtime.block_on(run(&arguments, &rows));
    println!("\n{}", table::printed(&outcomes));
    if let Some(commit) = commit {
        table::write(&outcomes, arguments.rounds, &commit);
    }
    let broken: Vec<_> = outcomes.iter().filter(|it| !it.holds()).collect();
    for outcome in &broken {
        let (row, seed, logs) = (outcome.row.id, outcome.seed, outcome.logs.display());
        println!("{row} broke a promise. Its logs: {logs}");
        println!("Again: cargo xtask chaos --rows {row} --seed {seed}");
    }
    // Who tries one row may be writing it.
    let gaps = match arguments.rows.is_empty() {
        true => table::gaps(&rows::all()),
        false => vec![],
    };
    for gap in &gaps {
        println!("{gap}.");
    }
    ExitCode::from(u8::from(!broken.is_empty() || !gaps.is_empty()))
}

async fn run(arguments: &Arguments, rows: &[Row]) -> Vec<Outcome> {
    let started = Instant::now();
    let mut stage = Stage::start().await;
    let took = started.elapsed().as_secs_f32();
    println!("three Kafka nodes and a MariaDB started in {took:.1} s");
    let mut outcomes = vec![];
    for round in 0..arguments.rounds {
        for row in rows {
            let seed = arguments.seed + round;
            let outcome = scene::play(&mut stage, row.clone(), seed, arguments.logs).await;
            println!("{}", outcome.progress());
            outcomes.push(outcome);
        }
    }
    outcomes
}
