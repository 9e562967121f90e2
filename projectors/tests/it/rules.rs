//! The reader's rule and the fence: every record counts once, and none is skipped unjudged.

use projectors::{Progress, ProjectorError, StopReason, StoreError};
use record::{AggregateType, Events, Topic};

use crate::fixture::{Place, drain, projector, sqlite_log};
use crate::shop::{Shop, sku};

async fn what_was_placed_and_cancelled_is_in_the_rows(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", Some("light")).await;
    shop.move_stock("A", 10).await;
    let (kept, _) = shop.order(1, &[("A", 3)]).await;
    let (given_up, _) = shop.order(2, &[("A", 2)]).await;
    let last = shop.cancel(given_up).await;
    drain(&log, place).await;

    let queries = place.queries();
    let item = queries.item(&sku("A")).await.unwrap().unwrap();
    assert_eq!((item.supplied, item.held, item.available()), (10, 3, 7));
    assert!(!item.settling());
    let order = queries.order(kept).await.unwrap().unwrap();
    assert_eq!((order.version, order.history.len()), (1, 1));
    let order = queries.order(given_up).await.unwrap().unwrap();
    assert_eq!(
        order.state.cancelled.unwrap().reason.unwrap().as_str(),
        "changed 'my' mind"
    );
    assert!(queries.seen(&[last]).await.unwrap());
}

async fn a_record_delivered_twice_counts_once(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let supply = shop.move_stock("A", 10).await;
    let (_, placed) = shop.order(1, &[("A", 3)]).await;
    for position in [supply, placed, placed] {
        let copy = log.read_at(position).await.unwrap();
        let key = String::from_utf8(copy.key.to_vec()).unwrap();
        shop.append(position.partition, &key, Some(copy.payload.to_vec()))
            .await;
    }
    drain(&log, place).await;
    let copy = log.read_at(placed).await.unwrap();
    shop.append(placed.partition, "", Some(copy.payload.to_vec()))
        .await;
    drain(&log, place).await;

    let queries = place.queries();
    let item = queries.item(&sku("A")).await.unwrap().unwrap();
    assert_eq!((item.supplied, item.held), (10, 3));
    let paging = query_api::read_model::Paging::first(10);
    let ledger = queries.movements(&sku("A"), &paging).await.unwrap();
    assert_eq!(ledger.items.len(), 2);
}

async fn a_record_behind_a_newer_fence_is_void_even_if_it_cannot_be_read(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let time = shop.now();
    let moved = shop.encode("A", 2, time, Events::Inventory(vec![]));
    let mut damaged = moved.clone();
    damaged.truncate(damaged.len() - 3);
    damaged.push(b'}');
    shop.next_epoch().await;
    // The fence is in the checkpoint by the time the late records come: the projector that sees
    // them has not seen it.
    drain(&log, place).await;
    let partition = shop.partition(AggregateType::Inventory, "A");
    shop.append(partition, "A", Some(damaged)).await;
    shop.append(partition, "A", Some(moved)).await;
    drain(&log, place).await;
    let queries = place.queries();
    assert_eq!(queries.item(&sku("A")).await.unwrap().unwrap().version, 1);
    shop.move_stock("A", 5).await;
    drain(&log, place).await;
    let item = queries.item(&sku("A")).await.unwrap().unwrap();
    assert_eq!((item.version, item.supplied), (2, 5));
}

async fn a_duplicate_is_skipped_without_being_read(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    let first = shop.put("A", "Lamp", None).await;
    let mut copy = log.read_at(first).await.unwrap().payload.to_vec();
    copy[11..14].copy_from_slice(b"002");
    shop.append(first.partition, "A", Some(copy)).await;
    drain(&log, place).await;
    let item = place.queries().item(&sku("A")).await.unwrap().unwrap();
    assert_eq!(item.version, 1);
}

async fn a_gap_stops_the_partition_exactly_there(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let time = shop.now();
    let skipping = shop.encode("A", 3, time, Events::Inventory(vec![]));
    let gap = shop
        .append(Shop::only(Topic::Inventory), "A", Some(skipping))
        .await;
    let mut projector = projector(&log, place.read_models()).await;
    let error = projector.run_until_caught_up().await.unwrap_err();
    let ProjectorError::Stopped(StopReason::Gap {
        position,
        known,
        version,
        ..
    }) = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*position, *known, *version), (gap, 1, 3));
    assert_eq!(error.stopped_partition(), Some(gap.partition));
    // It stays there, and what came before is in the rows.
    assert!(projector.run_until_caught_up().await.is_err());
    let marks = place.read_models().marks().await.unwrap();
    assert_eq!(marks[&gap.partition].next_offset, gap.offset);
    assert!(place.queries().item(&sku("A")).await.unwrap().is_some());
}

