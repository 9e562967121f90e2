//! What every implementation of [`EventLog`] promises, as checks that any of them can be put
//! through. Each takes a fresh log, uses only the trait, and panics with a sentence when the
//! promise is broken. Nothing here sleeps: what is expected is waited for, up to a bound that only
//! a broken log reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use record::{Partition, Position, RecordId, Topic};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::{AppendFailure, Deliveries, Entry, EventLog, LogError, RawRecord, Tail};

/// Only a broken log lets a check wait this long.
const AT_MOST: Duration = Duration::from_secs(240);

const ORDERS: Partition = Partition {
    topic: Topic::Orders,
    number: 0,
};

/// What became of one append.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where it went.
    pub partition: Partition,
    /// Which entry it was.
    pub id: RecordId,
    /// The offset if it was named, or why it failed.
    pub outcome: Result<Option<u64>, AppendFailure>,
}

/// Deliveries that can be waited for.
#[derive(Debug)]
pub struct Heard(mpsc::UnboundedSender<Delivery>);

impl Heard {
    /// What is given to [`EventLog::append`], and where its deliveries arrive.
    pub fn channel() -> (Arc<dyn Deliveries>, mpsc::UnboundedReceiver<Delivery>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Arc::new(Self(sender)), receiver)
    }

    fn tell(
        &self,
        partition: Partition,
        id: RecordId,
        outcome: Result<Option<u64>, AppendFailure>,
    ) {
        // A check that has seen enough does not listen any more.
        let _ = self.0.send(Delivery {
            partition,
            id,
            outcome,
        });
    }
}

impl Deliveries for Heard {
    fn acknowledged(&self, partition: Partition, id: RecordId, offset: Option<u64>) {
        self.tell(partition, id, Ok(offset));
    }

    fn failed(&self, partition: Partition, id: RecordId, failure: AppendFailure) {
        self.tell(partition, id, Err(failure));
    }
}

/// An entry with a new id.
pub fn entry(partition: Partition, key: &str, payload: impl Into<Bytes>) -> Entry {
    Entry {
        partition,
        key: key.to_owned(),
        payload: Some(payload.into()),
        id: RecordId(Uuid::now_v7()),
    }
}

/// Appends the entries and waits until all are acknowledged.
pub async fn append(log: &dyn EventLog, entries: Vec<Entry>) -> Vec<Delivery> {
    let count = entries.len();
    let (deliveries, mut heard) = Heard::channel();
    log.append(entries, &deliveries);
    let delivered = hear(&mut heard, count).await;
    for delivery in &delivered {
        assert!(delivery.outcome.is_ok(), "not acknowledged: {delivery:?}");
    }
    delivered
}

/// Waits for this many deliveries.
pub async fn hear(heard: &mut mpsc::UnboundedReceiver<Delivery>, count: usize) -> Vec<Delivery> {
    let mut delivered = Vec::with_capacity(count);
    while delivered.len() < count {
        let next = in_time(heard.recv()).await;
        delivered.push(next.expect("the log dropped its deliveries before it told them all"));
    }
    delivered
}

/// Waits for the next records, this many over all partitions.
pub async fn read(tail: &mut Tail, count: usize) -> Vec<(Partition, RawRecord)> {
    let mut records = Vec::with_capacity(count);
    while records.len() < count {
        let batch = in_time(tail.next()).await.expect("the tail goes on");
        assert!(!batch.records.is_empty(), "a batch is never empty");
        records.extend(
            batch
                .records
                .into_iter()
                .map(|record| (batch.partition, record)),
        );
    }
    assert_eq!(records.len(), count, "more came than was appended");
    records
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(AT_MOST, work)
        .await
        .expect("the log did not answer in time")
}

fn at(partition: Partition, offset: u64) -> Position {
    Position { partition, offset }
}

fn numbered(partition: Partition, count: usize) -> Vec<Entry> {
    let payload = |i: usize| format!("{{\"number\":{i},\"text\":\"zwölf\\u0000\"}}");
    (0..count)
        .map(|i| entry(partition, &format!("key-{i}"), payload(i)))
        .collect()
}

fn as_appended(entries: &[Entry]) -> Vec<(Bytes, Bytes)> {
    let pair = |entry: &Entry| {
        let key = Bytes::copy_from_slice(entry.key.as_bytes());
        (key, entry.payload.clone().unwrap_or_default())
    };
    entries.iter().map(pair).collect()
}

