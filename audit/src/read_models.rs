//! The read models' rows against the fold of the log up to their checkpoints (I4).
//!
//! Orders, users and movements remember where they stand, so the fold of the whole log answers for
//! any earlier position too: what stands at or behind a partition's checkpoint is left out.
//!
//! Not compared: what is sealed (a user's name and address) and the wrapped keys that open it; and
//! by which version of the fold the rows were made, and as which build.

use std::collections::BTreeMap;

use fnv::{FnvHashMap, FnvHashSet};
use uuid::Uuid;

use crate::checks::Check;
use crate::evidence::{CatalogueRow, ItemRow, Ledger, LedgerSum, OrderRow, ReadModelRows, UserRow};
use crate::orders::Order;
use crate::place::{Offset, Partition, Place};
use crate::report::Findings;
use crate::whole::Whole;

pub(crate) fn compare(rows: &ReadModelRows, log: &Whole<'_>, findings: &mut Findings) {
    compare_source(rows.log, log, findings);
    compare_checkpoints(rows, log, findings);
    let checkpoints = rows.checkpoints.iter();
    let seen = Seen {
        next_offsets: checkpoints
            .map(|checkpoint| (checkpoint.partition, checkpoint.next_offset))
            .collect(),
    };
    compare_orders(&rows.orders, &seen, log, findings);
    compare_items(&rows.items, &seen, log, findings);
    if let Some(catalogue) = &rows.catalogue {
        compare_catalogue(catalogue, &seen, log, findings);
    }
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

fn compare_source(source: Option<Uuid>, log: &Whole<'_>, findings: &mut Findings) {
    let (Some(source), Some(id)) = (source, log.log_id()) else {
        return;
    };
    findings.looked(Check::ReadModels);
    if source != id {
        let found = format!("The rows say that they are of log {source}, but this is log {id}.");
        findings.broken(Check::ReadModels, "the rows' source", None, found);
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
        let next = seen.next_offset(partition);
        let mut found = vec![];
        if (row.status.as_str(), row.total) != (status, order.total) {
            found.push(format!(
                "The row says {} for {}, the log {status} for {}.",
                row.status, row.total, order.total
            ));
        }
        if !order.reached.allows(row.version, next) {
            let (row, log) = (row.version, order.reached.told(next));
            found.push(format!("The row is at version {row}, the log at {log}."));
        }
        if row.user != order.user {
            let (row, log) = (row.user, order.user);
            found.push(format!("The row is of user {row}, in the log of {log}."));
        }
        if row.placed_at != order.placed_at {
            found.push("The row has another time of placing than the log.".to_owned());
        }
        if row.digest != Some(order.digest(status)) {
            let differs = "The row's lines, its currency or its history are not those of the log.";
            found.push(differs.to_owned());
        }
        if !found.is_empty() {
            let cancelled = order.cancelled.filter(|_| status == "cancelled");
            let since = cancelled.or(order.placed).map(|at| at.of(partition));
            findings.broken(Check::ReadModels, about(), since, found.join(" "));
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

/// What the catalogue said at the checkpoint. An item whose own records were not seen yet is a
/// stub, which says nothing.
fn compare_catalogue(rows: &[CatalogueRow], seen: &Seen, log: &Whole<'_>, findings: &mut Findings) {
    for row in rows {
        findings.looked(Check::ReadModels);
        let about = || format!("sku {}", row.sku);
        let number = log.stock.number_of(&row.sku);
        let said = number.and_then(|number| {
            log.stock
                .catalogue_before(number, |of| seen.next_offset(of))
        });
        let Some((partition, entry, reached)) = said else {
            if row.version != 0 {
                let found = format!(
                    "The row is at version {}, but the log up to the checkpoint does not create it.",
                    row.version
                );
                findings.broken(Check::ReadModels, about(), None, found);
            }
            continue;
        };
        let next = seen.next_offset(partition);
        let status = entry.status();
        let price = entry.price;
        let same = row.name == *entry.name
            && row.category.as_deref() == entry.category.as_deref()
            && (row.price, &*row.currency) == (price.amount, &*price.currency.to_string())
            && row.status == status;
        let since = reached.place(partition).filter(|_| reached.is_seen(next));
        if same && reached.allows(row.version, next) {
            let found = if row.created_at != entry.created_at {
                "The row has another time of creation than the log."
            } else if !row.is_found {
                "A search for its name or its SKU does not find it."
            } else {
                continue;
            };
            findings.broken(Check::ReadModels, about(), since, found);
            continue;
        }
        let category =
            |category: Option<&str>| category.map_or("none".into(), |it| format!("{it:?}"));
        let found = format!(
            "The row says {} at version {}: {:?} for {} {}, category {}; the log {status} at {}: \
             {:?} for {price}, category {}.",
            row.status,
            row.version,
            row.name,
            row.price,
            row.currency,
            category(row.category.as_deref()),
            reached.told(next),
            entry.name,
            category(entry.category.as_deref()),
        );
        findings.broken(Check::ReadModels, about(), since, found);
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
        let next = seen.next_offset(partition);
        let role = user.role_before(next).unwrap_or_default();
        let version_fits = user.reached.allows(row.version, next);
        if row.role != role || *row.email_hash != *user.email_hash || !version_fits {
            let found = format!(
                "The row says {} at version {} with the address {}, the log {role} at {} with {}.",
                row.role,
                row.version,
                row.email_hash,
                user.reached.told(next),
                user.email_hash
            );
            let since = match user.reached.is_seen(next) {
                true => user.reached.place(partition),
                false => user.registered.map(|at| at.of(partition)),
            };
            findings.broken(Check::ReadModels, about(), since, found);
            continue;
        }
        let found = if row.created_at != user.created_at {
            "The row has another time of registration than the log."
        } else if row.key != user.key {
            "The row names another key than the log: its data cannot be opened."
        } else {
            continue;
        };
        let registered = user.registered.map(|at| at.of(partition));
        findings.broken(Check::ReadModels, about(), registered, found);
    }
    for (partition, id, user) in log.users() {
        if seen.has_at(partition, user.registered) && !shown.contains(&id) {
            let since = user.registered.map(|at| at.of(partition));
            let found = "It registered, but has no row.";
            findings.broken(Check::ReadModels, format!("user {id}"), since, found);
        }
    }
}

fn compare_ledger(ledger: &Ledger, seen: &Seen, log: &Whole<'_>, findings: &mut Findings) {
    let mut rows: BTreeMap<&str, LedgerSum> = ledger
        .0
        .iter()
        .map(|(sku, sum)| (sku.as_str(), *sum))
        .collect();
    for (number, sku) in log.stock.skus() {
        let moves = log.stock.movements(number);
        let (mut newest, mut expected) = (None, LedgerSum::default());
        for (place, movement) in moves.filter(|(place, _)| seen.has(*place)) {
            newest = newest.max(Some((movement.time, place)));
            expected.add(movement.quantity, movement.entry);
        }
        let row = rows.remove(sku).unwrap_or_default();
        findings.looked(Check::ReadModels);
        if row == expected {
            continue;
        }
        let figures = |sum: &LedgerSum| (sum.entries, sum.quantity);
        let found = if figures(&row) != figures(&expected) {
            format!(
                "Its ledger has {} entries that move {}, the log {} that move {}.",
                row.entries, row.quantity, expected.entries, expected.quantity
            )
        } else {
            format!(
                "Its ledger has {} entries that move {} as the log has, but of some the reason, \
                 the order, the record, the time, the actor or the reference is another.",
                row.entries, row.quantity
            )
        };
        let newest = newest.map(|(_, place)| place);
        findings.broken(Check::ReadModels, format!("sku {sku}"), newest, found);
    }
    for (sku, row) in rows {
        let (entries, quantity) = (row.entries, row.quantity);
        let found = format!("Its ledger has {entries} entries that move {quantity}, the log none.");
        findings.broken(Check::ReadModels, format!("sku {sku}"), None, found);
    }
}
