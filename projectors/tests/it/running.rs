//! Projectors that run by themselves, over Kafka with several partitions and over one file.

use std::sync::Arc;

use event_log::EventLog;
use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use projectors::{PartitionStatus, Projectors, digest, replay};
use query_api::read_model::{OrdersFilter, Paging};
use record::{AggregateType, Events, Layout, Topic};
use tokio_util::sync::CancellationToken;

use crate::fixture::{Place, drain, sqlite_log};
use crate::shop::{Shop, sku};

async fn kafka_log() -> Arc<dyn EventLog> {
    let brokers = std::env::var("HOLDFAST_TEST_KAFKA")
        .expect("HOLDFAST_TEST_KAFKA is missing: run these tests with `cargo xtask test`");
    let settings = KafkaSettings {
        brokers,
        topic_prefix: format!("projectors-{}.", uuid::Uuid::new_v4()),
        layout_at_creation: Layout {
            users: 1,
            orders: 3,
            inventory: 2,
        },
        replication: Replication::SingleBroker,
        ..KafkaSettings::default()
    };
    Arc::new(KafkaLog::open(settings).await.unwrap())
}

fn start(log: &Arc<dyn EventLog>, place: &Place) -> Projectors {
    Projectors::start(
        Arc::clone(log),
        place.read_models(),
        2,
        CancellationToken::new(),
    )
}

fn of(status: &[PartitionStatus], topic: Topic) -> &PartitionStatus {
    status
        .iter()
        .find(|status| status.partition.topic == topic)
        .unwrap()
}

async fn projectors_over_kafka_catch_up_and_replay(place: &Place) {
    let log = kafka_log().await;
    let mut shop = Shop::open(log.clone()).await;
    let running = start(&log, place);
    for number in 0..4 {
        let id = format!("S-{number}");
        shop.put(&id, "Lamp", None).await;
        shop.move_stock(&id, 100).await;
        shop.register(number).await;
    }
    for user in 0..30 {
        let (order, _) = shop.order(user, &[("S-0", 1), ("S-3", 2)]).await;
        if user % 4 == 0 {
            shop.cancel(order).await;
        }
    }
    running.caught_up().await.unwrap();
    let status = running.status().await;
    assert_eq!(status.len(), 7);
    assert!(
        status.iter().all(PartitionStatus::is_caught_up),
        "{status:?}"
    );
    let item = place.queries().item(&sku("S-3")).await.unwrap().unwrap();
    assert_eq!((item.supplied, item.held), (100, 44));

    // The tables change places while the projectors go on.
    let before = digest(&place.read_models()).await.unwrap();
    let replayed = replay(log.clone(), &place.read_models(), |_| {})
        .await
        .unwrap();
    assert_eq!(replayed.digest, before);
    shop.order(1, &[("S-3", 2)]).await;
    running.caught_up().await.unwrap();
    let item = place.queries().item(&sku("S-3")).await.unwrap().unwrap();
    assert_eq!(item.held, 46);
    running.stop().await;
}

async fn two_teams_of_projectors_count_everything_once(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let (one, two) = (start(&log, place), start(&log, place));
    for user in 0..50 {
        shop.order(user, &[("A", 1)]).await;
    }
    one.caught_up().await.unwrap();
    two.caught_up().await.unwrap();
    one.stop().await;
    two.stop().await;
    let item = place.queries().item(&sku("A")).await.unwrap().unwrap();
    assert_eq!(item.held, 50);
    let filter = OrdersFilter::default();
    let orders = place
        .queries()
        .orders(&filter, &Paging::first(200))
        .await
        .unwrap();
    assert_eq!(orders.items.len(), 50);
}

async fn a_partition_that_stands_still_is_named_and_leaves_the_others_running(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let time = shop.now();
    let skipping = shop.encode("A", 3, time, Events::Inventory(vec![]));
    let partition = shop.partition(AggregateType::Inventory, "A");
    let gap = shop.append(partition, "A", Some(skipping)).await;
    let running = Projectors::start(
        log.clone(),
        place.read_models(),
        1,
        CancellationToken::new(),
    );
    let why = running.caught_up().await.unwrap_err().to_string();
    assert!(why.contains(&gap.to_string()), "{why}");
    let user = shop.register(1).await;
    let mut known = None;
    while known.is_none() {
        // The users' partition is taken in by the same task.
        known = place.queries().user(user).await.unwrap();
        tokio::task::yield_now().await;
    }
    let status = running.status().await;
    let inventory = of(&status, Topic::Inventory);
    assert_eq!(inventory.lag(), Some(1));
    assert!(
        inventory
            .error
            .as_deref()
            .is_some_and(|error| error.contains("records are missing"))
    );
    assert!(!inventory.is_caught_up());
    running.stop().await;
}

/// (R07)
async fn a_checkpoint_that_is_not_in_the_log_never_looks_caught_up(place: &Place) {
    let (log, _folder) = sqlite_log();
    Shop::open(log.clone()).await;
    drain(&log, place).await;
    place
        .execute("UPDATE checkpoints SET next_offset = 99 WHERE topic = 'orders'")
        .await;
    let running = start(&log, place);
    let why = running.caught_up().await.unwrap_err().to_string();
    assert!(why.contains("records are missing"), "{why}");
    let status = running.status().await;
    let orders = of(&status, Topic::Orders);
    assert_eq!(orders.lag(), None);
    assert!(!orders.is_caught_up());
    running.stop().await;
}

/// A backup was restored, or another process replayed: nothing comes, and nothing fails. (T31)
async fn rows_that_were_set_back_under_idle_projectors_are_brought_forward(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let running = start(&log, place);
    running.caught_up().await.unwrap();
    let begin = match place {
        Place::MySql { .. } => "START TRANSACTION",
        Place::Sqlite { .. } => "BEGIN IMMEDIATE",
    };
    place
        .execute(&format!(
            "{begin}; DELETE FROM inventory; \
             UPDATE checkpoints SET next_offset = 0, highest_fence = 0; COMMIT"
        ))
        .await;
    let mut shown = None;
    while shown.is_none() {
        shown = place.queries().item(&sku("A")).await.unwrap();
        tokio::task::yield_now().await;
    }
    running.caught_up().await.unwrap();
    running.stop().await;
}

async fn projectors_of_a_log_without_an_epoch_wait_for_it(place: &Place) {
    let (log, _folder) = sqlite_log();
    let running = start(&log, place);
    let status = running.status().await;
    assert!(status.iter().all(|status| !status.is_caught_up()));
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    running.caught_up().await.unwrap();
    running.stop().await;
    assert!(place.queries().item(&sku("A")).await.unwrap().is_some());
}

on_both_stores!(
    projectors_over_kafka_catch_up_and_replay,
    two_teams_of_projectors_count_everything_once,
    a_partition_that_stands_still_is_named_and_leaves_the_others_running,
    a_checkpoint_that_is_not_in_the_log_never_looks_caught_up,
    rows_that_were_set_back_under_idle_projectors_are_brought_forward,
    projectors_of_a_log_without_an_epoch_wait_for_it,
);
