//! The read models' rows against the fold of the log up to their checkpoints (I4).
//!
//! Orders, users and movements remember where they stand, so the fold of the whole log answers for
//! any earlier position too: what stands at or behind a partition's checkpoint is left out.

use std::collections::BTreeMap;

use fnv::{FnvHashMap, FnvHashSet};

use crate::checks::Check;
use crate::evidence::{ItemRow, LedgerSum, OrderRow, ReadModelRows, UserRow};
use crate::orders::Order;
use crate::place::{Offset, Partition, Place};
use crate::report::Findings;
use crate::whole::Whole;

pub(crate) fn compare(rows: &ReadModelRows, log: &Whole<'_>, findings: &mut Findings) {
    compare_checkpoints(rows, log, findings);
    let checkpoints = rows.checkpoints.iter();
    let seen = Seen {
        next_offsets: checkpoints
            .map(|checkpoint| (checkpoint.partition, checkpoint.next_offset))
            .collect(),
    };
    compare_orders(&rows.orders, &seen, log, findings);
    compare_items(&rows.items, &seen, log, findings);
    if let Some(users) = &rows.users {
        compare_users(users, &seen, log, findings);
    }
    if let Some(ledger) = &rows.ledger {
        compare_ledger(ledger, &seen, log, findings);
    }
}

/// What the rows have seen of the log.
struct Seen {
    next_offsets: FnvHashMap<Partition, u64>,
}

impl Seen {
    fn next_offset(&self, partition: Partition) -> u64 {
        self.next_offsets.get(&partition).copied().unwrap_or(0)
    }

    fn has(&self, place: Place) -> bool {
        place.offset < self.next_offset(place.partition)
    }

    fn has_at(&self, partition: Partition, at: Option<Offset>) -> bool {
        at.is_some_and(|at| self.has(at.of(partition)))
    }

    /// The status of an order then; `None` before it was placed.
    fn status(&self, partition: Partition, order: &Order) -> Option<&'static str> {
        if !self.has_at(partition, order.placed) {
            return None;
        }
        let cancelled = self.has_at(partition, order.cancelled);
        Some(if cancelled { "cancelled" } else { "placed" })
    }
}

