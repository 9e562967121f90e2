//! What readers are told, after the same records, is the same on both stores. The names in
//! brackets are field reports.

use std::collections::BTreeSet;

use domain::ids::UserId;
use domain::inventory::ItemStatus;
use domain::order::OrderStatus;
use domain::user::{Role, UserCommand};
use query_api::read_model::{
    After, ItemsFilter, LedgerReason, OrdersFilter, Page, Paging, ReadModels,
};
use uuid::Uuid;

use crate::fixture::{Place, drain, sqlite_log};
use crate::shop::{Shop, sku};

async fn named(queries: &ReadModels, filter: ItemsFilter) -> BTreeSet<String> {
    let page = queries.items(&filter, &Paging::first(200)).await.unwrap();
    page.items.into_iter().map(|item| item.name).collect()
}

async fn found(queries: &ReadModels, q: &str) -> BTreeSet<String> {
    let q = Some(q.to_owned());
    named(
        queries,
        ItemsFilter {
            q,
            ..ItemsFilter::default()
        },
    )
    .await
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// (R14)
async fn a_search_takes_every_character_for_itself(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    for (number, name) in ["50% off", "500 off", "a_b", "axb", r"c\d", "it's"]
        .iter()
        .enumerate()
    {
        shop.put(&format!("S-{number}"), name, None).await;
    }
    drain(&log, place).await;
    let queries = place.queries();
    assert_eq!(found(&queries, "50%").await, set(["50% off"]));
    assert_eq!(found(&queries, "a_b").await, set(["a_b"]));
    assert_eq!(found(&queries, r"\").await, set([r"c\d"]));
    assert_eq!(found(&queries, "'").await, set(["it's"]));
    assert_eq!(found(&queries, "s-3").await, set(["axb"]));
    assert_eq!(found(&queries, "OFF").await, set(["50% off", "500 off"]));
    assert_eq!(found(&queries, "off\ns").await, set([]));
}

/// (R15)
async fn a_category_is_found_by_exactly_its_characters(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    let categories = [
        "Straße",
        "strasse",
        "STRASSE",
        "strasse ",
        "Café",
        "Cafe",
        "Cafe\u{301}",
    ];
    for (number, category) in categories.iter().enumerate() {
        shop.put(&format!("S-{number}"), &format!("{number}"), Some(category))
            .await;
    }
    drain(&log, place).await;
    let queries = place.queries();
    let of = async |category: &str| {
        let category = Some(category.to_owned());
        named(
            &queries,
            ItemsFilter {
                category,
                ..ItemsFilter::default()
            },
        )
        .await
    };
    assert_eq!(of("Straße").await, set(["0"]));
    assert_eq!(of("strasse").await, set(["1"]));
    assert_eq!(of("STRASSE").await, set(["2"]));
    assert_eq!(of("strasse ").await, set(["3"]));
    // The write side normalises: composed and decomposed are one category.
    assert_eq!(of("Café").await, set(["4", "6"]));
    assert_eq!(of("Cafe").await, set(["5"]));
}

async fn skus_that_differ_in_case_are_two_items(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("lamp", "small", None).await;
    shop.put("LAMP", "large", None).await;
    drain(&log, place).await;
    let queries = place.queries();
    assert_eq!(
        queries.item(&sku("lamp")).await.unwrap().unwrap().name,
        "small"
    );
    assert_eq!(
        queries.item(&sku("LAMP")).await.unwrap().unwrap().name,
        "large"
    );
    assert_eq!(queries.item(&sku("Lamp")).await.unwrap(), None);
}

async fn the_stock_filter_tells_what_can_be_ordered(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    for name in ["empty", "full", "sold-out"] {
        shop.put(name, name, None).await;
    }
    shop.move_stock("full", 2).await;
    shop.move_stock("sold-out", 2).await;
    shop.order(1, &[("sold-out", 2)]).await;
    shop.discontinue("full").await;
    drain(&log, place).await;
    let queries = place.queries();
    let stocked = |in_stock| ItemsFilter {
        in_stock: Some(in_stock),
        ..ItemsFilter::default()
    };
    assert_eq!(named(&queries, stocked(true)).await, set(["full"]));
    assert_eq!(
        named(&queries, stocked(false)).await,
        set(["empty", "sold-out"])
    );
    let full = queries.item(&sku("full")).await.unwrap().unwrap();
    assert_eq!(full.status, ItemStatus::Discontinued);
}

async fn orders_are_listed_by_user_and_status(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let (first, _) = shop.order(1, &[("A", 1)]).await;
    let (second, _) = shop.order(2, &[("A", 1)]).await;
    let (third, _) = shop.order(1, &[("A", 1)]).await;
    shop.cancel(first).await;
    drain(&log, place).await;
    let queries = place.queries();
    let ids = async |user: Option<u128>, status| {
        let user = user.map(|user| UserId(Uuid::from_u128(user)));
        let filter = OrdersFilter { user, status };
        let page = queries.orders(&filter, &Paging::first(10)).await.unwrap();
        page.items
            .into_iter()
            .map(|order| order.state.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(None, None).await, [third, second, first]);
    assert_eq!(ids(Some(1), None).await, [third, first]);
    assert_eq!(ids(None, Some(OrderStatus::Cancelled)).await, [first]);
    assert_eq!(ids(Some(1), Some(OrderStatus::Placed)).await, [third]);
    assert!(ids(Some(3), None).await.is_empty());
}

/// Reads a whole list in pages of this size.
async fn paged<T>(limit: u32, mut page: impl AsyncFnMut(Paging) -> Page<T>) -> Vec<T> {
    let (mut items, mut after): (Vec<T>, Option<After>) = (vec![], None);
    loop {
        let next = page(Paging { after, limit }).await;
        assert!(next.items.len() <= limit as usize);
        items.extend(next.items);
        after = next.next;
        if after.is_none() {
            return items;
        }
    }
}

/// (R29) Every two rows share their moment.
async fn rows_of_one_moment_are_all_listed_once(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    for _ in 0..60 {
        shop.order(1, &[("A", 1)]).await;
    }
    for number in 0..30 {
        shop.put(&format!("S-{number}"), "Lamp", None).await;
        shop.register(number).await;
    }
    drain(&log, place).await;
    place
        .execute("UPDATE orders SET placed_at = placed_at - placed_at % 30")
        .await;
    place.execute("UPDATE inventory SET created_at = 5").await;
    place
        .execute("UPDATE users SET created_at = created_at - created_at % 100")
        .await;
    let queries = place.queries();
    for limit in [1, 7, 200] {
        let filter = OrdersFilter::default();
        let orders = paged(limit, async |p| queries.orders(&filter, &p).await.unwrap()).await;
        let ids: BTreeSet<_> = orders.iter().map(|order| order.state.id).collect();
        assert_eq!((orders.len(), ids.len()), (60, 60));
        let filter = ItemsFilter::default();
        let items = paged(limit, async |p| queries.items(&filter, &p).await.unwrap()).await;
        let skus: BTreeSet<_> = items.iter().map(|item| item.sku.clone()).collect();
        assert_eq!((items.len(), skus.len()), (31, 31));
        let users = paged(limit, async |p| queries.users(None, &p).await.unwrap()).await;
        let ids: BTreeSet<_> = users.iter().map(|user| user.id).collect();
        assert_eq!((users.len(), ids.len()), (30, 30));
        let ledger = paged(limit, async |p| {
            queries.movements(&sku("A"), &p).await.unwrap()
        })
        .await;
        assert_eq!(ledger.len(), 60);
        assert!(ledger.is_sorted_by(|newer, older| newer.at >= older.at));
    }
}

/// (R31)
async fn a_list_stays_put_while_its_rows_change(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    for number in 0..40 {
        let id = format!("S-{number}");
        shop.put(&id, "Lamp", None).await;
        shop.move_stock(&id, 10).await;
    }
    drain(&log, place).await;
    let queries = place.queries();
    let filter = ItemsFilter {
        in_stock: Some(true),
        ..ItemsFilter::default()
    };
    let mut round = 0;
    let items = paged(10, async |paging| {
        let page = queries.items(&filter, &paging).await.unwrap();
        for number in [0, 13, 26, 39] {
            let id = format!("S-{number}");
            round += 1;
            shop.reprice(&id, &format!("Lamp {round}"), 100 + round)
                .await;
            shop.order(1, &[(&id, 1)]).await;
        }
        drain(&log, place).await;
        page
    })
    .await;
    let skus: BTreeSet<_> = items.iter().map(|item| item.sku.clone()).collect();
    assert_eq!((items.len(), skus.len()), (40, 40));
}

/// (R32)
async fn a_time_is_the_same_to_the_microsecond_everywhere(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let (id, position) = shop.order(1, &[("A", 1)]).await;
    drain(&log, place).await;
    let raw = log.read_at(position).await.unwrap();
    let record = record::Record::decode(&raw.payload).unwrap();
    let queries = place.queries();
    let order = queries.order(id).await.unwrap().unwrap();
    let filter = OrdersFilter::default();
    let listed = queries.orders(&filter, &Paging::first(1)).await.unwrap();
    let ledger = queries
        .movements(&sku("A"), &Paging::first(1))
        .await
        .unwrap();
    let written = record.body.time.to_string();
    assert_eq!(order.state.placed_at.to_string(), written);
    assert_eq!(order.history[0].at.to_string(), written);
    assert_eq!(listed.items[0].state.placed_at.to_string(), written);
    assert_eq!(ledger.items[0].at.to_string(), written);
}

async fn the_ledger_names_why_and_by_whom(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    shop.move_stock("A", 10).await;
    shop.move_stock("A", -1).await;
    let (order, _) = shop.order(1, &[("A", 2)]).await;
    shop.cancel(order).await;
    drain(&log, place).await;
    let ledger = place
        .queries()
        .movements(&sku("A"), &Paging::first(10))
        .await
        .unwrap();
    let told: Vec<_> = ledger
        .items
        .iter()
        .map(|m| (m.reason, m.quantity, m.order_id))
        .collect();
    assert_eq!(
        told,
        [
            (LedgerReason::Cancellation, 2, Some(order)),
            (LedgerReason::Order, -2, Some(order)),
            (LedgerReason::Lost, -1, None),
            (LedgerReason::Received, 10, None),
        ]
    );
    assert_eq!(ledger.items[3].reference.as_deref(), Some(r"it's a \ note"));
    assert_eq!(ledger.items[3].actor_id, Some(UserId(Uuid::from_u128(7))));
}

async fn users_come_with_what_unseals_them(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    let kim = shop.register(1).await;
    let lee = shop.register(2).await;
    shop.user(kim, UserCommand::SetRole { role: Role::Admin })
        .await;
    drain(&log, place).await;
    let queries = place.queries();
    let user = queries.user(kim).await.unwrap().unwrap();
    assert_eq!(user.role, Role::Admin);
    assert_eq!(user.wrapped_key, Some(vec![1, 0, b'\'', b'\\']));
    let of_lee = queries.user(lee).await.unwrap().unwrap().email_hash;
    let found = queries
        .users(Some(&of_lee), &Paging::first(10))
        .await
        .unwrap();
    assert_eq!(
        found.items.iter().map(|user| user.id).collect::<Vec<_>>(),
        [lee]
    );
    // The key's tombstone: what it sealed stays, and can never be read again.
    let key = user.key_id.to_string();
    shop.append(record::Partition::USER_KEYS, &key, None).await;
    drain(&log, place).await;
    let erased = queries.user(kim).await.unwrap().unwrap();
    assert_eq!(erased.wrapped_key, None);
}

#[tokio::test]
async fn a_store_without_tables_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("empty.db");
    assert!(ReadModels::sqlite(&file, 1).has_schema().await.is_err());
    let writer = migrations::Database::sqlite_writer(&file);
    writer.execute("SELECT 1").await.unwrap();
    assert!(!ReadModels::sqlite(&file, 1).has_schema().await.unwrap());
    migrations::schema::run(&writer).await.unwrap();
    assert!(ReadModels::sqlite(&file, 1).has_schema().await.unwrap());
}

on_both_stores!(
    a_search_takes_every_character_for_itself,
    a_category_is_found_by_exactly_its_characters,
    skus_that_differ_in_case_are_two_items,
    the_stock_filter_tells_what_can_be_ordered,
    orders_are_listed_by_user_and_status,
    rows_of_one_moment_are_all_listed_once,
    a_list_stays_put_while_its_rows_change,
    a_time_is_the_same_to_the_microsecond_everywhere,
    the_ledger_names_why_and_by_whom,
    users_come_with_what_unseals_them,
);
