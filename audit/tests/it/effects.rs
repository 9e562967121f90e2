//! Faults of what records do: keys, movements, amounts, lives and returns.

use audit::{Check, Evidence, Horizon, Partition, Topic};
use serde_json::json;

use crate::shop::{Record, Shop, assert_broken, order};

const DAY: i64 = 86_400;

fn name(number: u128) -> String {
    format!("order {}", order(number))
}

fn with_key(key: &'static str, second: i64, record: Record) -> Record {
    Record {
        key: Some(key),
        second,
        ..record
    }
}

#[test]
fn a_key_has_one_effect_in_an_epoch() {
    let mut shop = Shop::open();
    shop.append(with_key("k", 0, shop.placed(2, &[("A", 1)])));
    shop.append(with_key("k", 20 * DAY, shop.placed(3, &[("A", 1)])));
    let expected = (Check::Keys, "key k", "orders/1@1", "orders/0@1");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn a_key_may_be_used_again_when_a_later_epoch_forgot_it() {
    let mut shop = Shop::open();
    shop.append(with_key("k", 0, shop.placed(2, &[("A", 1)])));
    shop.append(with_key("newest", 8 * DAY, shop.placed(4, &[("A", 1)])));
    shop.open_epoch();
    shop.append(with_key("k", 8 * DAY, shop.placed(3, &[("A", 1)])));
    assert_broken(&shop.audit(), &[]);
    shop.append(with_key("k", 8 * DAY, shop.placed(5, &[("A", 1)])));
    let expected = (Check::Keys, "key k", "orders/1@3", "orders/1@2");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn a_key_within_its_retention_has_one_effect_across_epochs() {
    let mut shop = Shop::open();
    shop.append(with_key("k", 0, shop.placed(2, &[("A", 1)])));
    shop.append(with_key("newest", 6 * DAY, shop.placed(4, &[("A", 1)])));
    shop.open_epoch();
    shop.append(with_key("k", 9 * DAY, shop.placed(3, &[("A", 1)])));
    let expected = (Check::Keys, "key k", "orders/1@2", "orders/0@1");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn movements_are_those_of_the_events() {
    let mut shop = Shop::open();
    shop.append(Record {
        movements: json!([{"sku": "A", "quantity": -1}]),
        ..shop.placed(2, &[("A", 2)])
    });
    let expected = [
        (Check::Movements, name(2), "orders/0@1", "states"),
        (
            Check::Balance,
            "sku A".to_owned(),
            "",
            "9 available, 2 held",
        ),
    ];
    let expected = expected.each_ref().map(|e| (e.0, e.1.as_str(), e.2, e.3));
    assert_broken(&shop.audit(), &expected);
}

#[test]
fn a_lines_total_is_price_times_quantity() {
    let mut shop = Shop::open();
    let mut record = shop.placed(2, &[("A", 2)]);
    record.events[0]["lines"][0]["total"]["amount"] = json!(201);
    record.events[0]["total"]["amount"] = json!(201);
    shop.append(record);
    let expected = (Check::Amounts, &*name(2), "orders/0@1", "not 200");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn an_orders_total_is_the_sum_of_its_lines() {
    let mut shop = Shop::open();
    let mut record = shop.placed(2, &[("A", 2)]);
    record.events[0]["total"]["amount"] = json!(199);
    shop.append(record);
    let expected = (Check::Amounts, &*name(2), "orders/0@1", "its lines 200");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn an_order_has_one_currency() {
    let mut shop = Shop::open();
    let mut record = shop.placed(2, &[("A", 2)]);
    record.events[0]["lines"][0]["unit_price"]["currency"] = json!("JPY");
    shop.append(record);
    let expected = [
        (Check::Amounts, &*name(2), "orders/0@1", "not in EUR"),
        (Check::Amounts, "sku A", "orders/0@1", "for 100 JPY"),
    ];
    assert_broken(&shop.audit(), &expected);
}

/// Scenario T3: lines of one SKU have to be added up before they are judged.
#[test]
fn lines_name_each_sku_once() {
    let mut shop = Shop::open();
    let mut record = shop.placed(2, &[("A", 1), ("A", 1)]);
    record.movements = json!([{"sku": "A", "quantity": -2}]);
    shop.append(record);
    let expected = (Check::Amounts, &*name(2), "orders/0@1", "Two lines");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn an_order_is_placed_once_and_under_its_own_id() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 1)]));
    shop.append(Record {
        aggregate: order(2).to_string(),
        version: 2,
        partition: 0,
        ..shop.placed(3, &[("A", 1)])
    });
    let name = name(2);
    let expected = [
        (Check::Lives, &*name, "orders/0@2", "places order"),
        (Check::Lives, &*name, "orders/0@2", "placed before"),
        (Check::Balance, "sku A", "", "1 held"),
    ];
    assert_broken(&shop.audit(), &expected);
}

/// Scenario T12: of ten parallel cancels, six succeeded.
#[test]
fn an_order_is_cancelled_once() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 3)]));
    shop.append(shop.cancelled(2, &[("A", 3)]));
    shop.append(shop.cancelled(2, &[("A", 3)]));
    let expected = [
        (Check::Lives, &*name(2), "orders/0@3", "cancelled before"),
        (Check::Balance, "sku A", "", "13 available"),
    ];
    assert_broken(&shop.audit(), &expected);
}

