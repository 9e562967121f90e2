//! S1: never oversold, at the end of every epoch and now.

use audit::{Check, Evidence, Horizon, Partition, Topic};

use crate::shop::{Record, Shop, assert_broken};

#[test]
fn more_taken_than_supplied_is_found_with_the_record_that_did_it() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 6)]));
    shop.append(shop.placed(3, &[("A", 5)]));
    shop.append(shop.placed(4, &[("A", 1)]));
    let expected = (Check::Stock, "sku A", "orders/1@1", "2 more were taken");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn an_epoch_that_ended_oversold_is_found_though_supply_came_later() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 11)]));
    shop.open_epoch();
    shop.append(shop.moved("A", 5));
    let expected = (
        Check::Stock,
        "sku A",
        "orders/0@1",
        "end of epoch 1, 1 more",
    );
    assert_broken(&shop.audit(), &[expected]);
}

/// Partitions are read independently: a clock that went back does not make a sound log unsound.
#[test]
fn the_order_of_times_decides_nothing() {
    let mut shop = Shop::open();
    shop.append(Record {
        second: 2_000,
        ..shop.moved("A", 5)
    });
    shop.append(Record {
        second: 1_000,
        ..shop.placed(2, &[("A", 15)])
    });
    assert_broken(&shop.audit(), &[]);
}

#[test]
fn supply_is_never_below_zero_within_its_partition() {
    let mut shop = Shop::open();
    // Given back by nobody's order: there is enough, though less than nothing was supplied.
    shop.append(shop.cancelled(3, &[("A", 5)]));
    shop.append(shop.moved("A", -11));
    shop.append(shop.moved("A", 20));
    let report = shop.audit();
    let stock = &report.of(Check::Stock).unwrap().differences;
    let told = (stock[0].since.unwrap().to_string(), &*stock[0].found);
    let expected = ("inventory/0@3".to_owned(), "Its supply stands at -1 there.");
    assert_eq!(told, expected, "{report}");
}

#[test]
fn figures_beyond_any_integer_do_not_stop_the_audit() {
    let mut shop = Shop::open();
    shop.append(shop.moved("A", i64::MAX));
    shop.append(shop.moved("A", i64::MAX));
    assert_broken(&shop.audit(), &[]);
}

/// The end of `orders` was asked after that of `inventory`, and a sale of new supply came between.
#[test]
fn a_log_that_grows_while_it_is_read_is_not_called_oversold() {
    let mut shop = Shop::open();
    let orders = Partition {
        topic: Topic::Orders,
        number: 0,
    };
    let before = Evidence {
        horizon: Horizon(vec![(orders, shop.end("orders", 0))]),
        ..Evidence::default()
    };
    shop.append(shop.placed(2, &[("A", 11)]));
    assert_broken(&shop.audit_with(&before), &[]);
    let after = Evidence {
        horizon: Horizon(vec![(orders, shop.end("orders", 0))]),
        ..Evidence::default()
    };
    let expected = (Check::Stock, "sku A", "orders/0@1", "1 more were taken");
    assert_broken(&shop.audit_with(&after), &[expected]);
}

/// What was given back to one order cannot have been taken before by another: the end is sound,
/// and yet there was a moment that was not.
#[test]
fn a_moment_that_was_oversold_is_found_though_the_end_is_not() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 6)]));
    shop.append(shop.placed(4, &[("A", 5)]));
    shop.append(shop.cancelled(2, &[("A", 6)]));
    let expected = (
        Check::Stock,
        "sku A",
        "orders/0@2",
        "for a while, in whatever order",
    );
    assert_broken(&shop.audit(), &[expected]);
}

/// Supply stands in a partition of its own: it may have come before what was taken.
#[test]
fn what_another_partition_may_have_given_before_is_no_fault() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 10)]));
    shop.append(shop.placed(3, &[("A", 6)]));
    shop.append(shop.cancelled(2, &[("A", 10)]));
    assert_broken(&shop.audit(), &[]);
}
