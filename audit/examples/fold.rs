//! How fast the audit reads: `cargo run --release -p audit --example fold [ORDERS]`.
//!
//! Makes the log of so many orders (half of them with two lines, a tenth cancelled, each with an
//! idempotency key) in memory, then folds it and prints records per second and bytes per order.

use std::time::Instant;

use audit::{Audit, Evidence};

const SKUS: u64 = 1_000;

fn main() {
    let orders = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let orders: u64 = orders.unwrap_or(300_000);
    let log = shop(orders);
    let before = resident_kib();
    let started = Instant::now();
    let mut audit = Audit::new();
    let mut offsets = std::collections::HashMap::<&str, u64>::new();
    for (topic, bytes) in &log {
        let offset = offsets.entry(topic).or_default();
        audit.take_in(topic, 0, *offset, bytes.as_bytes());
        *offset += 1;
    }
    let folded = started.elapsed();
    let after = resident_kib();
    let report = audit.finish(&Evidence::default());
    let all = started.elapsed();
    print!("{report}");
    let records = log.len() as u128;
    println!(
        "\n{} records/s while reading ({folded:.2?}), {} with the verdict ({all:.2?})",
        records * 1_000_000 / folded.as_micros().max(1),
        records * 1_000_000 / all.as_micros().max(1),
    );
    if let (Some(before), Some(after)) = (before, after) {
        println!(
            "{} bytes of memory per order",
            (after - before) * 1024 / orders
        );
    }
}

/// What the process holds in memory, where the system tells (Linux).
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn shop(orders: u64) -> Vec<(&'static str, String)> {
    let claim = r#"{"type":"claim","layout":{"users":0,"orders":1,"inventory":1}}"#;
    let opened = r#"{"type":"opened","epoch":1,"fences":{"orders/0":0,"inventory/0":0}}"#;
    let mut log = vec![
        ("epochs", claim.to_owned()),
        ("orders", entry(0, 0, "fence", "", "{}")),
        ("inventory", entry(1, 0, "fence", "", "{}")),
        ("epochs", opened.to_owned()),
    ];
    for sku in 0..SKUS {
        let sku = format!("S{sku:05}");
        let events = format!(
            r#"{{"type":"item-created","sku":"{sku}"}},{{"type":"stock-moved","sku":"{sku}","quantity":1000000}}"#
        );
        let movements = format!(r#"{{"sku":"{sku}","quantity":1000000}}"#);
        log.push((
            "inventory",
            record(log.len(), 1, "inventory", &sku, &events, &movements),
        ));
    }
    for number in 0..orders {
        let id = uuid::Uuid::from_u128(u128::from(number) << 64 | 0xA000).to_string();
        let skus: Vec<_> = (0..1 + number % 2)
            .map(|line| {
                format!(
                    "S{:05}",
                    (number * 7 + line) % (SKUS - 1) / 2 + line * SKUS / 2
                )
            })
            .collect();
        log.push(("orders", placed(log.len(), &id, &skus)));
        if number % 10 == 0 {
            log.push(("orders", cancelled(log.len(), &id, &skus)));
        }
    }
    log
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
