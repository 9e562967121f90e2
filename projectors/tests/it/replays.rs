//! A replay from nothing gives the same rows, beside whatever goes on.

use std::sync::Mutex;

use domain::order::OrderStatus;
use projectors::{ProjectorError, ReplayError, ReplayProgress, StoreError, digest, replay};
use query_api::read_model::{OrdersFilter, Paging};
use record::{Partition, Topic};

use crate::fixture::{Place, drain, projector, reopened, sqlite_log};
use crate::shop::{Shop, sku};

fn inventory() -> Partition {
    let (topic, number) = (Topic::Inventory, 0);
    Partition { topic, number }
}

async fn busy_shop(shop: &mut Shop) {
    for number in 0..5 {
        let id = format!("S-{number}");
        shop.put(&id, "Lamp", Some("light")).await;
        shop.move_stock(&id, 100).await;
        shop.register(number).await;
    }
    for user in 0..20 {
        let (order, _) = shop.order(user, &[("S-1", 2), ("S-3", 1)]).await;
        if user % 3 == 0 {
            shop.cancel(order).await;
        }
        if user == 10 {
            shop.next_epoch().await;
        }
    }
}

async fn a_replay_gives_the_same_rows_as_live(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    busy_shop(&mut shop).await;
    drain(&log, place).await;
    let live = place.read_models();
    let before = digest(&live).await.unwrap();
    let shown: Mutex<Vec<ReplayProgress>> = Mutex::default();
    let replayed = replay(log.clone(), &live, |progress| {
        shown.lock().unwrap().push(progress)
    })
    .await
    .unwrap();
    assert_eq!(replayed.digest, before);
    assert_eq!(digest(&live).await.unwrap(), before);
    assert!(replayed.differences.is_empty());
    assert!(
        before.tables.iter().all(|table| table.rows > 0),
        "{before:?}"
    );
    let last = *shown.lock().unwrap().last().unwrap();
    assert_eq!(
        (last.done, last.total),
        (replayed.records, replayed.records)
    );
}

async fn after_a_replay_everything_goes_on(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    busy_shop(&mut shop).await;
    // These were at work before the tables changed places, and know nothing of it.
    let read_models = place.read_models();
    let mut projector = projector(&log, read_models.clone()).await;
    projector.run_until_caught_up().await.unwrap();
    let queries = place.queries();
    let filter = OrdersFilter {
        user: None,
        status: Some(OrderStatus::Placed),
    };
    let orders = queries.orders(&filter, &Paging::first(200)).await.unwrap();

    for _ in 0..2 {
        replay(log.clone(), &read_models, |_| {}).await.unwrap();
        let again = queries.orders(&filter, &Paging::first(200)).await.unwrap();
        assert_eq!(again, orders);
    }
    shop.move_stock("S-0", 7).await;
    // The checkpoint is the same, the tables are not: what it may have read of the old rows is not
    // written to these.
    let error = projector.run_until_caught_up().await.unwrap_err();
    let fenced = ProjectorError::Store(StoreError::Fenced(inventory()));
    assert_eq!(error.to_string(), fenced.to_string());
    projector.run_until_caught_up().await.unwrap();
    let item = queries.item(&sku("S-0")).await.unwrap().unwrap();
    assert_eq!(item.supplied, 107);
}

async fn a_replay_names_what_was_damaged_and_mends_it(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    busy_shop(&mut shop).await;
    drain(&log, place).await;
    let before = digest(&place.read_models()).await.unwrap();
    place
        .execute("UPDATE inventory SET held = held + 1 WHERE sku = 'S-3'")
        .await;
    place.execute("DELETE FROM users").await;
    let replayed = replay(log, &place.read_models(), |_| {}).await.unwrap();
    assert_eq!(replayed.differences, ["inventory", "users"]);
    assert_eq!(digest(&place.read_models()).await.unwrap(), before);
}

