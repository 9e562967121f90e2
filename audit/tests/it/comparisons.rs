//! Read models against the log.

use audit::{
    CatalogueRow, Check, Checkpoint, Evidence, ItemRow, OrderDigest, OrderRow, Partition,
    ReadModelRows, Topic, UserRow,
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{BUYER, PRICE, Shop, assert_broken, line, order};

const PARTITIONS: [(Topic, u16); 5] = [
    (Topic::Users, 0),
    (Topic::Orders, 0),
    (Topic::Orders, 1),
    (Topic::Inventory, 0),
    (Topic::Inventory, 1),
];

/// 10 of A supplied; order 2 holds 3, order 3 held 1 and was cancelled.
pub(crate) fn shop() -> Shop {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 3)]));
    shop.append(shop.placed(3, &[("A", 1)]));
    shop.append(shop.cancelled(3, &[("A", 1)]));
    shop
}

/// Microseconds from 1970 to the beginning of 2026.
pub(crate) const NEW_YEAR: i64 = 1_767_225_600_000_000;

/// A row of an order of [`shop`]: they were placed in the seconds of their numbers.
fn order_row(number: u128, status: &str, units: i64) -> OrderRow {
    let (lines, total) = (json!([line("A", units)]).to_string(), PRICE * units);
    let history = history(number, status).to_string();
    OrderRow {
        id: order(number),
        user: order(BUYER),
        version: if status == "placed" { 1 } else { 2 },
        status: status.to_owned(),
        total,
        placed_at: NEW_YEAR + (number as i64 + 1) * 1_000_000,
        digest: OrderDigest::of_row(&lines, total, "EUR", &history),
    }
}

/// The history of an order of [`shop`].
fn history(number: u128, status: &str) -> Value {
    let step = |version: u64, kind: &str, second: u128| {
        json!({"version": version, "at": format!("2026-01-01T00:00:{second:02}.000000Z"),
            "actor": {"type": "operator"}, "type": kind})
    };
    let placed = step(1, "order-placed", number + 1);
    match status {
        "placed" => json!([placed]),
        _ => json!([placed, step(2, "order-cancelled", number + 2)]),
    }
}

fn item_row(supplied: i64, held: i64) -> ItemRow {
    ItemRow {
        sku: "A".to_owned(),
        supplied,
        held,
        sold: 0,
    }
}

fn catalogue_row() -> CatalogueRow {
    CatalogueRow {
        sku: "A".to_owned(),
        version: 2,
        name: "N".to_owned(),
        price: PRICE,
        currency: "EUR".to_owned(),
        category: None,
        status: "active".to_owned(),
        created_at: NEW_YEAR + 1_000_000,
        is_found: true,
    }
}

pub(crate) fn rows(shop: &Shop) -> ReadModelRows {
    let checkpoint = |(topic, number): (Topic, u16)| Checkpoint {
        partition: Partition { topic, number },
        next_offset: shop.end(topic.as_str(), number),
        highest_fence: shop.epoch,
    };
    ReadModelRows {
        checkpoints: PARTITIONS.map(checkpoint).to_vec(),
        orders: vec![order_row(2, "placed", 3), order_row(3, "cancelled", 1)],
        items: vec![item_row(10, 3)],
        catalogue: Some(vec![catalogue_row()]),
        ..ReadModelRows::default()
    }
}

pub(crate) fn with_rows(rows: ReadModelRows) -> Evidence {
    Evidence {
        read_models: Ok(rows),
        ..Evidence::default()
    }
}

#[test]
fn rows_that_are_the_fold_of_the_log_are_ok() {
    let shop = shop();
    let report = shop.audit_with(&with_rows(rows(&shop)));
    assert_broken(&report, &[]);
    assert_eq!(report.of(Check::ReadModels).unwrap().looked_at, 9);
}

#[test]
fn rows_are_compared_as_of_their_checkpoints() {
    let shop = shop();
    let mut rows = rows(&shop);
    // Before the cancellation of order 3, and before order 2.
    rows.checkpoints[2].next_offset -= 1;
    rows.checkpoints[1].next_offset -= 1;
    rows.orders = vec![order_row(3, "placed", 1)];
    rows.items = vec![item_row(10, 1)];
    assert_broken(&shop.audit_with(&with_rows(rows)), &[]);
}

#[test]
fn a_partition_without_a_checkpoint_was_not_read() {
    let shop = shop();
    let nothing = with_rows(ReadModelRows::default());
    assert_broken(&shop.audit_with(&nothing), &[]);
}

#[test]
fn a_changed_order_row_is_found() {
    let shop = shop();
    let mut rows = rows(&shop);
    rows.orders[0].total += 1;
    rows.orders[1].status = "placed".to_owned();
    let (two, three) = (format!("order {}", order(2)), format!("order {}", order(3)));
    let expected = [
        (Check::ReadModels, &*two, "orders/0@1", "placed for 301"),
        (
            Check::ReadModels,
            &*three,
            "orders/1@2",
            "the log cancelled",
        ),
    ];
    assert_broken(&shop.audit_with(&with_rows(rows)), &expected);
}

