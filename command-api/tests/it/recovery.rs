//! Redis fails in every way while orders are placed, on real Redis and real Kafka: nothing is
//! oversold, nothing acknowledged is lost, and nothing needs a hand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use command_api::clock::SystemClock;
use command_api::commit::CommitError;
use command_api::epoch::EpochState;
use command_api::gate::Refusal;
use command_api::gate::redis::{RedisGate, RedisSettings};
use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use event_log::{Entry, EventLog};
use personal_data::Secrets;
use record::epochs::{EpochEntry, GATE_INTERFACE, Shop};
use record::{Layout, Partition, Position, Record, RecordId};

use crate::commit::{Node, PATIENCE, refusal};
use crate::gate::redis::environment;
use crate::gate::redis::server::Server;

/// The gate that a node has there. Servers fail here, so it does not wait for long.
fn gate(redis: &Server) -> Arc<RedisGate> {
    let settings = RedisSettings {
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(2),
        entries_per_generation: 1000,
        ..redis.settings()
    };
    Arc::new(RedisGate::new(&settings).unwrap())
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
    let deadline = Instant::now() + PATIENCE;
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
async fn sale_during(stock: i64, happens: impl FnOnce(&mut Server) + Send) {
    let mut redis = Server::start(&[]);
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let node = Arc::new(Node::over(
        gate(&redis),
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
    sale_during(100, |redis| redis.order("FLUSHALL")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t32_redis_killed_and_restarted_empty_is_rebuilt_from_the_log() {
    sale_during(100, |redis| {
        redis.kill();
        redis.start_again();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_flushed_under_load_begin_a_new_epoch() {
    sale_during(100, |redis| redis.order("SCRIPT FLUSH")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t37_one_lost_stock_value_is_damage_and_never_unknown_or_unlimited() {
    sale_during(100, |redis| {
        let key = redis.key("items");
        redis.order(&format!("HDEL {key} A"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_find_redis_empty_open_one_epoch_and_sell_exactly_the_stock() {
    let redis = Server::start(&[]);
    let settings = kafka().await;
    let secrets = Arc::new(Secrets::generate());
    let first: Arc<dyn EventLog> = Arc::new(KafkaLog::open(settings.clone()).await.unwrap());
    let second: Arc<dyn EventLog> = Arc::new(KafkaLog::open(settings).await.unwrap());
    let nodes = [
        Arc::new(Node::over(gate(&redis), Arc::clone(&first), &secrets)),
        Arc::new(Node::over(gate(&redis), second, &secrets)),
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
    let (redis, promoted) = (Server::start(&[]), Server::start(&[]));
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let secrets = Arc::new(Secrets::generate());
    let node = Node::over(gate(&redis), Arc::clone(&log), &secrets);
    node.stock("A", 1).await;
    let entries = async || log.extent(Partition::EPOCHS).await.unwrap().end;
    let before = entries().await;

    redis.order(&format!("REPLICAOF 127.0.0.1 {}", promoted.port()));
    let refused = node.order(Some("one"), &[("A", 1)]).await;
    assert!(refused.is_err(), "{refused:?}");
    let mut state = node.commands.committer().keeper().state();
    let says_so = |state: &EpochState| matches!(state, EpochState::Unready(why) if why.contains("not the primary"));
    state.wait_for(says_so).await.unwrap();
    assert_eq!(entries().await, before, "nothing was claimed");

    redis.order("REPLICAOF NO ONE");
    assert!(persistent_order(&node, "one").await.is_ok());
}

/// A newer program has opened the gate's epoch by rules that this one does not know.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_know_what_was_claimed_adopts_no_epoch() {
    let redis = Server::start(&[]);
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let secrets = Arc::new(Secrets::generate());
    let first = Node::over(gate(&redis), Arc::clone(&log), &secrets);
    first.stock("A", 1).await;
    let claims = first.commands.committer().keeper().history();
    let shop = claims.borrow().claims[0].shop.clone();
    append(&*log, &claim(&*log, GATE_INTERFACE + 1, shop)).await;

    let second = Node::over(gate(&redis), Arc::clone(&log), &secrets);
    let mut state = second.commands.committer().keeper().state();
    let decided = state.wait_for(|state| !matches!(state, EpochState::Unready(_)));
    let decided = decided.await.unwrap().clone();
    assert!(matches!(&decided, EpochState::Unfit(why) if why.contains("newer program")));
}

/// Another node opens an epoch, in which a retry of what waits here may be refused, before this
/// one opens its own: then what waits is not decided any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_next_epoch_and_for_no_later_one() {
    let (redis, promoted) = (Server::start(&[]), Server::start(&[]));
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let secrets = Arc::new(Secrets::generate());
    let node = Node::over(gate(&redis), Arc::clone(&log), &secrets);
    node.stock("A", 1).await;
    let keeper = node.commands.committer().keeper();
    redis.order(&format!("REPLICAOF 127.0.0.1 {}", promoted.port()));
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
    redis.order("REPLICAOF NO ONE");
    let refused = waiting.await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(persistent_order(&node, "one").await.is_ok());
}

/// Redis answers, but takes no write until [`go_on`]: a rebuild stays half done.
fn hold(redis: &Server) {
    // At once, so that no rebuild ends in between.
    let mut both = redis::pipe();
    both.cmd("FLUSHALL");
    both.cmd("CLIENT").arg(&["PAUSE", "600000", "WRITE"]);
    both.exec(&mut redis.connection()).expect("Redis does both");
}

fn go_on(redis: &Server) {
    redis.order("CLIENT UNPAUSE");
}

/// A node that has lost its gate and has folded all of the log, but cannot write.
async fn recovering(redis: &Server, recovery_wait: Duration) -> Node {
    let log: Arc<dyn EventLog> = Arc::new(KafkaLog::open(kafka().await).await.unwrap());
    let gate = Arc::new(redis.gate().unwrap());
    let (secrets, clock) = (Arc::new(Secrets::generate()), Arc::new(SystemClock));
    let node = Node::tuned(gate, log, &secrets, clock, |settings| {
        settings.recovery_wait = recovery_wait;
    });
    let mut state = node.commands.committer().keeper().state();
    let open = |state: &EpochState| matches!(state, EpochState::Open(_));
    state.wait_for(open).await.unwrap();
    node.stock("A", 1).await;
    // The node finds out by itself.
    hold(redis);
    let folded = |state: &EpochState| {
        let EpochState::Recovering { progress, .. } = state else {
            return false;
        };
        progress.total > 0 && progress.folded >= progress.total && progress.pieces > 0
    };
    let folded = state.wait_for(folded);
    let folded = tokio::time::timeout(PATIENCE, folded).await;
    folded.expect("all is folded").unwrap();
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_a_recovery_for_a_bounded_time_and_hears_how_far_it_is() {
    let redis = Server::start(&[]);
    // Longer than by default, so that no clock has to be quick to tell the two apart.
    let wait = Duration::from_secs(6);
    let node = recovering(&redis, wait).await;
    let began = Instant::now();
    let answered = node.order(Some("one"), &[("A", 1)]).await;
    let waited = began.elapsed();
    let Err(CommitError::Unavailable(why)) = answered else {
        panic!("{answered:?}")
    };
    let percent = why.strip_prefix("recovering, ").unwrap();
    let percent: u64 = percent.split(" % (").next().unwrap().parse().unwrap();
    assert!((1..100).contains(&percent), "{why}");
    assert!(wait <= waited, "{waited:?}");
    go_on(&redis);
    assert!(persistent_order(&node, "one").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_still_waits_when_a_recovery_is_over_is_decided() {
    let redis = Server::start(&[]);
    let node = recovering(&redis, Duration::from_secs(60)).await;
    let mut waiting = Box::pin(node.order(Some("one"), &[("A", 1)]));
    assert!(futures::poll!(&mut waiting).is_pending());
    go_on(&redis);
    assert!(!waiting.await.unwrap().replayed);
    assert!(matches!(
        refusal(node.order(None, &[("A", 1)]).await),
        Refusal::OutOfStock { .. }
    ));
}

pub(crate) fn claim(log: &dyn EventLog, interface: u32, shop: Shop) -> EpochEntry {
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
pub(crate) async fn append(log: &dyn EventLog, entry: &EpochEntry) -> u64 {
    let entry = Entry {
        partition: Partition::EPOCHS,
        key: "epochs".to_owned(),
        payload: Some(entry.encode().into()),
        id: RecordId(uuid::Uuid::now_v7()),
    };
    log.append_one(entry).await.unwrap().unwrap()
}