fn as_read(records: &[(Partition, RawRecord)]) -> Vec<(Bytes, Bytes)> {
    let pair = |(_, record): &(Partition, RawRecord)| (record.key.clone(), record.payload.clone());
    records.iter().map(pair).collect()
}

/// Appended records come back in order, with the same keys and bytes, at growing offsets, and the
/// acknowledged offsets are theirs.
pub async fn appended_records_come_back_in_order(log: Arc<dyn EventLog>) {
    let entries = numbered(ORDERS, 2_500);
    let mut tail = log
        .tail(vec![at(ORDERS, 0)])
        .await
        .expect("a tail from the start");
    let delivered = append(&*log, entries.clone()).await;
    let records = read(&mut tail, entries.len()).await;
    assert_eq!(as_read(&records), as_appended(&entries));
    assert!(
        records
            .windows(2)
            .all(|pair| pair[0].1.offset < pair[1].1.offset)
    );
    let offsets: BTreeMap<RecordId, u64> = delivered
        .iter()
        .filter_map(|delivery| Some((delivery.id, delivery.outcome.clone().ok()??)))
        .collect();
    for (entry, (_, record)) in entries.iter().zip(&records) {
        if let Some(offset) = offsets.get(&entry.id) {
            assert_eq!(
                *offset, record.offset,
                "the acknowledged offset is the record's"
            );
        }
    }
}

/// A tail shows what stands at and after its offset, and nothing before.
pub async fn a_tail_starts_in_the_middle(log: Arc<dyn EventLog>) {
    let entries = numbered(ORDERS, 50);
    append(&*log, entries.clone()).await;
    let mut all = log
        .tail(vec![at(ORDERS, 0)])
        .await
        .expect("a tail from the start");
    let middle = read(&mut all, 50).await[20].1.offset;
    let mut tail = log
        .tail(vec![at(ORDERS, middle)])
        .await
        .expect("a tail from the middle");
    let records = read(&mut tail, 30).await;
    assert_eq!(as_read(&records), as_appended(&entries[20..]));
}

/// A tail that stands at the end shows nothing until something comes.
pub async fn a_tail_from_the_end_waits(log: Arc<dyn EventLog>) {
    append(&*log, numbered(ORDERS, 3)).await;
    let end = in_time(log.extent(ORDERS)).await.expect("the extent").end;
    let mut tail = log
        .tail(vec![at(ORDERS, end)])
        .await
        .expect("a tail from the end");
    assert!(
        tail.try_next().expect("the tail goes on").is_none(),
        "nothing has come yet"
    );
    let entries = vec![entry(ORDERS, "late", "1")];
    append(&*log, entries.clone()).await;
    let records = read(&mut tail, 1).await;
    assert_eq!(as_read(&records), as_appended(&entries));
    assert_eq!(records[0].1.offset, end);
}

/// Two tails are independent: both show everything.
pub async fn two_tails_show_the_same(log: Arc<dyn EventLog>) {
    let mut one = log.tail(vec![at(ORDERS, 0)]).await.expect("a tail");
    let mut other = log.tail(vec![at(ORDERS, 0)]).await.expect("another tail");
    append(&*log, numbered(ORDERS, 100)).await;
    assert_eq!(read(&mut one, 100).await, read(&mut other, 100).await);
}

/// One tail reads many partitions, and each of its batches says which.
pub async fn a_tail_reads_every_partition(log: Arc<dyn EventLog>) {
    let partitions = log.layout().partitions_of_record();
    let from = partitions
        .iter()
        .map(|partition| at(*partition, 0))
        .collect();
    let mut tail = log.tail(from).await.expect("a tail over everything");
    let entries: Vec<Entry> = partitions
        .iter()
        .map(|partition| entry(*partition, "k", partition.to_string()))
        .collect();
    append(&*log, entries).await;
    let records = read(&mut tail, partitions.len()).await;
    let seen: BTreeSet<Partition> = records.iter().map(|(partition, _)| *partition).collect();
    assert_eq!(seen, partitions.into_iter().collect());
    for (partition, record) in records {
        assert_eq!(
            record.payload,
            partition.to_string(),
            "it stands where it was put"
        );
    }
}

