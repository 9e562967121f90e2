//! What was measured, as programs and people read it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::load::check::Check;
use crate::load::crowd::Ran;
use crate::load::table::{Side, Table, milliseconds};

/// CPU time of processes by their names.
pub(crate) type Cpu = Vec<(&'static str, Duration)>;

/// One measurement. Durations are integers with their unit in the name.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Figure {
    /// What was done.
    pub(crate) what: &'static str,
    /// How often.
    pub(crate) count: u64,
    /// How often per second.
    pub(crate) per_second: u64,
    /// Latency, where single calls were timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    /// CPU time of each process for one.
    pub(crate) cpu_ns_each: BTreeMap<&'static str, u64>,
    /// What it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
}

/// Latencies from the first attempt to the whole answer.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    /// Half of the calls took no longer.
    pub(crate) p50_us: u64,
    /// 99 % of them.
    pub(crate) p99_us: u64,
    /// 99.9 % of them.
    pub(crate) p999_us: u64,
}

/// A rate to reach. Reported, never enforced: it was set for a machine of two cores.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Goal {
    /// Per second.
    pub(crate) per_second: u64,
    /// How much of it was reached.
    pub(crate) reached_percent: u64,
}

/// Everything that a run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `embedded` or `services`.
    pub(crate) place: &'static str,
    /// Cores of this machine, which all parts and the load share.
    pub(crate) cores: usize,
    /// Concurrent connections.
    pub(crate) connections: usize,
    /// Seconds of each measurement.
    pub(crate) seconds: u64,
    /// What clients see.
    pub(crate) system: Vec<Figure>,
    /// From the end of the load until the read models had everything.
    pub(crate) drained_after_ms: u128,
    /// The parts alone.
    pub(crate) parts: Vec<Figure>,
    /// Whether what was answered is what is stored.
    pub(crate) stored: Vec<Check>,
}

impl Figure {
    /// So many of something in this time.
    pub(crate) fn new(what: &'static str, count: u64, took: Duration) -> Self {
        let per_second = per_second(count, took);
        Self {
            what,
            count,
            per_second,
            ..Self::default()
        }
    }

    /// What a crowd was answered, of which `count` were what this figure is about.
    pub(crate) fn of_crowd(what: &'static str, count: u64, ran: &Ran) -> Self {
        let share = |share| as_microseconds(ran.tally.latency(share));
        let latency = Latency {
            p50_us: share(0.5),
            p99_us: share(0.99),
            p999_us: share(0.999),
        };
        Self {
            latency: Some(latency),
            ..Self::new(what, count, ran.took)
        }
    }

    /// With what it cost.
    pub(crate) fn costing(mut self, cpu: &Cpu) -> Self {
        let count = u128::from(self.count.max(1));
        for (process, spent) in cpu {
            let each = u64::try_from(spent.as_nanos() / count).unwrap_or(u64::MAX);
            *self.cpu_ns_each.entry(process).or_default() += each;
        }
        self
    }

    /// With the rate that it should reach.
    pub(crate) fn aiming_at(mut self, per_second: u64) -> Self {
        let reached_percent = self.per_second * 100 / per_second.max(1);
        self.goal = Some(Goal {
            per_second,
            reached_percent,
        });
        self
    }
}

impl Report {
    /// Prints it for people.
    pub(crate) fn print(&self) {
        let Self {
            place,
            cores,
            connections,
            seconds,
            ..
        } = self;
        println!("{place}, {cores} cores, {connections} connections, {seconds} s each\n");
        println!("What clients see:\n{}", table(&self.system));
        println!(
            "The read models had everything {} ms after the end of the load.\n",
            self.drained_after_ms
        );
        println!(
            "The parts alone, on the same machine:\n{}",
            table(&self.parts)
        );
        println!("Stored = answered:");
        crate::load::check::print(&self.stored);
    }
}

fn table(figures: &[Figure]) -> String {
    let mut table = Table::new(&[
        ("", Side::Left),
        ("per second", Side::Right),
        ("p50 ms", Side::Right),
        ("p99 ms", Side::Right),
        ("p99.9 ms", Side::Right),
        ("goal/s", Side::Right),
        ("reached", Side::Right),
        ("CPU µs each", Side::Left),
    ]);
    for figure in figures {
        let latency = |of: fn(&Latency) -> u64| {
            let shown = |latency: &Latency| milliseconds(Duration::from_micros(of(latency)));
            figure.latency.as_ref().map(shown).unwrap_or_default()
        };
        let (goal, reached) = figure.goal.map_or_else(Default::default, |goal| {
            (
                goal.per_second.to_string(),
                format!("{} %", goal.reached_percent),
            )
        });
        table.row([
            figure.what.to_owned(),
            figure.per_second.to_string(),
            latency(|latency| latency.p50_us),
            latency(|latency| latency.p99_us),
            latency(|latency| latency.p999_us),
            goal,
            reached,
            costs(&figure.cpu_ns_each),
        ]);
    }
    table.render()
}

/// The whole, then each process, the most expensive first.
fn costs(cpu_ns_each: &BTreeMap<&'static str, u64>) -> String {
    if cpu_ns_each.is_empty() {
        return String::new();
    }
    let whole: u64 = cpu_ns_each.values().sum();
    let mut processes: Vec<_> = cpu_ns_each.iter().collect();
    processes.sort_by_key(|(_, each)| std::cmp::Reverse(**each));
    let one = |(name, each): (&&str, &u64)| format!("{name} {}", microseconds(*each));
    let each: Vec<_> = processes.into_iter().map(one).collect();
    format!("{} ({})", microseconds(whole), each.join(", "))
}

/// Microseconds with one digit behind the point.
fn microseconds(nanoseconds: u64) -> String {
    format!("{}.{}", nanoseconds / 1000, nanoseconds % 1000 / 100)
}

fn as_microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn per_second(count: u64, took: Duration) -> u64 {
    let per_second = u128::from(count) * 1_000_000 / took.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_per_second_and_a_cost_per_piece() {
        let figure = Figure::new("orders", 5_000, Duration::from_millis(500))
            .costing(&vec![
                ("redis", Duration::from_millis(100)),
                ("load", Duration::from_millis(5)),
            ])
            .aiming_at(5_000);
        assert_eq!(figure.per_second, 10_000);
        assert_eq!(figure.goal.unwrap().reached_percent, 200);
        assert_eq!(costs(&figure.cpu_ns_each), "21.0 (redis 20.0, load 1.0)");
    }
}
