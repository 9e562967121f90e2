//! `cargo xtask simulate`: runs seeds and tells what came of them.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use simulation::plan::Plan;
use simulation::process::{Processes, end_in_time};
use simulation::run::{Outcome, run};
use simulation::totals::{Range, run_all};

mod planted;

/// Simulates whole sales with everything that can go wrong, one from every seed
#[derive(Parser)]
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Cli {
    /// How many seeds to run; with --planted, how many at most
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them [default: a fresh one, which is printed]
    #[arg(long)]
    from: Option<u64>,
    /// Run this seed alone
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print the whole history of that seed
    #[arg(long, requires = "seed")]
    history: bool,
    /// Find a bug that is planted in the commit path, or `all` of them one after the other
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    /// Seeds at once
    #[arg(long, default_value_t = cores())]
    workers: usize,
    /// Run the seed here and print what came of it as JSON
    #[arg(long, hide = true, requires = "seed")]
    in_this_process: bool,
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(seed) = cli.seed.filter(|_| cli.in_this_process) {
        return child(&cli, seed);
    }
    let program = std::env::current_exe().context("this program cannot be found")?;
    let mut processes = Processes::of(&program);
    match (cli.seed, &cli.planted) {
        (Some(seed), planted) => {
            processes.planted.clone_from(planted);
            one(&processes, seed, cli.history)
        }
        (None, Some(name)) => planted::hunt(&processes, name, range(&cli)),
        (None, None) => many(&processes, range(&cli)),
    }
}

fn range(cli: &Cli) -> Range {
    let from = cli.from.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    println!("seeds from {from} on");
    Range {
        from,
        count: cli.seeds,
        workers: cli.workers,
        stop_at_first: false,
    }
}

/// A seed in this process, for whoever started it.
fn child(cli: &Cli, seed: u64) -> Result<ExitCode> {
    end_in_time();
    // What a panic says is told with the outcome.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(name) = &cli.planted {
        planted::plant(name)?;
    }
    let mut outcome = run(seed, Plan::of(seed));
    if !cli.history {
        outcome.lines.clear();
    }
    serde_json::to_writer(std::io::stdout().lock(), &outcome)?;
    Ok(ExitCode::SUCCESS)
}

fn many(processes: &Processes, range: Range) -> Result<ExitCode> {
    let bar = ProgressBar::new(range.count);
    bar.set_style(ProgressStyle::with_template(
        "simulating {bar:40} {pos}/{len} seeds, {per_sec}, {eta} left",
    )?);
    let done = |outcome: &Outcome| {
        bar.inc(1);
        if !outcome.violations.is_empty() {
            bar.suspend(|| print!("{}", outcome.told()));
        }
    };
    let totals = run_all(range, |seed| processes.run(seed, false), done);
    bar.finish_and_clear();
    print!("{totals}");
    Ok(exit(totals.broken.is_empty()))
}

fn exit(kept: bool) -> ExitCode {
    match kept {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn one(processes: &Processes, seed: u64, history: bool) -> Result<ExitCode> {
    let outcome = processes.run(seed, history);
    let mut out = std::io::stdout().lock();
    for line in &outcome.lines {
        writeln!(out, "{line}")?;
    }
    match outcome.violations.is_empty() {
        true => writeln!(out, "seed {seed}: no promise is broken, {}", outcome.digest)?,
        false => write!(out, "{}", outcome.told())?,
    }
    Ok(exit(outcome.violations.is_empty()))
}