/// What does not exist cannot be read from: records are missing, and nothing is skipped.
pub async fn an_offset_past_the_end_is_shortened(log: Arc<dyn EventLog>) {
    append(&*log, numbered(ORDERS, 2)).await;
    let end = in_time(log.extent(ORDERS)).await.expect("the extent").end;
    let beyond = at(ORDERS, end + 1);
    let error = log
        .tail(vec![beyond])
        .await
        .expect_err("a tail past the end");
    assert!(
        matches!(error, LogError::Shortened { wanted, end: e, .. } if wanted == end + 1 && e == end),
        "{error:?}"
    );
    let error = log
        .read_at(at(ORDERS, end))
        .await
        .expect_err("nothing stands at the end");
    assert!(matches!(error, LogError::Shortened { .. }), "{error:?}");
}

/// A record is found at its position, also by many at once.
pub async fn a_record_is_read_at_its_position(log: Arc<dyn EventLog>) {
    let entries = numbered(ORDERS, 40);
    append(&*log, entries).await;
    let mut tail = log.tail(vec![at(ORDERS, 0)]).await.expect("a tail");
    let records = read(&mut tail, 40).await;
    let reads = records.iter().rev().map(|(partition, record)| {
        let (log, position) = (Arc::clone(&log), at(*partition, record.offset));
        tokio::spawn(async move { in_time(log.read_at(position)).await })
    });
    let reads: Vec<_> = reads.collect();
    for (read, (_, record)) in reads.into_iter().zip(records.iter().rev()) {
        let found = read.await.expect("no panic").expect("the record is there");
        assert_eq!(found, *record);
    }
}

/// Records that one task appended one after the other keep their order, whatever other tasks do
/// at the same time; and every delivery is told exactly once.
pub async fn every_task_keeps_its_order(log: Arc<dyn EventLog>) {
    const TASKS: usize = 8;
    const EACH: usize = 200;
    let mut tail = log.tail(vec![at(ORDERS, 0)]).await.expect("a tail");
    let (deliveries, mut heard) = Heard::channel();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (log, deliveries) = (Arc::clone(&log), Arc::clone(&deliveries));
            tokio::spawn(async move {
                // Groups of different sizes, so that the tasks interleave in many ways.
                let mut numbers = (0..EACH).peekable();
                for size in (1..7).cycle() {
                    let group = numbers.by_ref().take(size).collect::<Vec<_>>();
                    if group.is_empty() {
                        break;
                    }
                    let group = group.into_iter();
                    let entries = group
                        .map(|n| entry(ORDERS, &task.to_string(), n.to_string()))
                        .collect();
                    log.append(entries, &deliveries);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    drop(deliveries);
    let delivered = hear(&mut heard, TASKS * EACH).await;
    let ids: BTreeSet<RecordId> = delivered.iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids.len(), TASKS * EACH, "every entry is told once");
    assert!(in_time(heard.recv()).await.is_none(), "and not again");
    let mut by_task = BTreeMap::<Bytes, Vec<usize>>::new();
    for (_, record) in read(&mut tail, TASKS * EACH).await {
        let number = String::from_utf8_lossy(&record.payload)
            .parse()
            .expect("a number");
        by_task.entry(record.key).or_default().push(number);
    }
    for (task, numbers) in by_task {
        assert_eq!(
            numbers,
            (0..EACH).collect::<Vec<_>>(),
            "the order of task {task:?}"
        );
    }
}

/// A payload of exactly the stated size is taken; a larger one is refused for good, and the
/// entries beside it are not.
pub async fn a_larger_payload_than_stated_is_refused(log: Arc<dyn EventLog>) {
    let max = log.payload_bytes_max();
    let noise = |bytes: usize| -> Vec<u8> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..bytes).map(next).collect()
    };
    let (largest, larger) = (noise(max), noise(max + 1));
    let (deliveries, mut heard) = Heard::channel();
    let key = "01890a5d-ac96-774b-bcce-b302099a8057";
    let refused = entry(ORDERS, key, larger);
    let refused_id = refused.id;
    let entries = vec![
        entry(ORDERS, key, largest.clone()),
        refused,
        entry(ORDERS, key, "small"),
    ];
    log.append(entries, &deliveries);
    for delivery in hear(&mut heard, 3).await {
        let refused = matches!(delivery.outcome, Err(AppendFailure::Refused(_)));
        assert_eq!(refused, delivery.id == refused_id, "{delivery:?}");
        assert!(refused || delivery.outcome.is_ok(), "{delivery:?}");
    }
    let mut tail = log.tail(vec![at(ORDERS, 0)]).await.expect("a tail");
    let records = read(&mut tail, 2).await;
    assert_eq!(records[0].1.payload, largest);
    assert_eq!(records[1].1.payload, "small");
}

