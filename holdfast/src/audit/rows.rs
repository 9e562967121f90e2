//! The read models' rows as plain data.

use anyhow::{Context, Result};
use audit::{
    CatalogueRow, Checkpoint, Given, ItemRow, Ledger, LedgerEntry, OrderDigest, OrderRow, Place,
    ReadModelRows, UserRow,
};
use migrations::search;
use query_api::read_model::{Dump, DumpedMovement, ReadModels};

/// All rows, of one moment.
///
/// # Errors
/// When the store does not answer or a row cannot be read.
pub(super) async fn read(read_models: &ReadModels) -> Result<Given<ReadModelRows>> {
    let cannot = "the read models cannot be read; run this as the server's user";
    if !read_models.has_schema().await.context(cannot)? {
        return Ok(Err("the read models have no tables yet"));
    }
    let mut ledger = Ledger::default();
    let mut add = |movement: DumpedMovement| {
        let entry = LedgerEntry {
            place: place(&movement.id),
            quantity: movement.quantity,
            reason: &movement.reason,
            order: movement.order_id,
            at: movement.happened_at,
            actor: &movement.actor,
            actor_id: movement.actor_id,
            reference: movement.reference.as_deref(),
        };
        ledger.add(&movement.sku, entry);
    };
    let dump = read_models.dump_with_ledger(&mut add).await;
    plain(dump.context(cannot)?, ledger).map(Ok)
}

/// Where the record of a movement stands, which the movement's id says: the topic, the partition,
/// the offset, and which movement of the record it is.
fn place(id: &[u8]) -> Option<Place> {
    let (topic, rest) = id.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (offset, _) = rest.split_first_chunk()?;
    let topic = match topic {
        1 => audit::Topic::Inventory,
        2 => audit::Topic::Orders,
        _ => return None,
    };
    let number = u16::from_be_bytes(*number);
    Some(Place {
        partition: audit::Partition { topic, number },
        offset: u64::from_be_bytes(*offset),
    })
}

fn plain(dump: Dump, ledger: Ledger) -> Result<ReadModelRows> {
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
    let mut orders = vec![];
    for row in dump.orders {
        orders.push(OrderRow {
            id: row.id,
            user: row.user_id,
            version: u64::try_from(row.version)?,
            status: row.status,
            total: row.total,
            placed_at: row.placed_at,
            digest: OrderDigest::of_row(&row.lines, row.total, &row.currency, &row.history),
        });
    }
    let items = dump.items.into_iter().map(|row| ItemRow {
        sku: row.sku,
        supplied: row.supplied,
        held: row.held,
        sold: row.sold,
    });
    let mut catalogue = vec![];
    for row in dump.catalogue {
        let is_found = row.search == search::haystack(&row.name, &row.sku);
        catalogue.push(CatalogueRow {
            sku: row.sku,
            version: u64::try_from(row.version)?,
            name: row.name,
            price: row.price,
            currency: row.currency,
            category: row.category,
            status: row.status,
            created_at: row.created_at,
            is_found,
        });
    }
    let mut users = vec![];
    for row in dump.users {
        users.push(UserRow {
            id: row.id,
            email_hash: row.email_hash,
            key: row.key_id,
            role: row.role,
            created_at: row.created_at,
            version: u64::try_from(row.version)?,
        });
    }
    Ok(ReadModelRows {
        log: dump.log_id,
        checkpoints,
        orders,
        items: items.collect(),
        catalogue: Some(catalogue),
        users: Some(users),
        ledger: Some(ledger),
    })
}
