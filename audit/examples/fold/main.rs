//! How fast the audit reads: `cargo run --release -p audit --example fold [ORDERS] [THREADS] [RUNS]`.
//!
//! Makes the log of so many orders (half of them with two lines, a tenth cancelled, each with an
//! idempotency key) in memory, then folds it on so many threads, each with partitions of its own,
//! as `holdfast audit` does. Prints, as the median of the runs, records per second of the clock
//! and per second of CPU time (what a busy machine does not change), and bytes per order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use audit::{Audit, Evidence, Part, Partition, Topic};

const SKUS: u64 = 1_000;
const ORDERS_PARTITIONS: u16 = 8;

type Log = BTreeMap<Partition, Vec<String>>;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default| {
        let given = arguments.next().and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let (orders, threads, runs) = (next(300_000), next(2), next(5));
    let log = shop(orders);
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

/// A log that grows.
#[derive(Default)]
struct Shop {
    log: Log,
    records: usize,
}

impl Shop {
    fn append(&mut self, topic: Topic, number: u16, entry: String) {
        let partition = Partition { topic, number };
        self.log.entry(partition).or_default().push(entry);
        self.records += 1;
    }
}

fn shop(orders: u64) -> Log {
    let mut shop = Shop::default();
    let mut fences = vec![];
    shop.append(Topic::Inventory, 0, entry(0, 0, "fence", "", "null"));
    for number in 0..ORDERS_PARTITIONS {
        shop.append(Topic::Orders, number, entry(0, 0, "fence", "", "null"));
        fences.push(format!(r#""orders/{number}":0"#));
    }
    let claim = format!(
        r#"{{"type":"claim","layout":{{"users":0,"orders":{ORDERS_PARTITIONS},"inventory":1}}}}"#
    );
    let opened = format!(
        r#"{{"type":"opened","epoch":1,"fences":{{"inventory/0":0,{}}}}}"#,
        fences.join(",")
    );
    shop.append(Topic::Epochs, 0, claim);
    shop.append(Topic::Epochs, 0, opened);
    for sku in 0..SKUS {
        let sku = format!("S{sku:05}");
        let events = format!(
            r#"{{"type":"item-created","sku":"{sku}"}},{{"type":"stock-moved","sku":"{sku}","quantity":1000000}}"#
        );
        let movements = format!(r#"{{"sku":"{sku}","quantity":1000000}}"#);
        let created = record(shop.records, 1, "inventory", &sku, &events, &movements);
        shop.append(Topic::Inventory, 0, created);
    }
    for number in 0..orders {
        let id = uuid::Uuid::from_u128(u128::from(number) << 64 | 0xA000).to_string();
        let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let partition = (hash % u64::from(ORDERS_PARTITIONS)) as u16;
        let skus: Vec<_> = (0..1 + number % 2)
            .map(|line| {
                format!(
                    "S{:05}",
                    (number * 7 + line) % (SKUS - 1) / 2 + line * SKUS / 2
                )
            })
            .collect();
        shop.append(Topic::Orders, partition, placed(shop.records, &id, &skus));
        if number % 10 == 0 {
            let cancelled = cancelled(shop.records, &id, &skus);
            shop.append(Topic::Orders, partition, cancelled);
        }
    }
    shop.log
}

fn placed(number: usize, id: &str, skus: &[String]) -> String {
    let line = |sku: &String| {
        format!(
            r#"{{"sku":"{sku}","name":"A product","quantity":2,"unit_price":{{"amount":1999,"currency":"EUR"}},"total":{{"amount":3998,"currency":"EUR"}}}}"#
        )
    };
    let lines = skus.iter().map(line).collect::<Vec<_>>().join(",");
    let total = 3998 * skus.len();
    let event = format!(
        r#"{{"type":"order-placed","id":"{id}","user_id":"{id}","lines":[{lines}],"total":{{"amount":{total},"currency":"EUR"}},"at":"2026-01-31T12:00:00.000000Z"}}"#
    );
    record(number, 1, "orders", id, &event, &units(skus, -2))
}

fn cancelled(number: usize, id: &str, skus: &[String]) -> String {
    let returned = units(skus, 2);
    let event = format!(
        r#"{{"type":"order-cancelled","returned":[{returned}],"at":"2026-01-31T12:00:00.000000Z"}}"#
    );
    record(number, 2, "orders", id, &event, &returned)
}

fn units(skus: &[String], quantity: i64) -> String {
    let one = |sku: &String| format!(r#"{{"sku":"{sku}","quantity":{quantity}}}"#);
    skus.iter().map(one).collect::<Vec<_>>().join(",")
}

fn record(
    number: usize,
    version: u64,
    kind: &str,
    aggregate: &str,
    events: &str,
    movements: &str,
) -> String {
    let id = uuid::Uuid::from_u128(number as u128);
    let body = format!(
        r#"{{"events":[{events}],"movements":[{movements}],"actor":{{"type":"user","id":"{id}","role":"customer"}},"key":{{"key":"{:032x}","fingerprint":"{number:032x}"}},"correlation_id":"{id}","time":"2026-01-31T12:00:00.000000Z"}}"#,
        number * 0x9E37_79B9
    );
    entry(number, version, kind, aggregate, &body)
}

fn entry(number: usize, version: u64, kind: &str, aggregate: &str, body: &str) -> String {
    let id = uuid::Uuid::from_u128(number as u128);
    format!(
        r#"{{"format":"001","id":"{id}","epoch":"{:020}","version":"{version:020}","type":"{kind}","aggregate":"{aggregate}","body":{body}}}"#,
        1
    )
}
