//! The ledger of the read models against the log.

use audit::{Check, Ledger, LedgerEntry, Partition, Place, ReadModelRows, Topic};

use crate::comparisons::{rows, shop, with_rows};
use crate::shop::{assert_broken, order};

/// An entry of the ledger: the record's place, units, why, for which order.
type Entry = (Topic, u16, u64, i64, &'static str, Option<u128>);

/// What the ledger has of [`shop`].
fn entries() -> Vec<Entry> {
    vec![
        (Topic::Inventory, 0, 2, 10, "received", None),
        (Topic::Orders, 0, 1, -3, "order", Some(2)),
        (Topic::Orders, 1, 1, -1, "order", Some(3)),
        (Topic::Orders, 1, 2, 1, "cancellation", Some(3)),
    ]
}

fn ledger(sku: &str, entries: &[Entry]) -> Option<Ledger> {
    let mut ledger = Ledger::default();
    for (topic, number, offset, quantity, reason, of) in entries.iter().copied() {
        let partition = Partition { topic, number };
        let entry = LedgerEntry {
            place: Some(Place { partition, offset }),
            quantity,
            reason,
            order: of.map(order),
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
    more[0].3 += 1;
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
fn an_entry_of_the_ledger_with_another_reason_order_or_record_is_found() {
    let shop = shop();
    type Change = fn(&mut Entry);
    let changes: [Change; 4] = [
        |entry| entry.4 = "recount",
        |entry| entry.5 = Some(3),
        |entry| entry.5 = None,
        |entry| entry.2 += 1,
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
