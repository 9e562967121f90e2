//! How fast the audit reads: `cargo run --release -p audit --example fold [ORDERS] [THREADS] [RUNS]`.
//!
//! Makes the log of so many orders (half of them with two lines, a tenth cancelled, each with an
//! idempotency key) in memory, then folds it on so many threads, each with partitions of its own,
//! as `holdfast audit` does. Prints, as the median of the runs, records per second of the clock
//! and per second of CPU time (what a busy machine does not change), and bytes per order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use audit::{Audit, Evidence, Part, Partition, Topic};

mod shop;

const PARTITIONS: shop::Layout = shop::Layout {
    users: 1,
    orders: 8,
    inventory: 8,
};

type Log = BTreeMap<Partition, Vec<String>>;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default| {
        let given = arguments.next().and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let (orders, threads, runs) = (next(300_000), next(2), next(5));
    let log = log(orders);
    let records: u128 = log.values().map(|entries| entries.len() as u128).sum();
    let before = resident_kib();
    let mut figures = vec![];
    for run in 0..runs {
        let (started, used) = (Instant::now(), cpu_time());
        let mut audit = fold(&log, threads);
        let folded = [started.elapsed(), cpu_time() - used];
        let report = audit.report(&Evidence::default());
        let told = [started.elapsed(), cpu_time() - used];
        if run == 0 {
            print!("{report}");
            let more = resident_kib() - before;
            println!("\n{} bytes of memory per order", more * 1024 / orders);
        }
        let rate = |time: Duration| records * 1_000_000 / time.as_micros().max(1);
        figures.push([folded.map(rate), told.map(rate)]);
    }
    let median = |stage: usize, clock: usize| {
        let mut rates: Vec<u128> = figures.iter().map(|run| run[stage][clock]).collect();
        rates.sort_unstable();
        rates[rates.len() / 2]
    };
    println!("{records} records, {threads} threads, median of {runs} runs, records per second:");
    for (stage, name) in ["reading", "with the verdict"].iter().enumerate() {
        let (clock, cpu) = (median(stage, 0), median(stage, 1));
        println!("  {name:<16} {clock:>9} by the clock, {cpu:>9} of CPU time");
    }
}

fn log(orders: u64) -> Log {
    let mut log = Log::new();
    shop::write(orders, PARTITIONS, |written| {
        if let Some(topic) = Topic::parse(written.topic) {
            let number = written.partition;
            let entries = log.entry(Partition { topic, number }).or_default();
            entries.push(written.entry);
        }
    });
    log
}

/// Every thread reads some of the partitions, the largest ones dealt out first.
fn fold(log: &Log, threads: u64) -> Audit {
    let mut partitions: Vec<_> = log.iter().collect();
    partitions.sort_by_key(|(_, entries)| std::cmp::Reverse(entries.len()));
    let partitions = &partitions;
    let mut audit = Audit::new();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads as usize)
            .map(|thread| {
                scope.spawn(move || {
                    let mine = partitions.iter().skip(thread).step_by(threads as usize);
                    mine.map(|(partition, entries)| read(**partition, entries))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        for reader in readers {
            for part in reader.join().expect("it reads") {
                audit.join(part);
            }
        }
    });
    audit
}

fn read(partition: Partition, entries: &[String]) -> Part {
    let mut part = Part::new(partition);
    for (offset, entry) in (0..).zip(entries) {
        part.take_in(offset, entry.as_bytes());
    }
    part.sort();
    part
}

/// CPU time of this process, all threads, where the system tells (Linux).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|text| text.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// What the process holds in memory, where the system tells (Linux).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let figure = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    figure.unwrap_or(0)
}
