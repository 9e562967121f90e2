//! The audit's reading of the same log, rows and gate: it shares no code with what it checks.

use std::sync::Arc;

use anyhow::{Context, Result};
use audit::{
    Acknowledged, Audit, CatalogueRow, Checkpoint, Evidence, GateItem, ItemRow, OrderDigest,
    OrderRow, ReadModelRows, UserRow,
};
use command_api::gate::{Look, Looked};
use domain::sku::Sku;
use rusqlite::types::Value;
use uuid::Uuid;

use super::{Counts, Reading, Violation};
use crate::books::{Answer, Command, Made};
use crate::gate::server::Server;
use crate::site::Running;

pub(super) fn check(
    running: &Running,
    books: &[Command],
    reading: &Reading,
    looked: &mut Counts,
    broken: &mut Vec<Violation>,
) -> Result<()> {
    let mut audit = Audit::new();
    for (_, position, raw) in running.broker().landed() {
        let partition = position.partition;
        let topic = partition.topic.as_str();
        audit.take_in(topic, partition.number, position.offset, &raw.payload);
    }
    let evidence = Evidence {
        acknowledged: Ok(acknowledged(books, reading)),
        read_models: Ok(rows(running)?),
        gate: Ok(gate_items(running, &audit)),
        strangers: vec![crate::shop::user().0],
        ..Evidence::default()
    };
    let report = audit.finish(&evidence);
    for check in &report.checks {
        *looked.entry("audit".to_owned()).or_default() += check.looked_at;
    }
    for check in report.broken() {
        for difference in &check.differences {
            let promise = check.check.name();
            broken.push(Violation::new(promise, difference.to_string()));
        }
    }
    Ok(())
}

/// The records that were acknowledged, by the tokens that clients got.
fn acknowledged(books: &[Command], reading: &Reading) -> Vec<Acknowledged> {
    let done = books.iter().flat_map(|command| &command.attempts);
    let mut acknowledged = Vec::new();
    for attempt in done {
        if let Answer::Done { position, made } = &attempt.answer {
            let valid = reading.valid.iter();
            let first = valid
                .filter(|it| it.position == *position)
                .map(|it| it.record.envelope.id);
            let copies = reading.copies.iter().filter(|it| it.0 == *position);
            let ids = first.chain(copies.map(|(_, id)| *id));
            acknowledged.extend(ids.map(|id| Acknowledged::Record(id.0)));
            if let Made::Order(order) = made {
                acknowledged.push(Acknowledged::Order(order.0));
            }
        }
    }
    acknowledged
}

fn gate_items(running: &Running, audit: &Audit) -> Vec<GateItem> {
    let servers = running.cluster().servers.lock();
    let Some((_, data)) = Server::open_of(&*servers) else {
        return vec![];
    };
    let item = |name: &str| {
        let sku = Sku::parse(name).ok()?;
        let reply = data.load(&[Look::Item(sku)]).ok()?;
        match reply.answers.into_iter().next() {
            Some(Looked::Item(value)) => Some(GateItem {
                sku: name.to_owned(),
                available: value.available,
                supplied: value.supplied,
            }),
            _ => None,
        }
    };
    audit.skus().filter_map(item).collect()
}

fn rows(running: &Running) -> Result<ReadModelRows> {
    let store: &Arc<_> = &running.store;
    let mut rows = ReadModelRows::default();
    let sql = "SELECT topic, partition_number, next_offset, highest_fence FROM checkpoints";
    for row in store.read(sql)? {
        let Some(topic) = audit::Topic::parse(&text(&row, 0)?) else {
            continue;
        };
        let number = u16::try_from(integer(&row, 1)?)?;
        rows.checkpoints.push(Checkpoint {
            partition: audit::Partition { topic, number },
            next_offset: u64::try_from(integer(&row, 2)?)?,
            highest_fence: u64::try_from(integer(&row, 3)?)?,
        });
    }
    let sql = "SELECT id, user_id, status, total, currency, placed_at, version, lines_json, \
               history_json FROM orders";
    for row in store.read(sql)? {
        let (total, lines, history) = (integer(&row, 3)?, text(&row, 7)?, text(&row, 8)?);
        rows.orders.push(OrderRow {
            id: id(&row, 0)?,
            user: id(&row, 1)?,
            status: text(&row, 2)?,
            total,
            placed_at: integer(&row, 5)?,
            version: u64::try_from(integer(&row, 6)?)?,
            digest: OrderDigest::of_row(&lines, total, &text(&row, 4)?, &history),
        });
    }
    let mut catalogue = vec![];
    let sql = "SELECT sku, version, name, price, currency, category, status, created_at, search \
               FROM inventory";
    for row in store.read(sql)? {
        let (sku, name) = (text(&row, 0)?, text(&row, 2)?);
        catalogue.push(CatalogueRow {
            is_found: text(&row, 8)? == migrations::search::haystack(&name, &sku),
            created_at: integer(&row, 7)?,
            sku,
            version: u64::try_from(integer(&row, 1)?)?,
            name,
            price: integer(&row, 3)?,
            currency: text(&row, 4)?,
            category: text(&row, 5).ok(),
            status: text(&row, 6)?,
        });
    }
    rows.catalogue = Some(catalogue);
    let mut users = vec![];
    let sql = "SELECT id, email_hash, role, version, key_id, created_at FROM users";
    for row in store.read(sql)? {
        users.push(UserRow {
            id: id(&row, 0)?,
            email_hash: text(&row, 1)?,
            key: id(&row, 4)?,
            role: text(&row, 2)?,
            created_at: integer(&row, 5)?,
            version: u64::try_from(integer(&row, 3)?)?,
        });
    }
    rows.users = Some(users);
    for row in store.read("SELECT sku, supplied, held, sold FROM inventory")? {
        rows.items.push(ItemRow {
            sku: text(&row, 0)?,
            supplied: integer(&row, 1)?,
            held: integer(&row, 2)?,
            sold: integer(&row, 3)?,
        });
    }
    Ok(rows)
}

fn id(row: &[Value], column: usize) -> Result<Uuid> {
    match row.get(column) {
        Some(Value::Blob(id)) => Ok(Uuid::from_slice(id)?),
        _ => Err(anyhow::anyhow!("column {column} is no id")),
    }
}

fn text(row: &[Value], column: usize) -> Result<String> {
    match row.get(column) {
        Some(Value::Text(text)) => Ok(text.clone()),
        _ => Err(anyhow::anyhow!("column {column} is no text")),
    }
}

fn integer(row: &[Value], column: usize) -> Result<i64> {
    match row.get(column) {
        Some(Value::Integer(number)) => Some(*number),
        _ => None,
    }
    .context("a column is no number")
}
