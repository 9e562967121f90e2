//! What the audit compares with the log: every row and the checkpoints, of one moment.

use query_api::read_model::{DumpedItem, DumpedOrder};
use record::Partition;

use crate::fixture::{Place, drain, sqlite_log};
use crate::shop::Shop;

async fn a_dump_has_the_figures_of_every_row(place: &Place) {
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "it's", None).await;
    shop.move_stock("A", 10).await;
    let (kept, _) = shop.order(1, &[("A", 3)]).await;
    let (gone, _) = shop.order(1, &[("A", 2)]).await;
    let last = shop.cancel(gone).await;
    drain(&log, place).await;
    let dump = place.queries().dump().await.unwrap();

    let statuses: Vec<_> = dump.orders.iter().map(|o| (o.id, &*o.status)).collect();
    assert_eq!(statuses, [(kept.0, "placed"), (gone.0, "cancelled")]);
    let item = DumpedItem {
        sku: "A".to_owned(),
        supplied: 10,
        held: 3,
        sold: 0,
    };
    assert_eq!(dump.items, [item]);
    let mut checkpoints = dump.checkpoints.iter();
    let of_orders = checkpoints.find(|row| row.topic == "orders").unwrap();
    assert_eq!(of_orders.next_offset, last.offset as i64 + 1);
    assert_eq!(of_orders.highest_fence, 1);
    let all = log.layout().partitions_of_record().len() + [Partition::USER_KEYS].len();
    assert_eq!(dump.checkpoints.len(), all);
}

/// More rows than one page has: none is left out, none comes twice.
async fn a_dump_goes_on_behind_the_last_row_of_a_page(place: &Place) {
    const ROWS: usize = 10_001;
    let values = |from: usize, to: usize| -> String {
        let row =
            |n: usize| format!("(x'{n:032x}', x'00', 'placed', {n}, 'EUR', 0, 1, '[]', '[]')");
        (from..to).map(row).collect::<Vec<_>>().join(",")
    };
    for from in (0..ROWS).step_by(1_000) {
        let rows = values(from, ROWS.min(from + 1_000));
        place
            .execute(&format!("INSERT INTO orders VALUES {rows}"))
            .await;
    }
    let dump = place.queries().dump().await.unwrap();
    let totals: Vec<i64> = dump
        .orders
        .iter()
        .map(|row: &DumpedOrder| row.total)
        .collect();
    assert_eq!(totals, (0..ROWS as i64).collect::<Vec<_>>());
}

on_both_stores![
    a_dump_has_the_figures_of_every_row,
    a_dump_goes_on_behind_the_last_row_of_a_page,
];
