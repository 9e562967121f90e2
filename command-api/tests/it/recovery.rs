//! Redis fails in every way while orders are placed, on real Redis and real Kafka: nothing is
//! oversold, nothing acknowledged is lost, and nothing needs a hand.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use command_api::commit::CommitError;
use command_api::epoch::EpochState;
use command_api::gate::Refusal;
use command_api::gate::redis::{RedisGate, RedisSettings};
use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use event_log::{Entry, EventLog};
use personal_data::Secrets;
use record::epochs::{EpochEntry, GATE_INTERFACE, Shop};
use record::{Layout, Partition, Position, Record, RecordId};

use crate::commit::Node;

fn environment(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run the tests with `cargo xtask test`"))
}

/// A Redis of the test's own, which it may kill.
struct Redis {
    directory: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Redis {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Self::spawn(&directory, port);
        let redis = Self {
            directory,
            port,
            process,
        };
        redis.wait();
        redis
    }

    fn spawn(directory: &tempfile::TempDir, port: u16) -> Child {
        Command::new(environment("HOLDFAST_TEST_REDIS_SERVER"))
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .args(["--maxmemory-policy", "noeviction", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Waits until it accepts connections.
    fn wait(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < deadline, "Redis did not start");
            std::thread::yield_now();
        }
    }

    /// Sends one command in the inline protocol and waits for its answer.
    fn command(&self, line: &str) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let mut answer = [0; 512];
        let read = stream.read(&mut answer).unwrap();
        assert!(
            !answer.starts_with(b"-"),
            "{}",
            String::from_utf8_lossy(&answer[..read])
        );
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn restart(&mut self) {
        self.kill();
        self.process = Self::spawn(&self.directory, self.port);
        self.wait();
    }

    fn gate(&self) -> Arc<RedisGate> {
        let settings = RedisSettings {
            url: format!("redis://127.0.0.1:{}", self.port),
            namespace: "holdfast".to_owned(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            entries_per_generation: 1000,
        };
        Arc::new(RedisGate::new(&settings).unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn kafka() -> KafkaSettings {
    KafkaSettings {
        brokers: environment("HOLDFAST_TEST_KAFKA"),
        topic_prefix: format!("test-{}.", uuid::Uuid::now_v7()),
        layout_at_creation: Layout {
            users: 1,
            orders: 2,
            inventory: 1,
        },
        replication: Replication::SingleBroker,
        ..KafkaSettings::default()
    }
}

/// Places an order as a client does: again with the same key until the outcome is known.
async fn persistent_order(node: &Node, key: &str) -> Result<uuid::Uuid, Refusal> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match node.order(Some(key), &[("A", 1)]).await {
            Ok(outcome) => return Ok(outcome.value.id.0),
            Err(CommitError::Refused { refusal, .. }) => return Err(refusal),
            Err(
                CommitError::Unavailable(_) | CommitError::OutcomeUnknown(_) | CommitError::Busy,
            ) => assert!(Instant::now() < deadline, "the service does not come back"),
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Every valid order in the log, by a reader of its own.
async fn orders_in_log(log: &dyn EventLog) -> Vec<(RecordId, uuid::Uuid)> {
    let mut orders = vec![];
    for partition in log.layout().partitions_of_record() {
        if partition.topic == record::Topic::Orders {
            orders.extend(orders_in(log, partition).await);
        }
    }
    orders
}

async fn orders_in(log: &dyn EventLog, partition: Partition) -> Vec<(RecordId, uuid::Uuid)> {
    use record::reader::{HighestFence, Standing};
    let end = log.extent(partition).await.unwrap().end;
    let (mut fence, mut seen, mut next) = (HighestFence::default(), vec![], 0);
    let mut tail = log
        .tail(vec![Position {
            partition,
            offset: 0,
        }])
        .await
        .unwrap();
    while next < end {
        for raw in tail.next().await.unwrap().records {
            next = raw.offset + 1;
            let envelope = record::Envelope::decode(&raw.payload).unwrap().0;
            if fence.judge(&envelope) == Standing::Valid {
                let record = Record::decode(&raw.payload).unwrap();
                let order = record.envelope.aggregate_id.parse().unwrap();
                if seen.iter().all(|(id, _)| *id != record.envelope.id) {
                    seen.push((record.envelope.id, order));
                }
            }
        }
    }
    seen
}

/// Sells `stock` to twice as many buyers; something happens to Redis when half of them are under
/// way, and the other half comes after it.
async fn sale_during(stock: i64, happens: impl FnOnce(&mut Redis) + Send) {
    let mut redis = Redis::start();
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let node = Arc::new(Node::over(
        redis.gate(),
        Arc::clone(&log),
        &Arc::new(Secrets::generate()),
    ));
    node.stock("A", stock).await;
    let before = epoch(&node).await;
    let buy = |buyer: i64| {
        let node = Arc::clone(&node);
        tokio::spawn(async move { persistent_order(&node, &format!("buyer-{buyer}")).await })
    };
    let mut buyers: Vec<_> = (0..stock).map(buy).collect();
    happens(&mut redis);
    buyers.extend((stock..stock * 2).map(buy));
    let mut sold = vec![];
    for buyer in buyers {
        match buyer.await.unwrap() {
            Ok(order) => sold.push(order),
            Err(refusal) => assert!(matches!(refusal, Refusal::OutOfStock { .. }), "{refusal:?}"),
        }
    }
    assert_eq!(sold.len() as i64, stock, "every unit is sold, none twice");
    assert!(
        epoch(&node).await > before,
        "what happened must have closed the epoch"
    );
    let mut logged: Vec<_> = orders_in_log(&*log)
        .await
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    logged.sort();
    sold.sort();
    assert_eq!(logged, sold, "what was answered 201 is what the log has");
}

async fn epoch(node: &Node) -> u64 {
    node.commands
        .committer()
        .keeper()
        .open()
        .await
        .unwrap()
        .number()
}

#[tokio::test(flavor = "multi_thread")]
async fn t32_redis_flushed_under_load_is_rebuilt_from_the_log() {
    sale_during(100, |redis| redis.command("FLUSHALL")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t32_redis_killed_and_restarted_empty_is_rebuilt_from_the_log() {
    sale_during(100, Redis::restart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_flushed_under_load_begin_a_new_epoch() {
    sale_during(100, |redis| redis.command("SCRIPT FLUSH")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t37_one_lost_stock_value_is_damage_and_never_unknown_or_unlimited() {
    sale_during(100, |redis| {
        redis.command("EVAL \"for _, key in ipairs(redis.call('KEYS', '*:items')) do redis.call('HDEL', key, 'A') end return 'OK'\" 0");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_find_redis_empty_open_one_epoch_and_sell_exactly_the_stock() {
    let redis = Redis::start();
    let settings = kafka().await;
    let secrets = Arc::new(Secrets::generate());
    let first: Arc<dyn EventLog> = Arc::new(KafkaLog::open(settings.clone()).await.unwrap());
    let second: Arc<dyn EventLog> = Arc::new(KafkaLog::open(settings).await.unwrap());
    let nodes = [
        Arc::new(Node::over(redis.gate(), Arc::clone(&first), &secrets)),
        Arc::new(Node::over(redis.gate(), second, &secrets)),
    ];
    nodes[0].stock("A", 50).await;
    let buyers: Vec<_> = (0..200)
        .map(|buyer| {
            let node = Arc::clone(&nodes[buyer % 2]);
            tokio::spawn(async move { persistent_order(&node, &format!("buyer-{buyer}")).await })
        })
        .collect();
    let mut sold = 0;
    for buyer in buyers {
        sold += i64::from(buyer.await.unwrap().is_ok());
    }
    assert_eq!(sold, 50);
    assert_eq!(orders_in_log(&*first).await.len(), 50);
}

/// A demoted master refuses writes, and whoever claimed there would only fence what serves elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_redis_became_a_replica_claims_nothing() {
    let (redis, promoted) = (Redis::start(), Redis::start());
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let secrets = Arc::new(Secrets::generate());
    let node = Node::over(redis.gate(), Arc::clone(&log), &secrets);
    node.stock("A", 1).await;
    let entries = async || log.extent(Partition::EPOCHS).await.unwrap().end;
    let before = entries().await;

    redis.command(&format!("REPLICAOF 127.0.0.1 {}", promoted.port));
    let refused = node.order(Some("one"), &[("A", 1)]).await;
    assert!(refused.is_err(), "{refused:?}");
    let mut state = node.commands.committer().keeper().state();
    let says_so = |state: &EpochState| matches!(state, EpochState::Unready(why) if why.contains("not the primary"));
    state.wait_for(says_so).await.unwrap();
    assert_eq!(entries().await, before, "nothing was claimed");

    redis.command("REPLICAOF NO ONE");
    assert!(persistent_order(&node, "one").await.is_ok());
}

/// A newer program has opened the gate's epoch by rules that this one does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_know_what_was_claimed_adopts_no_epoch() {
    let redis = Redis::start();
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let secrets = Arc::new(Secrets::generate());
    let first = Node::over(redis.gate(), Arc::clone(&log), &secrets);
    first.stock("A", 1).await;
    let claims = first.commands.committer().keeper().history();
    let shop = claims.borrow().claims[0].shop.clone();
    append(&*log, &claim(&*log, GATE_INTERFACE + 1, shop)).await;

    let second = Node::over(redis.gate(), Arc::clone(&log), &secrets);
    let mut state = second.commands.committer().keeper().state();
    let decided = state.wait_for(|state| !matches!(state, EpochState::Unready(_)));
    let decided = decided.await.unwrap().clone();
    assert!(matches!(&decided, EpochState::Unfit(why) if why.contains("newer program")));
}

/// Another node opens an epoch, in which a retry of what waits here may be refused, before this
/// one opens its own: then what waits is not decided any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_next_epoch_and_for_no_later_one() {
    let (redis, promoted) = (Redis::start(), Redis::start());
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let secrets = Arc::new(Secrets::generate());
    let node = Node::over(redis.gate(), Arc::clone(&log), &secrets);
    node.stock("A", 1).await;
    let keeper = node.commands.committer().keeper();
    redis.command(&format!("REPLICAOF 127.0.0.1 {}", promoted.port));
    assert!(node.order(None, &[("A", 1)]).await.is_err());
    let mut waiting = Box::pin(keeper.open());
    assert!(futures::poll!(&mut waiting).is_pending());

    let (shop, base) = {
        let history = keeper.history();
        let history = history.borrow();
        (history.claims[0].shop.clone(), history.claims[0].base)
    };
    let claimed = append(&*log, &claim(&*log, GATE_INTERFACE, shop)).await;
    let (epoch, fences) = (claimed + base, Default::default());
    append(&*log, &EpochEntry::Opened { epoch, fences }).await;
    redis.command("REPLICAOF NO ONE");
    let refused = waiting.await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(persistent_order(&node, "one").await.is_ok());
}

fn claim(log: &dyn EventLog, interface: u32, shop: Shop) -> EpochEntry {
    EpochEntry::Claim {
        id: uuid::Uuid::now_v7(),
        interface,
        layout: log.layout(),
        shop,
        base: 0,
        node: uuid::Uuid::now_v7(),
    }
}

/// Appends to the topic of epochs as another node does; the offset.
async fn append(log: &dyn EventLog, entry: &EpochEntry) -> u64 {
    let entry = Entry {
        partition: Partition::EPOCHS,
        key: "epochs".to_owned(),
        payload: Some(entry.encode().into()),
        id: RecordId(uuid::Uuid::now_v7()),
    };
    log.append_one(entry).await.unwrap().unwrap()
}