#[test]
fn a_missing_and_an_invented_order_row_are_found() {
    let shop = shop();
    let mut rows = rows(&shop);
    rows.orders[0].id = order(9);
    let (nine, two) = (format!("order {}", order(9)), format!("order {}", order(2)));
    let expected = [
        (Check::ReadModels, &*nine, "", "does not place it"),
        (Check::ReadModels, &*two, "orders/0@1", "no row"),
    ];
    assert_broken(&shop.audit_with(&with_rows(rows)), &expected);
}

#[test]
fn a_changed_item_row_is_found() {
    let shop = shop();
    for wrong in [item_row(11, 3), item_row(10, 4)] {
        let mut rows = rows(&shop);
        rows.items = vec![wrong];
        let expected = (Check::ReadModels, "sku A", "orders/1@2", "the log 10, 3, 0");
        assert_broken(&shop.audit_with(&with_rows(rows)), &[expected]);
    }
}

#[test]
fn a_missing_and_an_invented_item_row_are_found() {
    let shop = shop();
    let mut rows = rows(&shop);
    rows.items[0].sku = "Z".to_owned();
    let expected = [
        (Check::ReadModels, "sku Z", "", "the log 0, 0, 0"),
        (Check::ReadModels, "sku A", "inventory/0@1", "no row"),
    ];
    assert_broken(&shop.audit_with(&with_rows(rows)), &expected);
}

#[test]
fn rows_of_more_than_the_log_has_are_found() {
    let shop = shop();
    let mut rows = rows(&shop);
    rows.checkpoints[0].next_offset += 1;
    rows.checkpoints[1].highest_fence += 1;
    let expected = [
        (Check::ReadModels, "checkpoint of users/0", "", "ends at 2"),
        (
            Check::ReadModels,
            "checkpoint of orders/0",
            "",
            "fence is 2",
        ),
    ];
    assert_broken(&shop.audit_with(&with_rows(rows)), &expected);
}

pub(crate) fn users() -> Shop {
    let mut shop = Shop::open();
    shop.append(shop.registered(5, "kim"));
    shop.append(shop.registered(6, "alex"));
    shop.append(shop.became(5, "staff"));
    shop
}

/// A row of a user of [`users`].
fn user_row(number: u128, email_hash: &str, role: &str, version: u64) -> UserRow {
    let second = match number {
        BUYER => 0,
        number => number as i64 - 2,
    };
    UserRow {
        id: order(number),
        email_hash: email_hash.to_owned(),
        key: order(number),
        role: role.to_owned(),
        created_at: NEW_YEAR + second * 1_000_000,
        version,
    }
}

fn buyer() -> UserRow {
    user_row(BUYER, "buyer", "customer", 1)
}

#[test]
fn rows_of_users_are_compared_as_of_their_checkpoint() {
    let shop = users();
    let with = |seen: u64, users: Vec<UserRow>| {
        let mut rows = rows(&shop);
        (rows.orders, rows.items) = (vec![], vec![item_row(10, 0)]);
        rows.checkpoints[0].next_offset = seen;
        rows.users = Some(users.into_iter().chain([buyer()]).collect());
        shop.audit_with(&with_rows(rows))
    };
    let alex = user_row(6, "alex", "customer", 1);
    let sound = vec![user_row(5, "kim", "staff", 2), alex.clone()];
    assert_broken(&with(5, sound), &[]);
    let before = vec![user_row(5, "kim", "customer", 1), alex.clone()];
    assert_broken(&with(4, before), &[]);
    let name = format!("user {}", order(5));
    for wrong in [
        user_row(5, "kim", "admin", 2),
        user_row(5, "sam", "staff", 2),
        user_row(5, "kim", "staff", 1),
    ] {
        let expected = (Check::ReadModels, &*name, "users/0@4", "the log staff");
        assert_broken(&with(5, vec![wrong, alex.clone()]), &[expected]);
    }
    let kim = || user_row(5, "kim", "staff", 2);
    let (mut later, mut sealed) = (kim(), kim());
    later.created_at += 1;
    sealed.key = order(6);
    for (wrong, found) in [(later, "time of registration"), (sealed, "another key")] {
        let expected = (Check::ReadModels, &*name, "users/0@2", found);
        assert_broken(&with(5, vec![wrong, alex.clone()]), &[expected]);
    }
    let expected = (Check::ReadModels, &*name, "users/0@2", "no row");
    assert_broken(&with(5, vec![alex]), &[expected]);
}

#[test]
fn rows_of_another_log_are_found() {
    let shop = Shop::open();
    let of = |log| {
        let mut rows = rows(&shop);
        (rows.orders, rows.items) = (vec![], vec![item_row(10, 0)]);
        rows.log = log;
        shop.audit_with(&with_rows(rows))
    };
    assert_broken(&of(Some(Uuid::nil())), &[]);
    let about = "the rows' source";
    let expected = (Check::ReadModels, about, "", "that they are of log");
    assert_broken(&of(Some(order(5))), &[expected]);
}

