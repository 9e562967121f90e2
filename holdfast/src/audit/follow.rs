//! `holdfast audit --follow`: looks again and again, prints what changes, and serves the result
//! for Prometheus.
//!
//! Memory: the fold keeps about 500 bytes for each order that was ever placed (see the crate
//! `audit`), and each look holds the read models' rows and the gate's things while it lasts.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use audit::{Check, Outcome, Report};
use axum::Router;
use axum::routing::get;
use event_log::LogError;
use tokio_util::sync::CancellationToken;

use super::Watch;
use crate::settings::AuditArgs;
use crate::{http, telemetry};

/// When a look last ended, when one last found everything kept, and how long one took.
const LOOKED: &str = "holdfast_audit_last_look_timestamp_seconds";
const OK: &str = "holdfast_audit_last_ok_timestamp_seconds";
const TOOK: &str = "holdfast_audit_look_duration_seconds";
/// Differences, and whether it was looked at all, by check.
const DIFFERENCES: &str = "holdfast_audit_differences";
const CHECKED: &str = "holdfast_audit_checked";
/// Entries of the log that were read, and those that came since.
const ENTRIES: &str = "holdfast_audit_entries";
const LAG: &str = "holdfast_audit_lag_entries";

/// What was found so far.
#[derive(Default)]
struct Told {
    /// What is different now, a line each; `None` before the first look.
    differences: Option<BTreeSet<String>>,
    /// Whether anything ever was.
    broken: bool,
}

/// Watches until a signal comes. Exit code 1 if a promise was broken meanwhile.
///
/// # Errors
/// When the first look is not possible. Later ones are tried again.
pub(super) async fn run(args: &AuditArgs) -> Result<ExitCode> {
    let stopping = CancellationToken::new();
    http::stop_on_signals(stopping.clone())?;
    let render = telemetry::collect_metrics()?;
    if let Some(address) = args.metrics {
        let listener = tokio::net::TcpListener::from_std(http::listen(address)?)?;
        println!("Metrics are at http://{}/metrics", listener.local_addr()?);
        let router = Router::new().route("/metrics", get(async move || render()));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    let mut told = Told::default();
    tokio::select! {
        () = stopping.cancelled() => {}
        ended = watch(args, &mut told) => ended?,
    }
    Ok(if told.broken {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Looks until nothing can be known any more.
async fn watch(args: &AuditArgs, told: &mut Told) -> Result<()> {
    let mut watch = None;
    let mut every = tokio::time::interval(Duration::from_secs(args.interval));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        match look(&mut watch, args).await {
            Ok(report) => told.tell(&report, args.json)?,
            Err(error) if is_shortened(&error) => {
                eprintln!("holdfast: {error:#}");
                told.broken = true;
                return Ok(());
            }
            Err(error) if told.differences.is_none() => return Err(error),
            Err(error) => {
                tracing::warn!("the audit cannot look now: {error:#}");
                // A part of the fold may be lost with it: the next look begins anew.
                watch = None;
            }
        }
    }
}

async fn look(watch: &mut Option<Watch>, args: &AuditArgs) -> Result<Report> {
    let started = Instant::now();
    let watch = match watch {
        Some(watch) => watch,
        None => watch.insert(Watch::open(args).await?),
    };
    let report = watch.look().await?;
    publish(&report, watch.reader.lag().await?, started.elapsed());
    Ok(report)
}

/// The log has less than was read of it: nothing that follows can be compared.
fn is_shortened(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LogError::Shortened { .. }))
}

fn publish(report: &Report, lag: u64, took: Duration) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs_f64();
    metrics::gauge!(LOOKED).set(now);
    if report.ok {
        metrics::gauge!(OK).set(now);
    }
    metrics::gauge!(TOOK).set(took.as_secs_f64());
    for check in &report.checks {
        let name = check.check.name();
        let checked = !matches!(check.outcome, Outcome::NotChecked { .. });
        metrics::gauge!(DIFFERENCES, "check" => name).set(check.broken as f64);
        metrics::gauge!(CHECKED, "check" => name).set(f64::from(u8::from(checked)));
    }
    metrics::gauge!(ENTRIES).set(report.counts.entries as f64);
    metrics::gauge!(LAG).set(lag as f64);
}

impl Told {
    /// Prints what changed since the last time.
    fn tell(&mut self, report: &Report, json: bool) -> Result<()> {
        self.broken |= !report.ok;
        let now = differences(report);
        if self.differences.as_ref() == Some(&now) {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(report)?)?;
        } else {
            let before = self.differences.take().unwrap_or_default();
            for line in now.difference(&before) {
                writeln!(out, "BROKEN  {line}")?;
            }
            for line in before.difference(&now) {
                writeln!(out, "gone    {line}")?;
            }
            let verdict = match now.len() {
                0 => "every promise that was checked holds".to_owned(),
                more => format!("{more} differences"),
            };
            writeln!(out, "{} entries: {verdict}", report.counts.entries)?;
        }
        out.flush().context("nobody reads the result any more")?;
        self.differences = Some(now);
        Ok(())
    }
}

/// A line for each difference, with what mends it.
fn differences(report: &Report) -> BTreeSet<String> {
    let of = |check: Check| move |difference| format!("{}: {difference}", check.name());
    let mut lines = BTreeSet::new();
    for check in report.broken() {
        let told = check.differences.iter().map(of(check.check));
        let mend = check.check.mend();
        lines.extend(told.map(|line| format!("{line} To mend it: {mend}")));
    }
    lines
}
