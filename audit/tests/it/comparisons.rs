//! Read models and gate against the log.

use audit::{
    Check, Checkpoint, Evidence, GateItem, ItemRow, OrderRow, Partition, ReadModelRows, Topic,
};

use crate::shop::{PRICE, Shop, assert_broken, order};

const PARTITIONS: [(Topic, u16); 5] = [
    (Topic::Users, 0),
    (Topic::Orders, 0),
    (Topic::Orders, 1),
    (Topic::Inventory, 0),
    (Topic::Inventory, 1),
];

/// 10 of A supplied; order 2 holds 3, order 3 held 1 and was cancelled.
fn shop() -> Shop {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 3)]));
    shop.append(shop.placed(3, &[("A", 1)]));
    shop.append(shop.cancelled(3, &[("A", 1)]));
    shop
}

fn order_row(number: u128, status: &str, units: i64) -> OrderRow {
    OrderRow {
        id: order(number),
        status: status.to_owned(),
        total: PRICE * units,
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

fn rows(shop: &Shop) -> ReadModelRows {
    let checkpoint = |(topic, number): (Topic, u16)| Checkpoint {
        partition: Partition { topic, number },
        next_offset: shop.end(topic.as_str(), number),
        highest_fence: shop.epoch,
    };
    ReadModelRows {
        checkpoints: PARTITIONS.map(checkpoint).to_vec(),
        orders: vec![order_row(2, "placed", 3), order_row(3, "cancelled", 1)],
        items: vec![item_row(10, 3)],
    }
}

fn with_rows(rows: ReadModelRows) -> Evidence {
    Evidence {
        read_models: Ok(rows),
        ..Evidence::default()
    }
}

fn with_gate(items: &[(&str, i64, i64)]) -> Evidence {
    let item = |(sku, available, supplied): &(&str, i64, i64)| GateItem {
        sku: (*sku).to_owned(),
        available: *available,
        supplied: *supplied,
    };
    Evidence {
        gate: Ok(items.iter().map(item).collect()),
        ..Evidence::default()
    }
}

#[test]
fn rows_that_are_the_fold_of_the_log_are_ok() {
    let shop = shop();
    let report = shop.audit_with(&with_rows(rows(&shop)));
    assert_broken(&report, &[]);
    assert_eq!(report.of(Check::ReadModels).unwrap().looked_at, 8);
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
        let expected = (Check::ReadModels, "sku A", "", "the log 10, 3, 0");
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
        (Check::ReadModels, "sku A", "inventory/1@1", "no row"),
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
        (Check::ReadModels, "checkpoint of users/0", "", "ends at 1"),
        (
            Check::ReadModels,
            "checkpoint of orders/0",
            "",
            "fence is 2",
        ),
    ];
    assert_broken(&shop.audit_with(&with_rows(rows)), &expected);
}

#[test]
fn a_gate_that_is_the_fold_of_the_log_is_ok() {
    let report = shop().audit_with(&with_gate(&[("A", 7, 10)]));
    assert_broken(&report, &[]);
    assert_eq!(report.of(Check::Gate).unwrap().looked_at, 1);
}

#[test]
fn a_gate_with_other_figures_is_found() {
    for wrong in [("A", 8, 10), ("A", 7, 11)] {
        let expected = (Check::Gate, "sku A", "", "the log 7 of 10");
        assert_broken(&shop().audit_with(&with_gate(&[wrong])), &[expected]);
    }
}

#[test]
fn a_gate_that_lacks_an_item_or_has_another_is_found() {
    let expected = [
        (Check::Gate, "sku B", "", "no record creates it"),
        (Check::Gate, "sku A", "inventory/1@1", "unknown SKU"),
    ];
    assert_broken(&shop().audit_with(&with_gate(&[("B", 1, 1)])), &expected);
}
