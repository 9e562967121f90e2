//! How fast a log of orders becomes rows: `cargo run --release -p projectors --example
//! rows_per_second -- 200000`. On SQLite, and on MySQL where `HOLDFAST_TEST_MYSQL` names a server
//! whose user may create databases.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::ids::{OrderId, UserId};
use domain::inventory::InventoryEvent;
use domain::money::{Currency, Money};
use domain::order::{OrderEvent, OrderLine};
use domain::quantity::Quantity;
use domain::sku::Sku;
use domain::text::Name;
use domain::time::Time;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use event_log::{AppendFailure, Deliveries, Entry, EventLog};
use migrations::Database;
use migrations::scratch::ScratchDatabase;
use projectors::{Projector, ReadModels, replay, source};
use record::envelope::FORMAT;
use record::epochs::{EpochEntry, GATE_INTERFACE, Shop};
use record::{Actor, Body, Envelope, Events, Layout, Partition, Record, RecordId};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use uuid::Uuid;

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

const ITEMS: u64 = 1_000;
const APPENDED_AT_ONCE: usize = 10_000;

#[tokio::main]
async fn main() -> Anything<()> {
    let orders: u64 = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 100_000,
    };
    let folder = tempfile::tempdir()?;
    let log: Arc<dyn EventLog> =
        Arc::new(SqliteLog::open(folder.path(), SqliteSettings::default())?);
    fill(&log, orders).await?;

    measure(
        "SQLite",
        &log,
        Database::sqlite_writer(&folder.path().join("rows.db")),
    )
    .await?;
    if let Ok(server) = std::env::var("HOLDFAST_TEST_MYSQL") {
        let scratch = ScratchDatabase::create(&format!("{server}/information_schema")).await?;
        let measured = measure("MySQL", &log, Database::mysql(scratch.url(), 4)?).await;
        scratch.remove().await?;
        measured?;
    }
    print_file_size(&folder.path().join("rows.db"))
}

async fn measure(store: &str, log: &Arc<dyn EventLog>, database: Database) -> Anything<()> {
    migrations::schema::run(&database).await?;
    let read_models = ReadModels::new(database);
    let log_id = source::log_id(log).await?;
    let partitions = log.layout().partitions_of_record();
    let mut projector = Projector::new(Arc::clone(log), read_models.clone(), log_id, partitions);
    let start = Instant::now();
    let records = projector.run_until_caught_up().await?;
    print(&format!("{store}, live"), records as u64, start);
    let start = Instant::now();
    let replayed = replay(Arc::clone(log), &read_models, |_| {}).await?;
    print(
        &format!("{store}, replay with indexes and parity"),
        replayed.records,
        start,
    );
    read_models.database().close().await;
    Ok(())
}

fn print(what: &str, records: u64, start: Instant) {
    let milliseconds = u64::try_from(start.elapsed().as_millis().max(1)).unwrap_or(u64::MAX);
    let rate = records * 1_000 / milliseconds;
    println!("{what}: {records} records in {milliseconds} ms, {rate}/s");
}

fn print_file_size(file: &Path) -> Anything<()> {
    println!(
        "SQLite's file: {} MiB",
        std::fs::metadata(file)?.len() >> 20
    );
    Ok(())
}

/// Items, then orders of two lines each. Every order is a row of orders and two of the ledger.
async fn fill(log: &Arc<dyn EventLog>, orders: u64) -> Anything<()> {
    let claim = EpochEntry::Claim {
        id: Uuid::new_v4(),
        interface: GATE_INTERFACE,
        layout: log.layout(),
        shop: Shop {
            currency: Currency::parse("EUR")?,
            secrets_check: String::new(),
        },
        base: 1,
        node: Uuid::nil(),
    };
    let entry = entry(Partition::EPOCHS, "", claim.encode());
    log.append_one(entry).await?;
    let layout = log.layout();
    let mut entries = Vec::with_capacity(APPENDED_AT_ONCE);
    for number in 0..ITEMS {
        entries.push(item(&layout, number)?);
    }
    for number in 0..orders {
        entries.push(order(&layout, number)?);
        if entries.len() >= APPENDED_AT_ONCE {
            append(log, std::mem::take(&mut entries)).await?;
        }
    }
    append(log, entries).await
}

fn entry(partition: Partition, key: &str, payload: Vec<u8>) -> Entry {
    Entry {
        partition,
        key: key.to_owned(),
        payload: Some(Bytes::from(payload)),
        id: RecordId(Uuid::new_v4()),
    }
}

fn item(layout: &Layout, number: u64) -> Anything<Entry> {
    let id = format!("SKU-{number}");
    let created = InventoryEvent::ItemCreated {
        sku: Sku::parse(&id)?,
        name: Name::parse("A lamp for the desk")?,
        price: Money::price(1_999, Currency::parse("EUR")?)?,
        category: None,
    };
    record(layout, &id, Events::Inventory(vec![created]))
}

fn order(layout: &Layout, number: u64) -> Anything<Entry> {
    let id = OrderId(Uuid::now_v7());
    let price = Money::price(1_999, Currency::parse("EUR")?)?;
    let line = |number: u64| -> Anything<OrderLine> {
        Ok(OrderLine {
            sku: Sku::parse(&format!("SKU-{}", number % ITEMS))?,
            name: Name::parse("A lamp for the desk")?,
            quantity: Quantity::new(1)?,
            unit_price: price,
            total: price,
        })
    };
    let placed = OrderEvent::OrderPlaced {
        id,
        user_id: UserId(Uuid::from_u128(u128::from(number % 10_000))),
        lines: vec![line(number)?, line(number / 7 + 1)?],
        total: Money::total(3_998, price.currency())?,
        at: Time::from_microseconds(1_700_000_000_000_000 + number as i64),
    };
    record(layout, &id.to_string(), Events::Orders(vec![placed]))
}

fn record(layout: &Layout, id: &str, events: Events) -> Anything<Entry> {
    let kind = events.aggregate_type();
    let topic = kind.topic().ok_or("a fence has no topic")?;
    let envelope = Envelope {
        format: FORMAT,
        id: RecordId(Uuid::now_v7()),
        epoch: 1,
        aggregate_type: kind,
        aggregate_id: id.to_owned(),
        version: 1,
    };
    let body = Body {
        events,
        actor: Actor::Operator,
        key: None,
        correlation_id: Uuid::nil(),
        causation_id: None,
        traceparent: None,
        time: Time::from_microseconds(1_700_000_000_000_000),
    };
    let partition = layout.partition_of(topic, id);
    Ok(entry(partition, id, Record { envelope, body }.encode()))
}

/// Appends and waits until all of it is acknowledged.
async fn append(log: &Arc<dyn EventLog>, entries: Vec<Entry>) -> Anything<()> {
    let (sender, mut outcomes) = unbounded_channel();
    let count = entries.len();
    let deliveries: Arc<dyn Deliveries> = Arc::new(Outcomes(sender));
    log.append(entries, &deliveries);
    for _ in 0..count {
        outcomes.recv().await.ok_or("the log went away")??;
    }
    Ok(())
}

struct Outcomes(UnboundedSender<Result<(), AppendFailure>>);

impl Deliveries for Outcomes {
    fn acknowledged(&self, _: Partition, _: RecordId, _: Option<u64>) {
        // Nobody waits any more after a failure.
        let _ = self.0.send(Ok(()));
    }

    fn failed(&self, _: Partition, _: RecordId, failure: AppendFailure) {
        let _ = self.0.send(Err(failure));
    }
}
