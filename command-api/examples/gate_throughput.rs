//! What a decision costs: on the gate in memory, and on a Redis of one's own.
//!
//! `HOLDFAST_TEST_REDIS=redis://… cargo run --release -p command-api --example gate_throughput`
//!
//! Orders of two lines with an idempotency key and a record of about 700 bytes, decided in calls
//! of 1 to 128 with two calls in flight, then settled in calls of 256. "Bytes pending" is what a
//! decision takes until it is settled, "bytes kept" what its key and aggregate take afterwards.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use command_api::gate::conformance::fixture::{
    appended, item, keyed, open_epoch, place, settling, uuid,
};
use command_api::gate::memory::MemoryGate;
use command_api::gate::redis::{RedisGate, RedisSettings};
use command_api::gate::{Current, Decide, ENTRIES_PER_GENERATION, Gate};
use redis::cmd;

const DECISIONS: u128 = 30_000;
const BATCHES: [usize; 4] = [1, 16, 64, 128];
const IN_FLIGHT: usize = 2;
const SETTLED_PER_CALL: usize = 256;

#[tokio::main]
async fn main() -> Result<()> {
    println!(
        "gate    batch | decided/s  server µs  bytes pending | settled/s  server µs  bytes kept"
    );
    for batch in BATCHES {
        measure(
            "memory",
            batch,
            Arc::new(MemoryGate::new(ENTRIES_PER_GENERATION)),
            None,
        )
        .await?;
    }
    let url = std::env::var("HOLDFAST_TEST_REDIS").context("HOLDFAST_TEST_REDIS is not set")?;
    for batch in BATCHES {
        let settings = RedisSettings {
            url: url.clone(),
            namespace: format!("throughput-{}", uuid::Uuid::now_v7()),
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(30),
            entries_per_generation: ENTRIES_PER_GENERATION,
        };
        let gate = Arc::new(RedisGate::new(&settings)?);
        let server = redis::Client::open(url.as_str())?.get_connection()?;
        measure("redis", batch, gate, Some(server)).await?;
    }
    Ok(())
}

async fn measure(
    name: &str,
    batch: usize,
    gate: Arc<dyn Gate>,
    mut server: Option<redis::Connection>,
) -> Result<()> {
    let names = (0..100).map(|number| format!("SKU-{number}"));
    let pieces = names.flat_map(|name| item(&name, 1_000_000)).collect();
    let current = open_epoch(&*gate, 1, pieces).await?;
    let commands: Vec<Decide> = (0..DECISIONS).map(order).collect();

    let before = figures(server.as_mut())?;
    let start = Instant::now();
    decide(&gate, &current, &commands, batch).await?;
    let decided = start.elapsed();
    let between = figures(server.as_mut())?;
    let start = Instant::now();
    for chunk in commands.chunks(SETTLED_PER_CALL) {
        let records: Vec<_> = chunk.iter().map(settling).collect();
        gate.settle(&current, &records, &[]).await?;
    }
    let settled = start.elapsed();
    let after = figures(server.as_mut())?;

    let each = |total: f64| total / DECISIONS as f64;
    println!(
        "{name:<7} {batch:>5} | {:>9.0} {:>10.1} {:>14.0} | {:>9.0} {:>10.1} {:>11.0}",
        DECISIONS as f64 / decided.as_secs_f64(),
        each(between.cpu_microseconds - before.cpu_microseconds),
        each(between.bytes - before.bytes),
        DECISIONS as f64 / settled.as_secs_f64(),
        each(after.cpu_microseconds - between.cpu_microseconds),
        each(after.bytes - before.bytes),
    );
    // Drops what was decided, so that the next row starts on an empty server.
    gate.begin_rebuild(2).await?;
    Ok(())
}

async fn decide(
    gate: &Arc<dyn Gate>,
    current: &Current,
    commands: &[Decide],
    batch: usize,
) -> Result<()> {
    let calls: Arc<Vec<Vec<Decide>>> =
        Arc::new(commands.chunks(batch).map(<[Decide]>::to_vec).collect());
    let workers = (0..IN_FLIGHT).map(|worker| {
        let (gate, current, calls) = (Arc::clone(gate), current.clone(), Arc::clone(&calls));
        tokio::spawn(async move {
            for call in calls.iter().skip(worker).step_by(IN_FLIGHT) {
                gate.decide(&current, call).await?;
            }
            anyhow::Ok(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    Ok(())
}

/// Ids as they are in life: their keys and records do not compress.
fn order(number: u128) -> Decide {
    let lines = [(number * 7) % 100, (number * 13 + 1) % 100].map(|sku| format!("SKU-{sku}"));
    let command = place(number, &[(&lines[0], 1), (&lines[1], 2)]);
    let key = uuid(number).simple().to_string();
    let padding = format!(r#","padding":"{}"}}"#, "x".repeat(500));
    appended(keyed(command, &key, &key), |append| {
        let text = String::from_utf8_lossy(&append.payload);
        let record = format!("{}{padding}", text.trim_end_matches('}'));
        append.payload = record.into_bytes().into();
        append.snapshot = Some(format!(r#"{{"snapshot":"{}"}}"#, "x".repeat(250)));
    })
}

#[derive(Default)]
struct Figures {
    cpu_microseconds: f64,
    bytes: f64,
}

fn figures(server: Option<&mut redis::Connection>) -> Result<Figures> {
    let Some(server) = server else {
        return Ok(Figures::default());
    };
    let info: String = cmd("INFO").arg("everything").query(server)?;
    let number = |name: &str| -> Result<f64> {
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.context("INFO lacks a figure")?.trim().parse()?)
    };
    Ok(Figures {
        cpu_microseconds: 1e6
            * (number("used_cpu_user_main_thread")? + number("used_cpu_sys_main_thread")?),
        bytes: number("used_memory")?,
    })
}