/// A tombstone comes back with an empty payload, after the record that it ends.
pub async fn a_tombstone_comes_back_empty(log: Arc<dyn EventLog>) {
    let keys = Partition::USER_KEYS;
    let mut tail = log.tail(vec![at(keys, 0)]).await.expect("a tail");
    append(&*log, vec![entry(keys, "key", "sealed")]).await;
    assert_eq!(read(&mut tail, 1).await[0].1.payload, "sealed");
    let tombstone = Entry {
        payload: None,
        ..entry(keys, "key", "")
    };
    append(&*log, vec![tombstone]).await;
    let (_, record) = read(&mut tail, 1).await.remove(0);
    assert_eq!(
        (record.key, record.payload),
        (Bytes::from("key"), Bytes::new())
    );
}

/// One entry can be waited for, and the offset that is named is its own.
pub async fn one_append_can_be_waited_for(log: Arc<dyn EventLog>) {
    let claim = entry(Partition::EPOCHS, "claim", "{}");
    let offset = in_time(log.append_one(claim))
        .await
        .expect("it is acknowledged");
    let extent = in_time(log.extent(Partition::EPOCHS))
        .await
        .expect("the extent");
    assert_eq!((extent.start, extent.end), (0, 1));
    assert!(offset.is_none_or(|offset| offset == 0), "{offset:?}");
    let record = in_time(log.read_at(at(Partition::EPOCHS, 0)))
        .await
        .expect("it is there");
    assert_eq!(record.payload, "{}");
}

/// After a flush every delivery has been told.
pub async fn a_flush_waits_for_everything(log: Arc<dyn EventLog>) {
    let (deliveries, mut heard) = Heard::channel();
    log.append(numbered(ORDERS, 500), &deliveries);
    log.flush(AT_MOST).await;
    let mut told = 0;
    while heard.try_recv().is_ok() {
        told += 1;
    }
    assert_eq!(told, 500);
}

/// A healthy log says so.
pub async fn a_healthy_log_passes_its_probe(log: Arc<dyn EventLog>) {
    in_time(log.probe()).await.expect("it is healthy");
    append(&*log, numbered(ORDERS, 1)).await;
    in_time(log.probe()).await.expect("it is still healthy");
}

/// A tail that is dropped, or that nobody reads, keeps nobody else from anything.
pub async fn a_tail_that_is_not_read_blocks_nobody(log: Arc<dyn EventLog>) {
    let idle = log.tail(vec![at(ORDERS, 0)]).await.expect("a tail");
    let dropped = log.tail(vec![at(ORDERS, 0)]).await.expect("a tail");
    append(&*log, numbered(ORDERS, 100)).await;
    drop(dropped);
    let kilobyte = vec![b'x'; 1_000];
    for _ in 0..20 {
        let entries = (0..1_000)
            .map(|_| entry(ORDERS, "k", kilobyte.clone()))
            .collect();
        append(&*log, entries).await;
    }
    let mut tail = log.tail(vec![at(ORDERS, 0)]).await.expect("a tail");
    let all = read(&mut tail, 20_100).await;
    let mut idle = idle;
    assert_eq!(
        read(&mut idle, 20_100).await,
        all,
        "it shows everything when it is read again"
    );
}

/// What was acknowledged is there for whoever opens the log next, with the same offsets, and
/// offsets go on from there. `reopen` closes the log where only one may be open.
pub async fn acknowledged_records_survive_a_reopening(
    log: Arc<dyn EventLog>,
    reopen: impl AsyncFnOnce(Arc<dyn EventLog>) -> Arc<dyn EventLog>,
) {
    let entries = numbered(ORDERS, 30);
    append(&*log, entries.clone()).await;
    let before = log.extent(ORDERS).await.expect("the extent");
    let log = reopen(log).await;
    assert_eq!(log.extent(ORDERS).await.expect("the extent"), before);
    let late = entry(ORDERS, "late", "1");
    append(&*log, vec![late.clone()]).await;
    let mut tail = log.tail(vec![at(ORDERS, 0)]).await.expect("a tail");
    let records = read(&mut tail, 31).await;
    let appended: Vec<Entry> = entries.into_iter().chain([late]).collect();
    assert_eq!(as_read(&records), as_appended(&appended));
    assert_eq!(records[30].1.offset, before.end);
}