#[test]
fn whatever_an_orders_row_says_is_compared() {
    let shop = shop();
    let name = format!("order {}", order(2));
    let digest = |units, currency, history: &Value| {
        let lines = json!([line("A", units)]).to_string();
        OrderDigest::of_row(&lines, 3 * PRICE, currency, &history.to_string())
    };
    let sound = history(2, "placed");
    type Change<'a> = Box<dyn Fn(&mut OrderRow) + 'a>;
    let mut changes: Vec<(Change<'_>, &str)> = vec![
        (Box::new(|row| row.user = order(9)), "in the log of"),
        (Box::new(|row| row.version = 2), "the log at version 1"),
        (Box::new(|row| row.placed_at += 1), "another time"),
        (
            Box::new(|row| row.digest = digest(4, "EUR", &sound)),
            "lines",
        ),
        (
            Box::new(|row| row.digest = digest(3, "JPY", &sound)),
            "currency",
        ),
        (
            Box::new(|row| row.digest = digest(3, "EUR", &json!([]))),
            "history",
        ),
    ];
    for (field, other) in [
        ("version", json!(2)),
        ("at", json!("2026-01-01T00:00:03.000001Z")),
        ("type", json!("order-cancelled")),
        ("actor", json!({"type": "anonymous"})),
        ("reason", json!("late")),
    ] {
        let mut history = sound.clone();
        history[0][field] = other;
        let wrong = digest(3, "EUR", &history);
        changes.push((Box::new(move |row| row.digest = wrong), "history"));
    }
    for (change, words) in changes {
        let mut rows = rows(&shop);
        change(&mut rows.orders[0]);
        let expected = (Check::ReadModels, &*name, "orders/0@1", words);
        assert_broken(&shop.audit_with(&with_rows(rows)), &[expected]);
    }
    assert_eq!(OrderDigest::of_row("[{}]", 1, "EUR", "[]"), None);
    assert_eq!(OrderDigest::of_row("[]", 1, "EUR", "[{}]"), None);
}

#[test]
fn what_the_catalogue_says_is_compared_as_of_the_checkpoint() {
    let mut shop = shop();
    shop.append(shop.changed("A", "say \"M\"", 150));
    shop.append(shop.discontinued("A"));
    let end = shop.end("inventory", 0);
    let with = |seen: u64, row: CatalogueRow| {
        let mut rows = rows(&shop);
        rows.checkpoints[3].next_offset = seen;
        if seen < 3 {
            rows.items = vec![item_row(0, 3)];
        }
        rows.catalogue = Some(vec![row]);
        shop.audit_with(&with_rows(rows))
    };
    let changed = |version, status: &str| CatalogueRow {
        version,
        name: "say \"M\"".to_owned(),
        price: 150,
        category: Some("light".to_owned()),
        status: status.to_owned(),
        ..catalogue_row()
    };
    let stub = CatalogueRow {
        version: 0,
        name: String::new(),
        price: 0,
        // The column's default: ISO 4217's code for no currency.
        currency: "XXX".to_owned(),
        status: String::new(),
        ..catalogue_row()
    };
    assert_broken(&with(end, changed(4, "discontinued")), &[]);
    assert_broken(&with(end - 1, changed(3, "active")), &[]);
    assert_broken(&with(end - 2, catalogue_row()), &[]);
    assert_broken(&with(1, stub.clone()), &[]);
    let newest = format!("inventory/0@{}", end - 1);
    let sound = changed(4, "discontinued");
    for wrong in [
        stub,
        changed(3, "discontinued"),
        changed(4, "active"),
        CatalogueRow {
            price: 151,
            ..sound.clone()
        },
        CatalogueRow {
            currency: "JPY".to_owned(),
            ..sound.clone()
        },
        CatalogueRow {
            name: "M".to_owned(),
            ..sound.clone()
        },
        CatalogueRow {
            category: None,
            ..sound.clone()
        },
    ] {
        let expected = (Check::ReadModels, "sku A", &*newest, "the log discontinued");
        assert_broken(&with(end, wrong), &[expected]);
    }
    let (created_at, is_found) = (sound.created_at + 1, false);
    let wrong = CatalogueRow {
        created_at,
        ..sound.clone()
    };
    let expected = (Check::ReadModels, "sku A", &*newest, "time of creation");
    assert_broken(&with(end, wrong), &[expected]);
    let wrong = CatalogueRow { is_found, ..sound };
    let expected = (Check::ReadModels, "sku A", &*newest, "does not find it");
    assert_broken(&with(end, wrong), &[expected]);
    // Not the newest one where the checkpoint is before it, and none before it is created.
    let expected = (Check::ReadModels, "sku A", "", "version 4 or before");
    assert_broken(&with(end - 1, changed(4, "active")), &[expected]);
    let expected = (Check::ReadModels, "sku A", "", "does not create it");
    assert_broken(&with(1, catalogue_row()), &[expected]);
}