async fn a_record_of_a_newer_format_stops_the_partition(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    let time = shop.now();
    let mut newer = shop.encode("A", 1, time, Events::Inventory(vec![]));
    newer[11..14].copy_from_slice(b"002");
    let at = shop
        .append(Shop::only(Topic::Inventory), "A", Some(newer))
        .await;
    let mut projector = projector(&log, place.read_models()).await;
    let error = projector.run_until_caught_up().await.unwrap_err();
    assert!(
        matches!(&error, ProjectorError::Stopped(StopReason::Unreadable { position, .. }) if *position == at),
        "{error}"
    );
}

async fn only_one_of_two_projectors_of_a_partition_wins(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    let mut one = projector(&log, place.read_models()).await;
    let mut two = projector(&log, place.read_models()).await;
    one.run_until_caught_up().await.unwrap();
    assert_eq!(two.step().await.unwrap(), Progress::CaughtUp);
    shop.put("A", "Lamp", None).await;
    shop.move_stock("A", 10).await;
    one.run_until_caught_up().await.unwrap();
    // The second one was paused all the while and still believes in its own checkpoint.
    let fenced = two.run_until_caught_up().await.unwrap_err();
    assert!(
        matches!(fenced, ProjectorError::Store(StoreError::Fenced(_))),
        "{fenced}"
    );
    // It goes on from what it finds.
    shop.move_stock("A", 5).await;
    two.run_until_caught_up().await.unwrap();
    let item = place.queries().item(&sku("A")).await.unwrap().unwrap();
    assert_eq!(item.supplied, 15);
}

async fn rows_and_checkpoint_are_written_together_or_not_at_all(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    shop.move_stock("A", 10).await;
    drain(&log, place).await;
    let before = place.read_models().marks().await.unwrap();
    let orders = Shop::only(Topic::Orders);
    shop.order(1, &[("A", 3)]).await;
    // What a batch writes last fails: what it wrote before must be gone, and the checkpoint back.
    place.execute(&refuse_to_hold(place)).await;
    let mut projector = projector(&log, place.read_models()).await;
    assert!(projector.run_until_caught_up().await.is_err());
    assert_eq!(
        place.read_models().marks().await.unwrap()[&orders],
        before[&orders]
    );
    let filter = query_api::read_model::OrdersFilter::default();
    let paging = query_api::read_model::Paging::first(10);
    assert!(
        place
            .queries()
            .orders(&filter, &paging)
            .await
            .unwrap()
            .items
            .is_empty()
    );

    place.execute("DROP TRIGGER refuse").await;
    projector.run_until_caught_up().await.unwrap();
    let item = place.queries().item(&sku("A")).await.unwrap().unwrap();
    assert_eq!((item.supplied, item.held), (10, 3));
}

fn refuse_to_hold(place: &Place) -> String {
    let refuse = match place {
        Place::MySql { .. } => "FOR EACH ROW SIGNAL SQLSTATE '45000'",
        Place::Sqlite { .. } => "BEGIN SELECT RAISE(ABORT, 'refused'); END",
    };
    format!("CREATE TRIGGER refuse BEFORE UPDATE ON inventory {refuse}")
}

async fn an_item_whose_orders_came_first_is_hidden_until_it_comes(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    shop.move_stock("A", 10).await;
    shop.order(1, &[("A", 3)]).await;
    let orders = vec![Shop::only(Topic::Orders)];
    let mut early = crate::fixture::projector_of(&log, place.read_models(), orders).await;
    early.run_until_caught_up().await.unwrap();
    let queries = place.queries();
    assert_eq!(queries.item(&sku("A")).await.unwrap(), None);
    let paging = query_api::read_model::Paging::first(10);
    let listed = queries.items(&Default::default(), &paging).await.unwrap();
    assert!(listed.items.is_empty());
    drain(&log, place).await;
    let item = queries.item(&sku("A")).await.unwrap().unwrap();
    assert_eq!((item.supplied, item.held, item.available()), (10, 3, 7));
}

async fn stock_seen_taken_before_its_supply_is_never_shown_below_zero(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    drain(&log, place).await;
    shop.move_stock("A", 10).await;
    shop.order(1, &[("A", 3)]).await;
    let orders = vec![Shop::only(Topic::Orders)];
    let mut early = crate::fixture::projector_of(&log, place.read_models(), orders).await;
    early.run_until_caught_up().await.unwrap();
    let item = place.queries().item(&sku("A")).await.unwrap().unwrap();
    assert_eq!((item.available(), item.settling()), (0, true));
}

