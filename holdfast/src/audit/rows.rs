//! The read models' rows as plain data.

use anyhow::{Context, Result};
use audit::{Checkpoint, Given, ItemRow, LedgerSum, OrderRow, ReadModelRows, UserRow};
use query_api::read_model::{Dump, ReadModels};

/// All rows, of one moment.
///
/// # Errors
/// When the store does not answer or a row cannot be read.
pub(super) async fn read(read_models: &ReadModels) -> Result<Given<ReadModelRows>> {
    let cannot = "the read models cannot be read; run this as the server's user";
    if !read_models.has_schema().await.context(cannot)? {
        return Ok(Err("the read models have no tables yet"));
    }
    let dump = read_models.dump().await.context(cannot)?;
    plain(dump).map(Ok)
}

fn plain(dump: Dump) -> Result<ReadModelRows> {
    let mut checkpoints = vec![];
    for row in dump.checkpoints {
        // A checkpoint of a topic that the audit does not read (user-keys) has no rows here.
        if let Some(topic) = audit::Topic::parse(&row.topic) {
            let number = u16::try_from(row.partition)?;
            checkpoints.push(Checkpoint {
                partition: audit::Partition { topic, number },
                next_offset: u64::try_from(row.next_offset)?,
                highest_fence: u64::try_from(row.highest_fence)?,
            });
        }
    }
    let orders = dump.orders.into_iter().map(|row| OrderRow {
        id: row.id,
        status: row.status,
        total: row.total,
    });
    let items = dump.items.into_iter().map(|row| ItemRow {
        sku: row.sku,
        supplied: row.supplied,
        held: row.held,
        sold: row.sold,
    });
    let mut users = vec![];
    for row in dump.users {
        users.push(UserRow {
            id: row.id,
            email_hash: row.email_hash,
            role: row.role,
            version: u64::try_from(row.version)?,
        });
    }
    let mut ledger = vec![];
    for row in dump.ledger {
        ledger.push(LedgerSum {
            sku: row.sku,
            entries: u64::try_from(row.entries)?,
            quantity: row.quantity,
        });
    }
    Ok(ReadModelRows {
        checkpoints,
        orders: orders.collect(),
        items: items.collect(),
        users: Some(users),
        ledger: Some(ledger),
    })
}
