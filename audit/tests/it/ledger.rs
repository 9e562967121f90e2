//! The ledger of the read models against the log.

use audit::{Check, Ledger, LedgerEntry, Partition, Place, ReadModelRows, Topic};

use crate::comparisons::{NEW_YEAR, rows, shop, with_rows};
use crate::shop::{assert_broken, order};

/// An entry of the ledger. The records of [`shop`] say nothing of who made them but that.
#[derive(Clone, Copy)]
struct Entry {
    place: (Topic, u16, u64),
    quantity: i64,
    reason: &'static str,
    order: Option<u128>,
    /// Seconds since 2026 began.
    second: i64,
    actor: &'static str,
    actor_id: Option<u128>,
    reference: Option<&'static str>,
}

fn entry(
    place: (Topic, u16, u64),
    second: i64,
    quantity: i64,
    reason: &'static str,
    order: Option<u128>,
) -> Entry {
    Entry {
        place,
        quantity,
        reason,
        order,
        second,
        actor: "operator",
        actor_id: None,
        reference: None,
    }
}

/// What the ledger has of [`shop`].
fn entries() -> Vec<Entry> {
    vec![
        entry((Topic::Inventory, 0, 2), 2, 10, "received", None),
        entry((Topic::Orders, 0, 1), 3, -3, "order", Some(2)),
        entry((Topic::Orders, 1, 1), 4, -1, "order", Some(3)),
        entry((Topic::Orders, 1, 2), 5, 1, "cancellation", Some(3)),
    ]
}

fn ledger(sku: &str, entries: &[Entry]) -> Option<Ledger> {
    let mut ledger = Ledger::default();
    for entry in entries {
        let (topic, number, offset) = entry.place;
        let partition = Partition { topic, number };
        let entry = LedgerEntry {
            place: Some(Place { partition, offset }),
            at: NEW_YEAR + entry.second * 1_000_000,
            quantity: entry.quantity,
            reason: entry.reason,
            order: entry.order.map(order),
            actor: entry.actor,
            actor_id: entry.actor_id.map(order),
            reference: entry.reference,
        };
        ledger.add(sku, entry);
    }
    Some(ledger)
}

#[test]
fn the_ledger_is_compared_by_its_sums() {
    let shop = shop();
    let with = |ledger: Option<Ledger>| {
        let rows = ReadModelRows {
            ledger,
            ..rows(&shop)
        };
        shop.audit_with(&with_rows(rows))
    };
    let mut backwards = entries();
    backwards.reverse();
    assert_broken(&with(ledger("A", &backwards)), &[]);
    let mut more = entries();
    more[0].quantity += 1;
    for wrong in [&more[..], &entries()[1..]] {
        let expected = (
            Check::ReadModels,
            "sku A",
            "orders/1@2",
            "the log 4 that move 7",
        );
        assert_broken(&with(ledger("A", wrong)), &[expected]);
    }
    let expected = [
        (Check::ReadModels, "sku A", "orders/1@2", "has 0 entries"),
        (Check::ReadModels, "sku Z", "", "the log none"),
    ];
    assert_broken(&with(ledger("Z", &entries())), &expected);
}

#[test]
fn an_entry_of_the_ledger_that_says_something_else_is_found() {
    let shop = shop();
    type Change = fn(&mut Entry);
    let changes: [Change; 8] = [
        |entry| entry.reason = "recount",
        |entry| entry.order = Some(3),
        |entry| entry.order = None,
        |entry| entry.place.2 += 1,
        |entry| entry.second += 1,
        |entry| entry.actor = "user",
        |entry| entry.actor_id = Some(1),
        |entry| entry.reference = Some("note"),
    ];
    for change in changes {
        let mut entries = entries();
        change(&mut entries[1]);
        let rows = ReadModelRows {
            ledger: ledger("A", &entries),
            ..rows(&shop)
        };
        let expected = (Check::ReadModels, "sku A", "orders/1@2", "is another");
        assert_broken(&shop.audit_with(&with_rows(rows)), &[expected]);
    }
}