/// One damaged row holds up its own partition only, and a replay mends it. (R07)
async fn a_damaged_row_leaves_the_other_partitions_running(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    busy_shop(&mut shop).await;
    drain(&log, place).await;
    place
        .execute("UPDATE inventory SET status = 'nonsense' WHERE sku = 'S-3'")
        .await;
    let mut projector = projector(&log, place.read_models()).await;
    projector.run_until_caught_up().await.unwrap();
    shop.put("S-3", "Lamp", Some("light")).await;
    let error = projector.run_until_caught_up().await.unwrap_err();
    assert_eq!(error.stopped_partition(), Some(inventory()), "{error}");
    replay(log.clone(), &place.read_models(), |_| {})
        .await
        .unwrap();
    drain(&log, place).await;
}

async fn rows_of_another_fold_are_replaced(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    busy_shop(&mut shop).await;
    drain(&log, place).await;
    place
        .execute("UPDATE log_source SET fold_version = 0")
        .await;
    replay(log.clone(), &place.read_models(), |_| {})
        .await
        .unwrap();
    drain(&log, place).await;
}

async fn a_log_that_lost_records_is_not_replayed(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    busy_shop(&mut shop).await;
    drain(&log, place).await;
    let before = digest(&place.read_models()).await.unwrap();
    place
        .execute("UPDATE checkpoints SET next_offset = 999 WHERE topic = 'orders'")
        .await;
    let error = replay(log, &place.read_models(), |_| {}).await.unwrap_err();
    assert!(matches!(error, ReplayError::Projector(_)), "{error}");
    assert_eq!(digest(&place.read_models()).await.unwrap(), before);
}

/// The live rows stand behind an entry that was compacted away since: nothing comes there any more.
async fn a_replay_passes_what_was_compacted_away(place: &Place) {
    let (log, folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    let user = shop.register(1).await;
    drain(&log, place).await;
    let user = place.queries().user(user).await.unwrap().unwrap();
    let key = user.key_id.to_string();
    let erased = shop.append(Partition::USER_KEYS, &key, None).await;
    // What it showed last a log still has in memory.
    drop((log, shop));
    let log = reopened(&folder);
    let end = log.extent(Partition::USER_KEYS).await.unwrap().end;
    assert_eq!((erased.offset, end), (1, 2));
    replay(log.clone(), &place.read_models(), |_| {})
        .await
        .unwrap();
    drain(&log, place).await;
}

/// It would wait for a first claim, and hold the lock meanwhile.
async fn a_log_that_has_nothing_is_not_replayed(place: &Place) {
    let (log, _folder) = sqlite_log();
    let error = replay(log, &place.read_models(), |_| {}).await.unwrap_err();
    assert!(matches!(error, ReplayError::Empty), "{error}");
}

async fn only_one_replay_at_a_time(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    busy_shop(&mut shop).await;
    drain(&log, place).await;
    let read_models = place.read_models();
    let (one, two) = tokio::join!(
        replay(log.clone(), &read_models, |_| {}),
        replay(log.clone(), &read_models, |_| {}),
    );
    let outcomes = [one, two];
    assert!(outcomes.iter().any(Result::is_ok));
    let busy = |outcome: &&Result<_, _>| matches!(outcome, Err(ReplayError::Busy));
    assert_eq!(outcomes.iter().filter(busy).count(), 1);
    // Once it is over, the next one may.
    replay(log, &read_models, |_| {}).await.unwrap();
}

on_both_stores!(
    a_replay_gives_the_same_rows_as_live,
    after_a_replay_everything_goes_on,
    a_replay_names_what_was_damaged_and_mends_it,
    a_damaged_row_leaves_the_other_partitions_running,
    rows_of_another_fold_are_replaced,
    a_log_that_lost_records_is_not_replayed,
    a_replay_passes_what_was_compacted_away,
    a_log_that_has_nothing_is_not_replayed,
    only_one_replay_at_a_time,
);
