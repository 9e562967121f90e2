//! The benchmark that anyone can run: what clients see, and in the same run the parts alone.
//!
//! The servers are processes of their own, so that each one's CPU time is known; the load is this
//! one. [`stage`] sets them up, [`phases`] are what clients see, [`parts`] the raw pieces that
//! bound it, [`figures`] how it is shown; [`recovery`] is a benchmark of its own. Goals are reported and never enforced: they depend on the
//! machine. That what was answered is what is stored is enforced: the exit code is 1 otherwise.

mod bare;
mod figures;
mod leftovers;
mod parts;
mod phases;
mod recovery;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio_util::sync::CancellationToken;

use self::figures::Report;
use self::phases::Phases;
use self::stage::Stage;
use crate::http;
use crate::load::check::{self, Check};
use crate::load::crowd::connections_max;
use crate::settings::BenchArgs;

/// What was aimed at on two cores with everything on them, the load included.
mod goals {
    /// Accepted orders per second, embedded.
    pub(super) const ACCEPTED_EMBEDDED: u64 = 8_000;
    /// Accepted orders per second, on services.
    pub(super) const ACCEPTED_ON_SERVICES: u64 = 5_000;
    /// "Sold out" answers per second.
    pub(super) const SOLD_OUT: u64 = 15_000;
    /// Orders read per second, in percent of what the store alone answers.
    pub(super) const READ_PERCENT: u64 = 60;
}

/// Measures everything.
///
/// # Errors
/// One sentence that says what could not be measured.
pub(crate) async fn run(args: BenchArgs) -> Result<ExitCode> {
    if let Some(key_file) = &args.bare_http {
        return bare::serve(key_file).await.map(|()| ExitCode::SUCCESS);
    }
    if args.recovery {
        return recovery::run(&args).await.map(|()| ExitCode::SUCCESS);
    }
    measure(&args).await
}

async fn measure(args: &BenchArgs) -> Result<ExitCode> {
    let stopping = CancellationToken::new();
    http::stop_on_signals(stopping.clone())?;
    let mut stage = Stage::set(args, &stopping).await?;
    let report = unless_stopped(&stopping, report(args, &mut stage)).await;
    // Whatever went wrong, nothing is left behind.
    let cleared = stage.clear().await;
    let report = report?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    cleared?;
    let kept = check::all_kept(&report.stored);
    Ok(if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What comes of this, if no signal comes before.
async fn unless_stopped<T>(
    stopping: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        done = work => done,
        () = stopping.cancelled() => Err(anyhow!("the benchmark was stopped")),
    }
}

async fn report(args: &BenchArgs, stage: &mut Stage) -> Result<Report> {
    let embedded = stage.scratch.is_none();
    let connections = usize::try_from(args.connections)?.min(connections_max());
    let phases = Phases::prepare(stage, connections, Duration::from_secs(args.seconds)).await?;
    let say = |what: &str| {
        if !args.json {
            eprintln!("measuring: {what}");
        }
    };
    say("accepted orders on one hot SKU");
    let accepted = phases.accepted().await?;
    say("sold-out answers");
    let sold_out = phases.sold_out().await?;
    say("one idle client");
    let idle = phases.idle_client().await?;
    say("orders read");
    let read = phases.read(&accepted.placed).await?;
    let answered = u64::try_from(accepted.placed.len())? + idle.placed;
    let stored = stored(stage, &phases, answered).await?;
    say("the parts alone");
    let (parts, selects) = parts::alone(stage, &phases, &accepted.placed).await?;
    let goal = if embedded {
        goals::ACCEPTED_EMBEDDED
    } else {
        goals::ACCEPTED_ON_SERVICES
    };
    let system = vec![
        accepted.figure.aiming_at(goal),
        sold_out.aiming_at(goals::SOLD_OUT),
        idle.figure,
        read.aiming_at(selects * goals::READ_PERCENT / 100),
    ];
    Ok(Report {
        place: if embedded { "embedded" } else { "services" },
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        connections,
        seconds: args.seconds,
        system,
        drained_after_ms: accepted.drained_after.as_millis(),
        parts,
        stored,
    })
}

/// What was answered, beside what the read models and the log have.
async fn stored(stage: &Stage, phases: &Phases, answered: u64) -> Result<Vec<Check>> {
    let item = phases.drained(answered).await?;
    let held = u64::try_from(item.held + item.sold)?;
    let sum = item.available + item.held + item.sold;
    Ok(vec![
        Check::equal(
            "units held = orders of one unit answered with 201",
            answered,
            held,
        ),
        Check::equal("available + held + sold = supplied", item.supplied, sum),
        check::of_the_log(&stage.throwaway).await?,
    ])
}
