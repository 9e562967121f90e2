//! The read models' rows against the fold of the log up to their checkpoints (I4).
//!
//! Orders and movements remember where they stand, so the fold of the whole log answers for any
//! earlier position too: what stands at or behind a partition's checkpoint is left out.

use fnv::{FnvHashMap, FnvHashSet};

use crate::checks::Check;
use crate::evidence::{ItemRow, OrderRow, ReadModelRows};
use crate::fences::Fences;
use crate::orders::{Order, Orders};
use crate::place::{Partition, Place};
use crate::report::Findings;
use crate::stock::Stock;

pub(crate) fn compare(
    rows: &ReadModelRows,
    partitions: &FnvHashMap<Partition, Fences>,
    orders: &Orders,
    stock: &Stock,
    findings: &mut Findings,
) {
    compare_checkpoints(rows, partitions, findings);
    let seen = Seen {
        next_offsets: rows
            .checkpoints
            .iter()
            .map(|checkpoint| (checkpoint.partition, checkpoint.next_offset))
            .collect(),
    };
    compare_orders(&rows.orders, &seen, orders, findings);
    compare_items(&rows.items, &seen, orders, stock, findings);
}

/// What the rows have seen of the log.
struct Seen {
    next_offsets: FnvHashMap<Partition, u64>,
}

impl Seen {
    fn has(&self, place: Place) -> bool {
        let next = self.next_offsets.get(&place.partition);
        next.is_some_and(|next| place.offset < *next)
    }

    /// The status of an order then; `None` before it was placed.
    fn status(&self, order: &Order) -> Option<&'static str> {
        if !self.has(order.placed) {
            return None;
        }
        let cancelled = order.cancelled.is_some_and(|place| self.has(place));
        Some(if cancelled { "cancelled" } else { "placed" })
    }
}

fn compare_checkpoints(
    rows: &ReadModelRows,
    partitions: &FnvHashMap<Partition, Fences>,
    findings: &mut Findings,
) {
    for checkpoint in &rows.checkpoints {
        findings.looked(Check::ReadModels);
        let about = format!("checkpoint of {}", checkpoint.partition);
        let next = checkpoint.next_offset;
        let fences = partitions.get(&checkpoint.partition);
        let end = fences.map_or(0, Fences::next_offset);
        let highest = fences.map_or(0, |fences| fences.highest_before(next));
        let found = if next > end {
            format!("The rows have seen offsets up to {next}, but the log ends at {end}.")
        } else if checkpoint.highest_fence != highest {
            format!(
                "Its highest fence is {}, the log's {highest}.",
                checkpoint.highest_fence
            )
        } else {
            continue;
        };
        findings.broken(Check::ReadModels, about, None, found);
    }
}

fn compare_orders(rows: &[OrderRow], seen: &Seen, orders: &Orders, findings: &mut Findings) {
    let mut shown = FnvHashSet::default();
    let mut id = uuid::Uuid::encode_buffer();
    for row in rows {
        findings.looked(Check::ReadModels);
        let id = &*row.id.as_hyphenated().encode_lower(&mut id);
        let about = || format!("order {}", row.id);
        let order = orders.get(id);
        let Some((order, status)) = order.and_then(|order| Some((order, seen.status(order)?)))
        else {
            let found = "It has a row, but the log up to the checkpoint does not place it.";
            findings.broken(Check::ReadModels, about(), None, found);
            continue;
        };
        shown.insert(order.placed);
        if (row.status.as_str(), row.total) != (status, order.total) {
            let found = format!(
                "The row says {} for {}, the log {status} for {}.",
                row.status, row.total, order.total
            );
            let since = order.cancelled.filter(|place| seen.has(*place));
            findings.broken(
                Check::ReadModels,
                about(),
                since.or(Some(order.placed)),
                found,
            );
        }
    }
    for (id, order) in orders.iter() {
        if seen.has(order.placed) && !shown.contains(&order.placed) {
            let found = "It was placed, but has no row.";
            findings.broken(
                Check::ReadModels,
                format!("order {id}"),
                order.placed,
                found,
            );
        }
    }
}

fn compare_items(
    rows: &[ItemRow],
    seen: &Seen,
    orders: &Orders,
    stock: &Stock,
    findings: &mut Findings,
) {
    let held = orders.held_where(|order| seen.status(order) == Some("placed"));
    let mut shown = FnvHashSet::default();
    for row in rows {
        findings.looked(Check::ReadModels);
        shown.insert(row.sku.as_str());
        let number = stock.number_of(&row.sku);
        let held = number.and_then(|number| held.get(&number)).copied();
        let supplied = stock
            .get(&row.sku)
            .map(|item| item.supplied_where(|place| seen.has(place)));
        let log = (supplied.unwrap_or(0), held.unwrap_or(0), 0);
        let (supplied, held, sold) = (row.supplied, row.held, row.sold);
        if (i128::from(supplied), i128::from(held), i128::from(sold)) != log {
            let found = format!(
                "The row says {supplied} supplied, {held} held, {sold} sold; the log {}, {}, {}.",
                log.0, log.1, log.2
            );
            findings.broken(Check::ReadModels, format!("sku {}", row.sku), None, found);
        }
    }
    for item in stock.iter() {
        let created = item.created.filter(|place| seen.has(*place));
        if created.is_some() && !shown.contains(item.sku.as_ref()) {
            let found = "It came into the catalogue, but has no row.";
            findings.broken(
                Check::ReadModels,
                format!("sku {}", item.sku),
                created,
                found,
            );
        }
    }
}
