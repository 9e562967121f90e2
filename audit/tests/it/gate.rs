//! The gate against the log.

use audit::{
    Audit, Check, Evidence, GateDifference, GateItem, GateOrder, GateThings, StuckRecord, Thing,
};

use crate::comparisons::{shop, users};
use crate::shop::{PRICE, Shop, assert_broken, order};

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
fn a_gate_that_is_the_fold_of_the_log_is_ok() {
    let report = shop().audit_with(&with_gate(&[("A", 7, 10)]));
    assert_broken(&report, &[]);
    assert_eq!(report.of(Check::Gate).unwrap().looked_at, 1);
}

#[test]
fn a_gate_with_other_figures_is_found() {
    for wrong in [("A", 8, 10), ("A", 7, 11)] {
        let expected = (Check::Gate, "sku A", "orders/1@2", "the log 7 of 10");
        assert_broken(&shop().audit_with(&with_gate(&[wrong])), &[expected]);
    }
}

#[test]
fn a_gate_that_lacks_an_item_or_has_another_is_found() {
    let expected = [
        (Check::Gate, "sku B", "", "no record creates it"),
        (Check::Gate, "sku A", "inventory/0@1", "unknown SKU"),
    ];
    assert_broken(&shop().audit_with(&with_gate(&[("B", 1, 1)])), &expected);
}

fn with_things(things: GateThings) -> Evidence {
    Evidence {
        gate_things: Ok(things),
        ..Evidence::default()
    }
}

fn gate_order(version: u64, status: &str, units: i64) -> Option<GateOrder> {
    Some(GateOrder {
        version,
        status: status.to_owned(),
        total: PRICE * units,
    })
}

#[test]
fn a_gate_may_forget_orders_that_are_over_and_no_others() {
    let sound = GateThings {
        items: vec![("A".to_owned(), Some((7, 10))), ("Z".to_owned(), None)],
        orders: vec![
            (order(2), gate_order(1, "placed", 3)),
            (order(3), gate_order(2, "cancelled", 1)),
            (order(3), None),
        ],
        agreed: 5,
        ..GateThings::default()
    };
    let report = shop().audit_with(&with_things(sound));
    assert_broken(&report, &[]);
    assert_eq!(report.of(Check::Gate).unwrap().looked_at, 10);
    let forgotten = GateThings {
        orders: vec![
            (order(2), None),
            (order(3), gate_order(1, "placed", 1)),
            (order(9), gate_order(1, "placed", 1)),
        ],
        ..GateThings::default()
    };
    let names = [2, 3, 9].map(|number| format!("order {}", order(number)));
    let expected = [
        (Check::Gate, &*names[0], "orders/0@1", "does not know it"),
        (
            Check::Gate,
            &*names[1],
            "orders/1@2",
            "log cancelled at version 2",
        ),
        (Check::Gate, &*names[2], "", "no record places it"),
    ];
    assert_broken(&shop().audit_with(&with_things(forgotten)), &expected);
}

/// A user that registered and became staff, and one more.
#[test]
fn a_gates_users_and_addresses_are_those_of_the_log() {
    let address = |hash: &str, owner| (hash.to_owned(), owner);
    let sound = GateThings {
        users: vec![(order(5), Some(2)), (order(6), Some(1))],
        claims: vec![
            address("kim", Some(order(5))),
            address("alex", Some(order(6))),
        ],
        ..GateThings::default()
    };
    assert_broken(&users().audit_with(&with_things(sound)), &[]);
    let other = GateThings {
        users: vec![(order(5), Some(1)), (order(6), None)],
        claims: vec![address("kim", Some(order(6))), address("alex", None)],
        ..GateThings::default()
    };
    let names = [5, 6].map(|number| format!("user {}", order(number)));
    let expected = [
        (
            Check::Gate,
            &*names[0],
            "users/0@4",
            "version 1, the log version 2",
        ),
        (Check::Gate, &*names[1], "users/0@3", "no such user"),
        (
            Check::Gate,
            "address kim",
            "users/0@2",
            "in the log to user",
        ),
        (
            Check::Gate,
            "address alex",
            "users/0@3",
            "belongs to nobody",
        ),
    ];
    assert_broken(&users().audit_with(&with_things(other)), &expected);
}

#[test]
fn a_record_that_stays_pending_is_held_by_nobody() {
    let shop = shop();
    let things = GateThings {
        stuck: vec![
            StuckRecord {
                id: order(7),
                about: Some(Thing::Sku("A".to_owned())),
            },
            StuckRecord {
                id: order(8),
                about: None,
            },
        ],
        ..GateThings::default()
    };
    let names = [7, 8].map(|number| format!("record {}", order(number)));
    let expected = [
        (Check::Gate, &*names[0], "", "of sku A stays pending"),
        (Check::Gate, &*names[1], "", "that cannot be read"),
    ];
    assert_broken(&shop.audit_with(&with_things(things)), &expected);
}

/// Whether anything came into the log between two looks decides whether a difference is one.
#[test]
fn movements_that_leave_the_figures_alone_are_seen_between_two_looks() {
    let differing = |shop: &Shop| -> Vec<GateDifference> {
        let mut audit = Audit::new();
        for entry in &shop.entries {
            let bytes = entry.bytes.as_bytes();
            audit.take_in(entry.topic, entry.partition, entry.offset, bytes);
        }
        let items = vec![("A".to_owned(), Some((8, 10)))];
        audit.differing(&GateThings {
            items,
            ..GateThings::default()
        })
    };
    let mut shop = shop();
    let before = differing(&shop);
    // The newest record by its time is another one: this node's clock is behind.
    let late = |mut record: crate::shop::Record| {
        record.second = 0;
        record
    };
    shop.append(late(shop.placed(4, &[("A", 1)])));
    shop.append(late(shop.cancelled(4, &[("A", 1)])));
    let after = differing(&shop);
    let told = |differs: &[GateDifference]| (differs[0].found.clone(), differs[0].since);
    assert_eq!(told(&before), told(&after));
    assert_ne!(before, after);
}
