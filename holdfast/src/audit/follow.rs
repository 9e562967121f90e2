//! `holdfast audit --follow`: looks again and again, prints what changes, and serves the result
//! for Prometheus.
//!
//! Memory: the fold keeps what the crate `audit` says for each order that was ever placed, and
//! each look holds the read models' rows and the gate's things while it lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use audit::{Check, CheckReport, Outcome, Report};
use axum::Router;
use axum::routing::get;
use event_log::LogError;
use tokio_util::sync::CancellationToken;

use super::reading::{Known, Replaced};
use super::{BROKEN, COULD_NOT_RUN, KEPT, Watch};
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
    /// What is not checked now, and why.
    not_checked: BTreeMap<&'static str, &'static str>,
    /// Whether anything ever was.
    broken: bool,
    /// Whether the last look that ended could be made.
    looked: bool,
}

/// Watches until a signal comes. Exit code 1 if a promise was broken meanwhile, 2 if the last look
/// was not possible: then nothing is known of now.
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
    Ok(ExitCode::from(told.exit_code()))
}

/// Looks until nothing can be known any more.
async fn watch(args: &AuditArgs, told: &mut Told) -> Result<()> {
    let (mut watch, mut known) = (None, Known::default());
    let mut every = tokio::time::interval(Duration::from_secs(args.interval));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        match look(&mut watch, &mut known, args).await {
            Ok(report) => told.tell(&report, args.json)?,
            Err(error) if is_another_log(&error) => {
                eprintln!("holdfast: {error:#}");
                told.broken = true;
                return Ok(());
            }
            Err(error) if told.differences.is_none() => return Err(error),
            Err(error) => {
                tracing::warn!("the audit cannot look now: {error:#}");
                told.looked = false;
                watch = watch.filter(|watch| !watch.reader.is_torn() && !is_of_the_log(&error));
            }
        }
    }
}

async fn look(watch: &mut Option<Watch>, known: &mut Known, args: &AuditArgs) -> Result<Report> {
    let started = Instant::now();
    let watch = match watch {
        Some(watch) => watch,
        None => watch.insert(Watch::open(args, known.clone()).await?),
    };
    let looked = watch.look().await;
    *known = watch.reader.known();
    let report = looked?;
    publish(&report, watch.reader.lag().await?, started.elapsed());
    Ok(report)
}

/// The log has less than was read of it, or is another one: nothing that follows can be compared.
fn is_another_log(error: &anyhow::Error) -> bool {
    error.is::<Replaced>() || matches!(error.downcast_ref(), Some(LogError::Shortened { .. }))
}

/// The log could not be read. Whether it is still the same one, is known only when all of it is
/// read again; what only the rows or the gate held up goes on where it was.
fn is_of_the_log(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<LogError>())
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
    fn exit_code(&self) -> u8 {
        match (self.broken, self.looked) {
            (true, _) => BROKEN,
            (false, true) => KEPT,
            (false, false) => COULD_NOT_RUN,
        }
    }

    /// Prints what changed since the last time.
    fn tell(&mut self, report: &Report, json: bool) -> Result<()> {
        self.looked = true;
        self.broken |= !report.ok;
        let (now, not_checked) = (differences(report), not_checked(report));
        if self.differences.as_ref() == Some(&now) && self.not_checked == not_checked {
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
            for (name, because) in &not_checked {
                if self.not_checked.get(name) != Some(because) {
                    writeln!(out, "not checked  {name}: {because}")?;
                }
            }
            for name in self.not_checked.keys() {
                if !not_checked.contains_key(name) {
                    writeln!(out, "checked      {name}")?;
                }
            }
            let verdict = match report.broken().map(|check| check.broken).sum::<u64>() {
                0 => "every promise that was checked holds".to_owned(),
                more => format!("{more} differences"),
            };
            writeln!(out, "{} entries: {verdict}", report.counts.entries)?;
        }
        out.flush().context("nobody reads the result any more")?;
        self.differences = Some(now);
        self.not_checked = not_checked;
        Ok(())
    }
}

/// A line for each difference that the report names, with what mends it, and one for all others of
/// a check.
fn differences(report: &Report) -> BTreeSet<String> {
    let of = |check: Check| move |difference| format!("{}: {difference}", check.name());
    let mut lines = BTreeSet::new();
    for check in report.broken() {
        let told = check.differences.iter().map(of(check.check));
        let mend = check.check.mend();
        lines.extend(told.map(|line| format!("{line} To mend it: {mend}")));
        let others = check.broken - check.differences.len() as u64;
        if others > 0 {
            lines.insert(format!("{}: … and {others} more", check.check.name()));
        }
    }
    lines
}

/// The checks that were not made, and why.
fn not_checked(report: &Report) -> BTreeMap<&'static str, &'static str> {
    let why = |check: &CheckReport| match check.outcome {
        Outcome::NotChecked { because } => Some((check.check.name(), because)),
        Outcome::Ok | Outcome::Broken => None,
    };
    report.checks.iter().filter_map(why).collect()
}

#[cfg(test)]
mod tests {
    use audit::{Counts, Difference};

    use super::*;

    /// So many things are oversold, and ten of them are named.
    fn oversold(broken: u64) -> Report {
        let difference = |number| Difference {
            about: format!("sku {number}"),
            since: None,
            found: "It was.".to_owned(),
            mend: Check::Stock.mend(),
        };
        let check = CheckReport {
            check: Check::Stock,
            says: Check::Stock.says(),
            outcome: if broken > 0 {
                Outcome::Broken
            } else {
                Outcome::Ok
            },
            looked_at: broken,
            broken,
            differences: (0..broken.min(10)).map(difference).collect(),
        };
        Report {
            ok: broken == 0,
            counts: Counts::default(),
            checks: vec![check],
        }
    }

    #[test]
    fn a_difference_more_than_are_named_is_told() {
        let (ten, eleven, twelve) = (oversold(10), oversold(11), oversold(12));
        let more = |before: &Report, now: &Report| -> Vec<String> {
            let lines = differences(now);
            lines.difference(&differences(before)).cloned().collect()
        };
        assert_eq!(more(&ten, &eleven), ["stock: … and 1 more"]);
        assert_eq!(more(&eleven, &twelve), ["stock: … and 2 more"]);
        assert_eq!(more(&twelve, &ten), [""; 0]);
    }

    #[test]
    fn the_exit_code_says_whether_anything_is_known() {
        let mut told = Told::default();
        assert_eq!(told.exit_code(), 2, "no look ended");
        told.tell(&oversold(0), true).unwrap();
        assert_eq!(told.exit_code(), 0);
        told.looked = false;
        assert_eq!(told.exit_code(), 2, "the last look was not possible");
        told.tell(&oversold(1), true).unwrap();
        told.tell(&oversold(0), true).unwrap();
        assert_eq!(told.exit_code(), 1, "a promise was broken meanwhile");
    }
}
