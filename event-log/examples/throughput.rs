//! Appends records and waits for each in a tail, as a commit does, and prints how many a second
//! went through and how long each took from append to read-back.
//!
//! ```text
//! cargo run --release -p event-log --example throughput -- sqlite 200000
//! HOLDFAST_TEST_KAFKA=127.0.0.1:9092 \
//!     cargo run --release -p event-log --example throughput -- kafka 200000
//! ```
//! The second number, if given, is how many records are in flight (500), the third the bytes of a
//! record (600). Warm a JVM up before believing it.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use event_log::sqlite::{SqliteLog, SqliteSettings};
use event_log::{AppendFailure, Deliveries, Entry, EventLog, Tail};
use record::{Layout, Partition, Position, RecordId, Topic};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Deliveries that are only counted on to come: the tail is what is measured.
struct Loud;

impl Deliveries for Loud {
    fn acknowledged(&self, _: Partition, _: RecordId, _: Option<u64>) {}

    fn failed(&self, partition: Partition, _: RecordId, failure: AppendFailure) {
        eprintln!("{partition}: {failure}");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_else(|| "sqlite".to_owned());
    let numbers: Vec<usize> = arguments
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (records, in_flight, bytes) = (number(0, 100_000), number(1, 500), number(2, 600));
    let directory = tempfile::tempdir()?;
    let log: Arc<dyn EventLog> = match kind.as_str() {
        "kafka" => Arc::new(KafkaLog::open(kafka_settings()?).await?),
        _ => Arc::new(SqliteLog::open(
            directory.path(),
            SqliteSettings::default(),
        )?),
    };
    // A first round warms up; then what was appended is read once more, as a rebuild does.
    round(&log, records / 10, in_flight, bytes).await?;
    let cpu = cpu_time();
    let (took, mut latencies) = round(&log, records, in_flight, bytes).await?;
    let cpu = cpu_time().saturating_sub(cpu);
    latencies.sort_unstable();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    println!(
        "{kind}: {} records/s, append to read-back p50 {:?}, p99 {:?}, {:?} CPU each",
        per_second(records, took),
        at(50),
        at(99),
        cpu / u32::try_from(records)?
    );
    let from = orders(&*log)
        .map(|partition| at_offset(partition, 0))
        .collect();
    let (started, mut tail) = (Instant::now(), log.tail(from).await?);
    let all = records + records / 10;
    read(&mut tail, all, |_| ()).await?;
    println!(
        "{kind}: replay {} records/s",
        per_second(all, started.elapsed())
    );
    Ok(())
}

fn kafka_settings() -> Result<KafkaSettings, Box<dyn Error>> {
    Ok(KafkaSettings {
        brokers: std::env::var("HOLDFAST_TEST_KAFKA")?,
        topic_prefix: format!("throughput-{}.", Uuid::new_v4()),
        layout_at_creation: Layout::uniform(3),
        replication: Replication::SingleBroker,
        ..KafkaSettings::default()
    })
}

/// Appends this many records, never more in flight than stated, and waits for all in a tail.
async fn round(
    log: &Arc<dyn EventLog>,
    records: usize,
    in_flight: usize,
    bytes: usize,
) -> Result<(Duration, Vec<Duration>), Box<dyn Error>> {
    let mut from = Vec::new();
    for partition in orders(&**log) {
        from.push(at_offset(partition, log.extent(partition).await?.end));
    }
    let mut tail = log.tail(from).await?;
    let started = Instant::now();
    let free = Arc::new(Semaphore::new(in_flight));
    let appended = tokio::spawn(append(
        Arc::clone(log),
        Arc::clone(&free),
        started,
        records,
        bytes,
    ));
    let mut latencies = Vec::with_capacity(records);
    read(&mut tail, records, |payload| {
        let mut nanos = [0; 8];
        nanos.copy_from_slice(&payload[..8]);
        let sent = Duration::from_nanos(u64::from_le_bytes(nanos));
        latencies.push(started.elapsed().saturating_sub(sent));
        free.add_permits(1);
    })
    .await?;
    appended.await?;
    Ok((started.elapsed(), latencies))
}

async fn append(
    log: Arc<dyn EventLog>,
    free: Arc<Semaphore>,
    started: Instant,
    records: usize,
    bytes: usize,
) {
    let deliveries: Arc<dyn Deliveries> = Arc::new(Loud);
    let partitions: Vec<Partition> = orders(&*log).collect();
    // Half of it repeats from record to record, as names of fields do.
    let filling: Vec<u8> = (0..bytes)
        .map(|i| b"{\"sku\":\"A-1\",\"quantity\":1}"[i % 26])
        .collect();
    let mut left = records;
    while left > 0 {
        let Ok(permit) = free.acquire().await else {
            return;
        };
        permit.forget();
        let more = free.available_permits().min(left - 1);
        let more = if free
            .try_acquire_many(more as u32)
            .map(|more| more.forget())
            .is_ok()
        {
            more
        } else {
            0
        };
        let entries = (0..=more).map(|i| {
            let id = Uuid::now_v7();
            let mut payload = filling.clone();
            for chunk in payload[8..bytes / 2].chunks_mut(16) {
                chunk.copy_from_slice(&Uuid::new_v4().as_bytes()[..chunk.len()]);
            }
            payload[..8].copy_from_slice(&(started.elapsed().as_nanos() as u64).to_le_bytes());
            Entry {
                partition: partitions[(left + i) % partitions.len()],
                key: id.to_string(),
                payload: Some(payload.into()),
                id: RecordId(id),
            }
        });
        log.append(entries.collect(), &deliveries);
        left -= more + 1;
    }
}

async fn read(
    tail: &mut Tail,
    records: usize,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Box<dyn Error>> {
    let mut left = records;
    while left > 0 {
        let batch = tail.next().await?;
        left -= batch.records.len();
        batch
            .records
            .iter()
            .for_each(|record| each(&record.payload));
    }
    Ok(())
}

fn orders(log: &dyn EventLog) -> impl Iterator<Item = Partition> + use<> {
    let topic = Topic::Orders;
    (0..log.layout().count(topic)).map(move |number| Partition { topic, number })
}

fn at_offset(partition: Partition, offset: u64) -> Position {
    Position { partition, offset }
}

fn per_second(records: usize, took: Duration) -> u128 {
    records as u128 * 1_000_000 / took.as_micros().max(1)
}

/// What this process has used so far, all threads together; zero where nobody says.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    // User and system time, in hundredths of a second.
    let ticks: u64 = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
