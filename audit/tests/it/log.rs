//! Faults of the log itself: what cannot be read, what is missing, what does not belong.

use audit::{Acknowledged, Check, Evidence, Partition, Place, Topic};

use crate::shop::{Record, Shop, assert_broken, order};

#[test]
fn an_entry_that_is_no_record_is_found() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 1)]));
    shop.last_of("orders").bytes = "{}".to_owned();
    let expected = (Check::Readable, "an entry", "orders/0@1", "envelope");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn an_envelope_of_another_width_is_found() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 1)]));
    let entry = shop.last_of("orders");
    entry.bytes = entry
        .bytes
        .replace(r#""epoch":"00000000000000000001""#, r#""epoch":"1""#);
    let expected = (Check::Readable, "an entry", "orders/0@1", "order and width");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn a_body_of_a_newer_format_is_found_by_name() {
    let mut shop = Shop::open();
    shop.append(Record {
        format: 2,
        ..shop.placed(2, &[("A", 1)])
    });
    let about = format!("order {}", order(2));
    let expected = (Check::Readable, about.as_str(), "orders/0@1", "format 2");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn an_event_that_nobody_knows_is_found() {
    let mut shop = Shop::open();
    let mut record = shop.placed(2, &[("A", 1)]);
    record.events[0]["type"] = "order-teleported".into();
    shop.append(record);
    let about = format!("order {}", order(2));
    let expected = (Check::Readable, about.as_str(), "orders/0@1", "teleported");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn a_deleted_entry_leaves_a_hole() {
    let mut shop = Shop::open();
    for number in [2, 4, 6] {
        shop.append(shop.placed(number, &[("A", 1)]));
    }
    shop.entries
        .retain(|entry| (entry.topic, entry.offset) != ("orders", 2));
    let expected = (Check::Complete, "orders/0", "orders/0@3", "Offsets 2 to 2");
    assert_broken(&shop.audit(), &[expected]);
}

/// Field report R07: records were deleted before the readers' checkpoints.
#[test]
fn a_log_whose_beginning_was_deleted_is_not_ok() {
    let mut shop = Shop::open();
    shop.append(shop.placed(2, &[("A", 1)]));
    shop.entries
        .retain(|entry| entry.topic != "orders" || entry.offset > 0);
    let report = shop.audit();
    assert!(!report.ok);
    let complete = report.of(Check::Complete).unwrap();
    assert_eq!(complete.broken, 3, "one hole, two fences gone: {report}");
}

#[test]
fn a_topic_that_was_replaced_is_found_by_its_fences() {
    let mut shop = Shop::open();
    shop.entries.retain(|entry| entry.topic != "users");
    let expected = (
        Check::Complete,
        "users/0",
        "epochs/0@1",
        "its fence is gone",
    );
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn a_log_without_its_epochs_is_found() {
    let mut shop = Shop::open();
    shop.entries.retain(|entry| entry.topic != "epochs");
    assert_broken(
        &shop.audit(),
        &[(Check::Complete, "epochs/0", "", "not read")],
    );
}

#[test]
fn records_behind_a_newer_fence_and_second_copies_do_not_count() {
    let mut shop = Shop::open();
    let late = shop.placed(2, &[("A", 9)]);
    let first = shop.append(shop.placed(4, &[("A", 9)]));
    shop.append(first);
    shop.open_epoch();
    shop.append(late);
    shop.fence("orders", 0);
    let report = shop.audit();
    assert_broken(&report, &[]);
    assert_eq!((report.counts.void, report.counts.duplicates), (1, 1));
    assert_eq!(report.counts.orders, 1);
}

#[test]
fn a_record_of_an_epoch_that_was_never_fenced_is_forged() {
    let mut shop = Shop::open();
    shop.append(Record {
        epoch: 9,
        ..shop.placed(2, &[("A", 1)])
    });
    let about = format!("order {}", order(2));
    let expected = (Check::Fences, about.as_str(), "orders/0@1", "Epoch 9");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn a_version_gap_is_told_once() {
    let mut shop = Shop::open();
    shop.append(Record {
        version: 5,
        ..shop.moved("A", 1)
    });
    shop.append(shop.moved("A", 1));
    let expected = (Check::Versions, "sku A", "inventory/0@3", "Version 5");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn two_records_of_one_version_are_a_fault() {
    let mut shop = Shop::open();
    shop.append(shop.moved("A", 1));
    shop.append(Record {
        version: 3,
        ..shop.moved("A", 7)
    });
    let expected = (Check::Versions, "sku A", "inventory/0@4", "another record");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn one_record_that_counts_twice_is_a_fault() {
    let mut shop = Shop::open();
    let record = shop.append(shop.moved("A", 1));
    shop.append(Record {
        version: 4,
        ..record.clone()
    });
    let about = format!("record {}", record.id);
    let expected = (Check::Versions, &*about, "inventory/0@4", "counts twice");
    assert_broken(&shop.audit(), &[expected]);
}

#[test]
fn an_aggregate_in_a_partition_that_is_not_its_own_is_a_fault() {
    let mut shop = Shop::open();
    shop.append(Record {
        partition: 1,
        ..shop.moved("A", 1)
    });
    let expected = [
        (
            Check::Versions,
            "sku A",
            "inventory/1@1",
            "Version 3 follows version 0",
        ),
        (Check::Versions, "sku A", "", "belongs into inventory/0"),
    ];
    assert_broken(&shop.audit(), &expected);
}

/// A list from outside may name records, orders, or where a record stands.
#[test]
fn what_was_acknowledged_may_be_named_in_other_ways() {
    let mut shop = Shop::open();
    let kept = shop.append(shop.placed(2, &[("A", 1)]));
    let place = |offset| {
        let (topic, number) = (Topic::Orders, 0);
        let partition = Partition { topic, number };
        Acknowledged::Place(Place { partition, offset })
    };
    let given = |acknowledged| Evidence {
        acknowledged: Ok(acknowledged),
        ..Evidence::default()
    };
    let sound = given(vec![
        Acknowledged::Id(kept.id),
        Acknowledged::Id(order(2)),
        place(1),
    ]);
    assert_broken(&shop.audit_with(&sound), &[]);
    // A fence is no record.
    let lost = given(vec![Acknowledged::Id(order(4)), place(0), place(2)]);
    let about = format!("record or order {}", order(4));
    let expected = [
        (Check::Acknowledged, &*about, "", "0 valid records"),
        (
            Check::Acknowledged,
            "the record at orders/0@0",
            "",
            "0 valid",
        ),
        (
            Check::Acknowledged,
            "the record at orders/0@2",
            "",
            "0 valid",
        ),
    ];
    assert_broken(&shop.audit_with(&lost), &expected);
}

#[test]
fn an_acknowledged_command_without_a_valid_record_is_lost() {
    let mut shop = Shop::open();
    let kept = shop.append(shop.placed(2, &[("A", 1)]));
    let late = shop.placed(4, &[("A", 1)]);
    shop.open_epoch();
    let void = shop.append(late);
    let acknowledged = |all: Vec<Acknowledged>| Evidence {
        acknowledged: Ok(all),
        ..Evidence::default()
    };
    let sound = acknowledged(vec![
        Acknowledged::Record(kept.id),
        Acknowledged::Order(order(2)),
    ]);
    assert_broken(&shop.audit_with(&sound), &[]);
    let lost = acknowledged(vec![
        Acknowledged::Record(void.id),
        Acknowledged::Order(order(4)),
    ]);
    let (record, placed) = (format!("record {}", void.id), format!("order {}", order(4)));
    let expected = [
        (Check::Acknowledged, record.as_str(), "", "0 valid records"),
        (Check::Acknowledged, placed.as_str(), "", "0 valid records"),
    ];
    assert_broken(&shop.audit_with(&lost), &expected);
}

/// Whatever came behind it in its partition would be void.
#[test]
fn a_fence_that_nobody_claimed_is_found() {
    let mut shop = Shop::open();
    let epoch = std::mem::replace(&mut shop.epoch, 1 << 60);
    shop.fence("orders", 0);
    shop.epoch = epoch;
    shop.append(shop.placed(2, &[("A", 1)]));
    let report = shop.audit();
    let expected = (
        Check::Fences,
        "orders/0",
        "orders/0@1",
        "which nobody claimed",
    );
    assert_broken(&report, &[expected]);
    assert_eq!(report.counts.void, 1);
}

/// Two nodes claimed at once: one gave up before its fences, the other died within them.
#[test]
fn an_epoch_of_which_nothing_came_is_no_fault() {
    let mut shop = Shop::open();
    shop.claim();
    shop.claim();
    shop.fence("orders", 0);
    shop.open_epoch();
    shop.append(shop.placed(2, &[("A", 1)]));
    assert_broken(&shop.audit(), &[]);
}

#[test]
fn an_epoch_whose_node_died_before_it_said_so_has_all_its_fences() {
    let mut shop = Shop::open();
    shop.begin_epoch();
    shop.append(shop.placed(2, &[("A", 1)]));
    assert_broken(&shop.audit(), &[]);
    shop.claim();
    shop.fence("orders", 0);
    shop.append(shop.placed(4, &[("A", 1)]));
    let names = ["users/0", "orders/1", "inventory/0", "inventory/1"];
    let expected = names.map(|name| (Check::Complete, name, "orders/0@4", "but no fence here"));
    assert_broken(&shop.audit(), &expected);
}

/// The ends of partitions are asked one after the other, and a recovery came between: its claim
/// or other fences stand behind ends that were asked before.
#[test]
fn an_epoch_that_begins_while_the_log_is_read_is_no_fault() {
    let mut shop = Shop::open();
    let partition = Partition {
        topic: Topic::Orders,
        number: 0,
    };
    let horizon = |shop: &Shop| Evidence {
        horizon: audit::Horizon(vec![(partition, shop.end("orders", 0))]),
        ..Evidence::default()
    };
    let before = horizon(&shop);
    shop.epoch += 7;
    shop.fence("orders", 0);
    assert_broken(&shop.audit_with(&before), &[]);
    assert!(!shop.audit_with(&horizon(&shop)).ok);

    let mut shop = Shop::open();
    shop.claim();
    shop.fence("orders", 0);
    let before = horizon(&shop);
    shop.append(shop.placed(2, &[("A", 1)]));
    assert_broken(&shop.audit_with(&before), &[]);
    assert!(!shop.audit_with(&horizon(&shop)).ok);
}