async fn a_command_that_changed_nothing_still_has_a_version(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let (order, _) = shop.order(1, &[("A", 3)]).await;
    shop.change_nothing(order).await;
    drain(&log, place).await;
    shop.cancel(order).await;
    drain(&log, place).await;
    let order = place.queries().order(order).await.unwrap().unwrap();
    assert_eq!((order.version, order.history.len()), (3, 2));
}

async fn rows_of_another_log_are_refused(place: &Place) {
    let (log, _folder) = sqlite_log();
    Shop::open(log.clone()).await;
    drain(&log, place).await;
    let (other, _folder) = sqlite_log();
    Shop::open(other.clone()).await;
    let mut projector = projector(&other, place.read_models()).await;
    let error = projector.step().await.unwrap_err();
    assert!(
        matches!(error, ProjectorError::Store(StoreError::OtherLog { .. })),
        "{error}"
    );
}

async fn rows_of_another_fold_are_refused_until_they_are_replayed(place: &Place) {
    let (log, _folder) = sqlite_log();
    Shop::open(log.clone()).await;
    drain(&log, place).await;
    place
        .execute("UPDATE log_source SET fold_version = 0")
        .await;
    let mut projector = projector(&log, place.read_models()).await;
    let error = projector.step().await.unwrap_err();
    assert!(
        matches!(
            error,
            ProjectorError::Store(StoreError::OtherFold { stored: 0 })
        ),
        "{error}"
    );
}

async fn a_checkpoint_beyond_the_logs_end_stops_the_partition(place: &Place) {
    let (log, _folder) = sqlite_log();
    Shop::open(log.clone()).await;
    drain(&log, place).await;
    place
        .execute("UPDATE checkpoints SET next_offset = 99 WHERE topic = 'orders'")
        .await;
    let mut projector = projector(&log, place.read_models()).await;
    let error = projector.step().await.unwrap_err();
    assert_eq!(
        error.stopped_partition(),
        Some(Shop::only(Topic::Orders)),
        "{error}"
    );
}

async fn a_store_restored_from_an_older_backup_catches_up(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let mut projector = projector(&log, place.read_models()).await;
    projector.run_until_caught_up().await.unwrap();
    let user = shop.register(1).await;
    projector.run_until_caught_up().await.unwrap();
    // The backup is from before the registration: rows and checkpoint of then.
    place.execute("DELETE FROM users").await;
    let older = "UPDATE checkpoints SET next_offset = 1 WHERE topic = 'users'";
    place.execute(older).await;
    shop.register(2).await;
    let fenced = projector.run_until_caught_up().await.unwrap_err();
    assert!(
        matches!(fenced, ProjectorError::Store(StoreError::Fenced(_))),
        "{fenced}"
    );
    projector.run_until_caught_up().await.unwrap();
    assert!(place.queries().user(user).await.unwrap().is_some());
}

/// As SQLite does when its disk is full: a transaction that nobody has asked to be undone.
#[tokio::test]
async fn a_transaction_that_sqlite_undid_by_itself_is_in_nobodys_way() {
    let place = Place::sqlite().await;
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let mut projector = projector(&log, place.read_models()).await;
    projector.run_until_caught_up().await.unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON orders \
         BEGIN SELECT RAISE(ROLLBACK, 'the disk is full'); END";
    place.execute(full).await;
    let (order, _) = shop.order(1, &[("A", 3)]).await;
    for _ in 0..2 {
        let error = projector.run_until_caught_up().await.unwrap_err();
        assert!(format!("{error:?}").contains("disk is full"), "{error:?}");
    }
    place.execute("DROP TRIGGER full").await;
    projector.run_until_caught_up().await.unwrap();
    assert!(place.queries().order(order).await.unwrap().is_some());
}

on_both_stores!(
    what_was_placed_and_cancelled_is_in_the_rows,
    a_record_delivered_twice_counts_once,
    a_record_behind_a_newer_fence_is_void_even_if_it_cannot_be_read,
    a_duplicate_is_skipped_without_being_read,
    a_gap_stops_the_partition_exactly_there,
    a_record_of_a_newer_format_stops_the_partition,
    only_one_of_two_projectors_of_a_partition_wins,
    rows_and_checkpoint_are_written_together_or_not_at_all,
    an_item_whose_orders_came_first_is_hidden_until_it_comes,
    stock_seen_taken_before_its_supply_is_never_shown_below_zero,
    a_command_that_changed_nothing_still_has_a_version,
    rows_of_another_log_are_refused,
    rows_of_another_fold_are_refused_until_they_are_replayed,
    a_checkpoint_beyond_the_logs_end_stops_the_partition,
    a_store_restored_from_an_older_backup_catches_up,
);