fn compare_checkpoints(rows: &ReadModelRows, log: &Whole<'_>, findings: &mut Findings) {
    for checkpoint in &rows.checkpoints {
        findings.looked(Check::ReadModels);
        let about = format!("checkpoint of {}", checkpoint.partition);
        let next = checkpoint.next_offset;
        let fences = log
            .parts
            .get(&checkpoint.partition)
            .map(|part| &part.fences);
        let end = fences.map_or(0, |fences| fences.next_offset());
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

fn compare_orders(rows: &[OrderRow], seen: &Seen, log: &Whole<'_>, findings: &mut Findings) {
    let mut shown = FnvHashSet::default();
    for row in rows {
        findings.looked(Check::ReadModels);
        let about = || format!("order {}", row.id);
        let order = log.order(row.id);
        let order = order.and_then(|(of, order)| Some((of, order, seen.status(of, order)?)));
        let Some((partition, order, status)) = order else {
            let found = "It has a row, but the log up to the checkpoint does not place it.";
            findings.broken(Check::ReadModels, about(), None, found);
            continue;
        };
        shown.insert(row.id.as_u128());
        if (row.status.as_str(), row.total) != (status, order.total) {
            let found = format!(
                "The row says {} for {}, the log {status} for {}.",
                row.status, row.total, order.total
            );
            let cancelled = order.cancelled.filter(|_| status == "cancelled");
            let since = cancelled.or(order.placed).map(|at| at.of(partition));
            findings.broken(Check::ReadModels, about(), since, found);
        }
    }
    let mut missing: Vec<_> = log
        .orders()
        .filter(|(of, id, order)| seen.has_at(*of, order.placed) && !shown.contains(&id.as_u128()))
        .collect();
    missing.sort_by_key(|(partition, _, order)| (*partition, order.placed));
    for (partition, id, order) in missing {
        let since = order.placed.map(|at| at.of(partition));
        let found = "It was placed, but has no row.";
        findings.broken(Check::ReadModels, format!("order {id}"), since, found);
    }
}

fn compare_items(rows: &[ItemRow], seen: &Seen, log: &Whole<'_>, findings: &mut Findings) {
    let stock = &log.stock;
    let held = log.held_where(|of, order| seen.status(of, order) == Some("placed"));
    let mut shown = FnvHashSet::default();
    for row in rows {
        findings.looked(Check::ReadModels);
        shown.insert(row.sku.as_str());
        let number = stock.number_of(&row.sku);
        let in_log = number.map(|number| {
            let supplied = stock.supplied_where(number, |place| seen.has(place));
            (supplied, held[number as usize], 0)
        });
        let in_log = in_log.unwrap_or((0, 0, 0));
        let (supplied, held, sold) = (row.supplied, row.held, row.sold);
        if (i128::from(supplied), i128::from(held), i128::from(sold)) != in_log {
            let moves = number
                .into_iter()
                .flat_map(|number| stock.movements(number));
            let seen_moves = moves.filter(|(place, _)| seen.has(*place));
            let newest = seen_moves.max_by_key(|(_, movement)| movement.time);
            let newest = newest.map(|(place, _)| place);
            let found = format!(
                "The row says {supplied} supplied, {held} held, {sold} sold; the log {}, {}, {}.",
                in_log.0, in_log.1, in_log.2
            );
            findings.broken(Check::ReadModels, format!("sku {}", row.sku), newest, found);
        }
    }
    for (number, sku) in stock.skus() {
        let created = stock.created(number).filter(|place| seen.has(*place));
        if created.is_some() && !shown.contains(sku) {
            let found = "It came into the catalogue, but has no row.";
            findings.broken(Check::ReadModels, format!("sku {sku}"), created, found);
        }
    }
}

/// A user's version at the checkpoint is known where the checkpoint is behind its newest record;
/// before that it has to be a lower one.
fn compare_users(rows: &[UserRow], seen: &Seen, log: &Whole<'_>, findings: &mut Findings) {
    let mut shown = FnvHashSet::default();
    for row in rows {
        findings.looked(Check::ReadModels);
        let about = || format!("user {}", row.id);
        let user = log.user(row.id);
        let user = user.filter(|(of, user)| seen.has_at(*of, user.registered));
        let Some((partition, user)) = user else {
            let found = "It has a row, but the log up to the checkpoint does not register it.";
            findings.broken(Check::ReadModels, about(), None, found);
            continue;
        };
        shown.insert(row.id);
        let role = user
            .role_before(seen.next_offset(partition))
            .unwrap_or_default();
        let whole = seen.has_at(partition, user.newest);
        let version_fits = match whole {
            true => row.version == user.version,
            false => row.version < user.version,
        };
        if row.role != role || *row.email_hash != *user.email_hash || !version_fits {
            let found = format!(
                "The row says {} at version {} with the address {}, the log {role} at version \
                 {}{} with {}.",
                row.role,
                row.version,
                row.email_hash,
                user.version,
                if whole { "" } else { " or before" },
                user.email_hash
            );
            let since = if whole { user.newest } else { user.registered };
            let since = since.map(|at| at.of(partition));
            findings.broken(Check::ReadModels, about(), since, found);
        }
    }
    for (partition, id, user) in log.users() {
        if seen.has_at(partition, user.registered) && !shown.contains(&id) {
            let since = user.registered.map(|at| at.of(partition));
            let found = "It registered, but has no row.";
            findings.broken(Check::ReadModels, format!("user {id}"), since, found);
        }
    }
}

fn compare_ledger(rows: &[LedgerSum], seen: &Seen, log: &Whole<'_>, findings: &mut Findings) {
    let mut rows: BTreeMap<&str, (u64, i128)> = rows
        .iter()
        .map(|row| (&*row.sku, (row.entries, i128::from(row.quantity))))
        .collect();
    for (number, sku) in log.stock.skus() {
        let moves = log.stock.movements(number);
        let (mut newest, mut expected) = (None, (0, 0));
        for (place, movement) in moves.filter(|(place, _)| seen.has(*place)) {
            newest = newest.max(Some((movement.time, place)));
            expected = (expected.0 + 1, expected.1 + i128::from(movement.quantity));
        }
        let found = rows.remove(sku).unwrap_or((0, 0));
        findings.looked(Check::ReadModels);
        if found != expected {
            let found = format!(
                "Its ledger has {} entries that move {}, the log {} that move {}.",
                found.0, found.1, expected.0, expected.1
            );
            let newest = newest.map(|(_, place)| place);
            findings.broken(Check::ReadModels, format!("sku {sku}"), newest, found);
        }
    }
    for (sku, (entries, quantity)) in rows {
        let found = format!("Its ledger has {entries} entries that move {quantity}, the log none.");
        findings.broken(Check::ReadModels, format!("sku {sku}"), None, found);
    }
}
