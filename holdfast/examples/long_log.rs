//! Writes a long log for `holdfast audit` to read:
//! `cargo run --release -p holdfast --example long_log -- ORDERS DIR`, or `ORDERS BROKERS PREFIX`.
//!
//! Then `holdfast audit --data DIR` (or `--kafka BROKERS --kafka-prefix PREFIX`) shows how fast it
//! is from end to end. The log has no reader but the audit: a server would not open this shop.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use event_log::sqlite::{SqliteLog, SqliteSettings};
use event_log::{AppendFailure, Deliveries, Entry, EventLog};
use record::{Partition, RecordId, Topic};
use tokio::sync::Semaphore;

#[path = "../../audit/examples/fold/shop.rs"]
mod shop;

/// Entries that are handed over and not yet acknowledged.
const UNDER_WAY_MAX: u32 = 20_000;
/// Entries of one hand-over.
const BATCH: usize = 1_000;

/// Lets the next entries in when earlier ones are acknowledged.
struct Counting {
    room: Semaphore,
}

impl Deliveries for Counting {
    fn acknowledged(&self, _: Partition, _: RecordId, _: Option<u64>) {
        self.room.add_permits(1);
    }

    fn failed(&self, partition: Partition, _: RecordId, failure: AppendFailure) {
        eprintln!("an append to {partition} failed: {failure}");
        std::process::exit(1);
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (orders, log) = match arguments.as_slice() {
        [orders, directory] => (orders, sqlite(directory)?),
        [orders, brokers, prefix] => (orders, kafka(brokers, prefix).await?),
        _ => bail!("give ORDERS and DIR, or ORDERS, BROKERS and PREFIX"),
    };
    let orders = orders.parse().context("ORDERS is a number")?;
    let layout = shop::Layout {
        users: log.layout().count(Topic::Users),
        orders: log.layout().count(Topic::Orders),
        inventory: log.layout().count(Topic::Inventory),
    };
    let started = Instant::now();
    let (sender, mut written) = tokio::sync::mpsc::channel(BATCH * 4);
    let making = std::thread::spawn(move || {
        shop::write(orders, layout, |written| {
            // Whoever reads it ended for a reason of its own.
            let _ = sender.blocking_send(written);
        });
    });
    let counting = Arc::new(Counting {
        room: Semaphore::new(UNDER_WAY_MAX as usize),
    });
    let deliveries: Arc<dyn Deliveries> = counting.clone();
    let (mut batch, mut entries) = (vec![], 0_u64);
    while written.recv_many(&mut batch, BATCH).await > 0 {
        let room = counting.room.acquire_many(u32::try_from(batch.len())?);
        room.await?.forget();
        entries += batch.len() as u64;
        log.append(batch.drain(..).filter_map(entry).collect(), &deliveries);
    }
    counting.room.acquire_many(UNDER_WAY_MAX).await?.forget();
    log.flush(Duration::from_secs(60)).await;
    making.join().ok().context("the shop was not made")?;
    println!("{entries} entries in {:.1?}", started.elapsed());
    Ok(())
}

fn entry(written: shop::Written) -> Option<Entry> {
    let topics = [Topic::Users, Topic::Orders, Topic::Inventory, Topic::Epochs];
    let topic = topics
        .into_iter()
        .find(|topic| topic.as_str() == written.topic)?;
    let number = written.partition;
    Some(Entry {
        partition: Partition { topic, number },
        key: written.aggregate,
        payload: Some(written.entry.into()),
        id: RecordId(uuid::Uuid::now_v7()),
    })
}

fn sqlite(directory: &str) -> Result<Arc<dyn EventLog>> {
    std::fs::create_dir_all(directory)?;
    let log = SqliteLog::open(directory.as_ref(), SqliteSettings::default())?;
    Ok(Arc::new(log))
}

async fn kafka(brokers: &str, prefix: &str) -> Result<Arc<dyn EventLog>> {
    let settings = KafkaSettings {
        brokers: brokers.to_owned(),
        topic_prefix: prefix.to_owned(),
        replication: Replication::SingleBroker,
        ..KafkaSettings::default()
    };
    Ok(Arc::new(KafkaLog::open(settings).await?))
}