#[test]
fn an_order_is_cancelled_after_it_was_placed() {
    let mut shop = Shop::open();
    shop.append(shop.cancelled(2, &[("A", 3)]));
    let expected = [
        (Check::Lives, &*name(2), "orders/0@1", "never placed"),
        (Check::Balance, "sku A", "", "13 available"),
    ];
    assert_broken(&shop.audit(), &expected);
}

#[test]
fn a_cancellation_gives_back_exactly_what_was_held() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 3)]));
    shop.append(shop.cancelled(2, &[("A", 2)]));
    let expected = [
        (Check::Returns, &*name(2), "orders/0@2", "held 3 units"),
        (Check::Balance, "sku A", "", "9 available, 0 held"),
    ];
    assert_broken(&shop.audit(), &expected);
}

#[test]
fn an_item_is_created_once() {
    let mut shop = Shop::open();
    shop.append(shop.created("A"));
    let expected = (Check::Lives, "sku A", "inventory/0@3", "created before");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn an_item_speaks_of_no_other() {
    let mut shop = Shop::open();
    let mut record = shop.moved("A", 5);
    record.events[0]["sku"] = json!("B");
    record.movements[0]["sku"] = json!("B");
    shop.append(record);
    let expected = [
        (Check::Lives, "sku A", "inventory/0@3", "about B"),
        (Check::Lives, "sku B", "inventory/0@3", "none creates it"),
    ];
    assert_broken(&shop.audit(), &expected);
}

#[test]
fn an_address_is_registered_once() {
    let mut shop = Shop::open();
    shop.append(shop.registered(5, "kim"));
    shop.append(shop.registered(6, "kim"));
    let expected = (Check::Lives, "address kim", "users/0@3", "since users/0@2");
    assert_broken(&shop.audit(), &[expected]);
}

fn of_a_stranger(shop: &Shop) -> Record {
    let mut record = shop.placed(2, &[("A", 1)]);
    record.events[0]["user_id"] = json!(order(9));
    record
}

#[test]
fn an_order_is_of_a_user_who_registered() {
    let mut shop = Shop::open();
    shop.append(of_a_stranger(&shop));
    let expected = (Check::Lives, &*name(2), "orders/0@1", "never registered");
    assert_broken(&shop.audit(), &[expected]);
    let known = Evidence {
        strangers: vec![order(9)],
        ..Evidence::default()
    };
    assert_broken(&shop.audit_with(&known), &[]);
}

fn for_another_price(shop: &Shop, price: i64) -> Record {
    let mut record = shop.placed(2, &[("A", 1)]);
    let money = json!({"amount": price, "currency": "EUR"});
    let event = &mut record.events[0];
    event["lines"][0]["unit_price"] = money.clone();
    event["lines"][0]["total"] = money.clone();
    event["total"] = money;
    record
}

#[test]
fn a_unit_costs_what_the_catalogue_says_or_said() {
    let mut shop = Shop::open();
    shop.append(shop.changed("A", "N", 150));
    shop.append(shop.changed("A", "N", 200));
    shop.append(shop.discontinued("A"));
    shop.append(for_another_price(&shop, 150));
    shop.append(shop.placed(4, &[("A", 1)]));
    assert_broken(&shop.audit(), &[]);
    let mut shop = Shop::open();
    shop.append(for_another_price(&shop, 99));
    let expected = (Check::Amounts, "sku A", "orders/0@1", "for 99 EUR");
    assert_broken(&shop.audit(), &[expected]);
}

/// The end of `orders` was asked later than the others: user and price stand behind theirs.
#[test]
fn an_order_that_comes_while_the_log_is_read_may_rest_on_what_was_not_read() {
    for record in [of_a_stranger, |shop| for_another_price(shop, 99)] as [fn(&Shop) -> Record; 2] {
        let mut shop = Shop::open();
        let (topic, number) = (Topic::Orders, 0);
        let end = shop.end("orders", 0);
        let before = Evidence {
            horizon: Horizon(vec![(Partition { topic, number }, end)]),
            ..Evidence::default()
        };
        shop.append(record(&shop));
        assert_broken(&shop.audit_with(&before), &[]);
        assert!(!shop.audit().ok);
    }
}
