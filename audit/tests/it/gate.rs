//! The gate against the log.

use audit::{
    Audit, Check, Evidence, GateDifference, GateItem, GateOrder, GateThings, GateUser, GateValue,
    OrderDigest, StuckRecord, Thing,
};
use serde_json::json;

use crate::comparisons::{shop, users};
use crate::shop::{BUYER, PRICE, Shop, assert_broken, line, order};

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
    let (lines, total) = (json!([line("A", units)]).to_string(), PRICE * units);
    Some(GateOrder {
        version,
        user: order(BUYER),
        status: status.to_owned(),
        total,
        digest: OrderDigest::of_lines(&lines, total, "EUR"),
    })
}

/// Item `A` of [`shop`], as its first record made it.
fn gate_value(available: i64, supplied: i64) -> GateValue {
    GateValue {
        available,
        supplied,
        terms_version: 1,
        name: "N".to_owned(),
        price: PRICE,
        currency: "EUR".to_owned(),
        status: "active".to_owned(),
    }
}

fn gate_user(version: u64, role: &str) -> Option<GateUser> {
    let role = role.to_owned();
    Some(GateUser { version, role })
}

#[test]
fn a_gate_may_forget_orders_that_are_over_and_no_others() {
    let sound = GateThings {
        items: vec![
            ("A".to_owned(), Some(gate_value(7, 10))),
            ("Z".to_owned(), None),
        ],
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
        users: vec![
            (order(5), gate_user(2, "staff")),
            (order(6), gate_user(1, "customer")),
        ],
        claims: vec![
            address("kim", Some(order(5))),
            address("alex", Some(order(6))),
        ],
        ..GateThings::default()
    };
    assert_broken(&users().audit_with(&with_things(sound)), &[]);
    let other = GateThings {
        users: vec![(order(5), gate_user(1, "customer")), (order(6), None)],
        claims: vec![address("kim", Some(order(6))), address("alex", None)],
        ..GateThings::default()
    };
    let names = [5, 6].map(|number| format!("user {}", order(number)));
    let expected = [
        (
            Check::Gate,
            &*names[0],
            "users/0@4",
            "customer at version 1, the log staff at version 2",
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

/// What the catalogue says is the newest record's that changed it; others leave it alone.
#[test]
fn a_gates_terms_are_those_of_the_log() {
    let mut shop = shop();
    shop.append(shop.changed("A", "Lamp", 2 * PRICE));
    shop.append(shop.moved("A", 1));
    shop.append(shop.discontinued("A"));
    shop.append(shop.moved("A", -1));
    let sound = GateValue {
        terms_version: 5,
        name: "Lamp".to_owned(),
        price: 2 * PRICE,
        status: "discontinued".to_owned(),
        ..gate_value(7, 10)
    };
    let audited = |value: &GateValue| {
        shop.audit_with(&with_things(GateThings {
            items: vec![("A".to_owned(), Some(value.clone()))],
            ..GateThings::default()
        }))
    };
    assert_broken(&audited(&sound), &[]);
    let changed: [fn(&mut GateValue); 5] = [
        |value| value.terms_version = 3,
        |value| value.name = "N".to_owned(),
        |value| value.price = PRICE,
        |value| value.currency = "JPY".to_owned(),
        |value| value.status = "active".to_owned(),
    ];
    for change in changed {
        let mut value = sound.clone();
        change(&mut value);
        let log = "the log discontinued at \"Lamp\" for 200 EUR since version 5";
        let expected = (Check::Gate, "sku A", "inventory/0@5", log);
        assert_broken(&audited(&value), &[expected]);
    }
}

#[test]
fn a_gates_orders_are_the_logs_in_lines_and_owner() {
    let other_lines = OrderDigest::of_lines(&json!([line("B", 3)]).to_string(), 3 * PRICE, "EUR");
    type Change = fn(&mut GateOrder);
    let changed: [(Change, &str); 3] = [
        (|order| order.user = self::order(5), "it is of user"),
        (|order| order.digest = None, "other lines"),
        (|order| order.total += 1, "for 301, the log placed"),
    ];
    let audited = |gate: GateOrder| {
        shop().audit_with(&with_things(GateThings {
            orders: vec![(order(2), Some(gate))],
            ..GateThings::default()
        }))
    };
    let sound = gate_order(1, "placed", 3).unwrap();
    let name = format!("order {}", order(2));
    for (change, found) in changed {
        let mut other = sound.clone();
        change(&mut other);
        let expected = (Check::Gate, &*name, "orders/0@1", found);
        assert_broken(&audited(other), &[expected]);
    }
    let other = GateOrder {
        digest: other_lines,
        ..sound
    };
    let expected = (Check::Gate, &*name, "orders/0@1", "other lines");
    assert_broken(&audited(other), &[expected]);
}

#[test]
fn a_gates_users_may_do_what_the_log_says() {
    let things = GateThings {
        users: vec![(order(5), gate_user(2, "admin"))],
        ..GateThings::default()
    };
    let about = format!("user {}", order(5));
    let found = "The gate has admin at version 2, the log staff at version 2.";
    let expected = (Check::Gate, &*about, "users/0@4", found);
    assert_broken(&users().audit_with(&with_things(things)), &[expected]);
}

#[test]
fn what_cannot_be_read_in_a_gate_is_found() {
    let things = GateThings {
        unreadable: vec![Thing::Order(order(2)), Thing::Pending],
        ..GateThings::default()
    };
    let about = format!("order {}", order(2));
    let expected = [
        (Check::Gate, &*about, "", "cannot be read"),
        (Check::Gate, "what is pending", "", "cannot be read"),
    ];
    assert_broken(&shop().audit_with(&with_things(things)), &expected);
}

#[test]
fn a_gate_whose_epoch_was_never_claimed_is_another_logs() {
    let mut shop = shop();
    shop.open_epoch();
    let with_epoch = |epoch| {
        with_things(GateThings {
            epoch: Some(epoch),
            ..GateThings::default()
        })
    };
    assert_broken(&shop.audit_with(&with_epoch(shop.epoch)), &[]);
    for epoch in [0, shop.epoch + 1] {
        let about = format!("epoch {epoch}");
        let found = "nobody claimed it in this log";
        let expected = (Check::Gate, &*about, "", found);
        assert_broken(&shop.audit_with(&with_epoch(epoch)), &[expected]);
    }
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
        let items = vec![("A".to_owned(), Some(gate_value(8, 10)))];
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
