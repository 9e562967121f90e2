//! A broker of one's own, to be killed and paused under load.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use event_log::conformance::{Delivery, Heard, entry, hear};
use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use event_log::{AppendFailure, Entry, EventLog, LogError, Tail};
use record::{Layout, Partition, Position, RecordId, Topic};
use tempfile::TempDir;
use tokio::sync::Notify;

const ORDERS: Partition = Partition {
    topic: Topic::Orders,
    number: 0,
};

/// Below the range from which Linux takes the ports of outgoing connections and of listeners on
/// port 0, so that neither takes the broker's before its start, or while it is killed.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// A KRaft node with ports and a directory of its own; killed when it is dropped.
struct Broker {
    directory: TempDir,
    port: u16,
    node: Child,
}

impl Broker {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (port, controller) = (free_port(), free_port());
        let data = directory.path().join("data");
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=1\n\
             auto.create.topics.enable=false\nlog.cleaner.dedupe.buffer.size=16777216\n",
            data.display()
        );
        let settings = directory.path().join("server.properties");
        std::fs::write(&settings, properties).expect("its settings are written");
        let formatted = java("kafka.tools.StorageTool")
            .args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c"])
            .arg(&settings)
            .status();
        assert!(
            formatted.expect("java runs").success(),
            "the broker's storage is formatted"
        );
        let node = start_node(directory.path());
        Self {
            directory,
            port,
            node,
        }
    }

    /// As a power cut would, but for what the kernel still writes.
    fn kill(&mut self) {
        self.node.kill().expect("the broker is killed");
        self.node.wait().expect("the broker is gone");
    }

    fn restart(&mut self) {
        self.node = start_node(self.directory.path());
    }

    fn signal(&self, name: &str) {
        let pid = self.node.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// The log, as soon as the broker answers.
    async fn log(&self, message_timeout: Duration) -> Arc<KafkaLog> {
        let settings = KafkaSettings {
            brokers: format!("127.0.0.1:{}", self.port),
            layout_at_creation: Layout::uniform(1),
            replication: Replication::SingleBroker,
            message_timeout,
            ..KafkaSettings::default()
        };
        for _ in 0..24 {
            match KafkaLog::open(settings.clone()).await {
                Ok(log) => return Arc::new(log),
                Err(LogError::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the broker does not come up");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

/// A port that this process gives to nobody else, from a place that differs from process to process.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    let begin = std::process::id().wrapping_mul(97) % count;
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(next < count, "no port below {} is free", PORTS.end);
        let port = u32::from(PORTS.start) + (begin + next) % count;
        let port = u16::try_from(port).expect("it is in the range");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn start_node(directory: &Path) -> Child {
    let settings = directory.join("server.properties");
    java("kafka.Kafka")
        .arg(settings)
        .spawn()
        .expect("the broker starts")
}

fn java(class: &str) -> Command {
    let variable = |name| {
        std::env::var_os(name)
            .unwrap_or_else(|| panic!("{name} is not set; `cargo xtask test` installs and sets it"))
    };
    let libraries = PathBuf::from(variable("HOLDFAST_TEST_KAFKA_LIBS")).join("*");
    let mut command = Command::new(variable("HOLDFAST_TEST_JAVA"));
    command
        .args([
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-cp",
        ])
        .arg(libraries)
        .arg(class)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Appends for as long as it is let, and again whatever is of unknown outcome or was not started,
/// as the commit path does. Gives what was acknowledged.
async fn load(
    log: Arc<KafkaLog>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    more: Arc<Notify>,
) -> BTreeSet<Bytes> {
    let mut all = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let entries = (0..20).map(|_| {
            let id = uuid::Uuid::now_v7().to_string();
            entry(ORDERS, "k", id)
        });
        let mut left: BTreeMap<RecordId, Entry> = entries.map(|entry| (entry.id, entry)).collect();
        all.extend(left.values().filter_map(|entry| entry.payload.clone()));
        while !left.is_empty() {
            let (deliveries, mut heard) = Heard::channel();
            log.append(left.values().cloned().collect(), &deliveries);
            for Delivery { id, outcome, .. } in hear(&mut heard, left.len()).await {
                match outcome {
                    Ok(_) => drop(left.remove(&id)),
                    Err(AppendFailure::Unknown(_) | AppendFailure::NotStarted(_)) => {}
                    Err(refused) => panic!("{refused}"),
                }
            }
        }
        acknowledged.store(all.len(), Ordering::Relaxed);
        more.notify_one();
    }
    all
}

/// Reads until all of these were seen.
async fn read_all(mut tail: Tail, mut missing: BTreeSet<Bytes>) {
    while !missing.is_empty() {
        let batch = tokio::time::timeout(Duration::from_secs(240), tail.next()).await;
        let batch = batch
            .expect("everything acknowledged comes")
            .expect("the tail goes on");
        for record in batch.records {
            missing.remove(&record.payload);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_under_load_loses_nothing_and_the_tail_goes_on() {
    let mut broker = Broker::start();
    let log = broker.log(Duration::from_secs(15)).await;
    let start = Position {
        partition: ORDERS,
        offset: 0,
    };
    let tail = log.tail(vec![start]).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (acknowledged, more) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let loading = tokio::spawn(load(
        Arc::clone(&log),
        Arc::clone(&stop),
        Arc::clone(&acknowledged),
        Arc::clone(&more),
    ));
    let reach = async |count| {
        while acknowledged.load(Ordering::Relaxed) < count {
            more.notified().await;
        }
    };
    for round in 1..=2 {
        reach(500 * round).await;
        broker.kill();
        broker.restart();
        let so_far = acknowledged.load(Ordering::Relaxed);
        reach(so_far + 200).await;
    }
    stop.store(true, Ordering::Relaxed);
    let appended = loading.await.unwrap();
    read_all(tail, appended.clone()).await;
    read_all(log.tail(vec![start]).await.unwrap(), appended).await;
    log.probe().await.expect("the topics are the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_to_a_paused_broker_is_of_unknown_outcome_and_can_be_repeated() {
    let broker = Broker::start();
    let log = broker.log(Duration::from_secs(2)).await;
    // The log gives up an append soon, on a busy machine perhaps this one too.
    let before = entry(ORDERS, "k", "before");
    while log.append_one(before.clone()).await.is_err() {}
    let tail = log
        .tail(vec![Position {
            partition: ORDERS,
            offset: 0,
        }])
        .await
        .unwrap();
    broker.signal("-STOP");
    let held_up = entry(ORDERS, "k", "held up");
    let error = log.append_one(held_up.clone()).await.unwrap_err();
    assert!(
        matches!(error, LogError::Append(AppendFailure::Unknown(_))),
        "{error:?}"
    );
    broker.signal("-CONT");
    while log.append_one(held_up.clone()).await.is_err() {}
    let expected = ["before", "held up"].map(Bytes::from);
    read_all(tail, expected.into()).await;
}
