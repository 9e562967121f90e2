//! What settling a record does to the gate: a function of the record alone, so that any node can
//! settle what any node decided.

use std::sync::Arc;

use domain::inventory::{InventoryEvent, ItemStatus, Terms};
use domain::stock::StockMovement;
use record::{Events, Position, Record};
use tokio::time::timeout;

use crate::commit::Committer;
use crate::epoch::OpenEpoch;
use crate::gate::{AggregateKey, Settle, SettledTerms};

/// The settle of a record that was read back as valid at a position.
pub fn settle_of(record: &Record, position: Position) -> Settle {
    let envelope = &record.envelope;
    let gives = record
        .body
        .events
        .movements()
        .into_iter()
        .filter_map(given)
        .collect();
    Settle {
        record: envelope.id,
        aggregate: AggregateKey {
            kind: envelope.aggregate_type,
            id: Arc::from(envelope.aggregate_id.as_str()),
        },
        position,
        key: record.body.key.as_ref().map(|key| key.key.clone()),
        gives,
        terms: settled_terms(&record.body.events, envelope.version),
        claims_given_up: vec![],
    }
}

/// Whether others wait for what this settle gives: then it is sent at once and awaited.
pub(crate) fn others_wait_for(settle: &Settle) -> bool {
    !settle.gives.is_empty() || settle.terms.is_some() || !settle.claims_given_up.is_empty()
}

fn given(movement: StockMovement) -> Option<(domain::sku::Sku, i64)> {
    (movement.quantity > 0).then_some((movement.sku, movement.quantity))
}

/// The terms after the record's last event that states them. A discontinuation states none here:
/// it wrote its terms when it was decided.
fn settled_terms(events: &Events, version: u64) -> Option<SettledTerms> {
    let Events::Inventory(events) = events else {
        return None;
    };
    let mut settled = None;
    for event in events {
        let (name, price, creates) = match event {
            InventoryEvent::ItemCreated { name, price, .. } => (name, price, true),
            InventoryEvent::ItemChanged { name, price, .. } => (name, price, false),
            InventoryEvent::StockMoved { .. } | InventoryEvent::ItemDiscontinued => continue,
        };
        let terms = Terms {
            name: name.clone(),
            price: *price,
            status: ItemStatus::Active,
        };
        settled = Some(SettledTerms {
            version,
            terms,
            creates,
        });
    }
    settled
}

/// Whether a settle is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settling {
    /// It is only queued.
    Queued,
    /// Up to a stated bound.
    Awaited,
    /// Up to a stated bound where others wait for what it gives.
    IfOthersWait,
}

impl Committer {
    /// Step 6. A settle that fails is left to completion: the record stays pending.
    pub(crate) async fn settle(
        &self,
        epoch: &Arc<OpenEpoch>,
        record: &Record,
        position: Position,
        settling: Settling,
    ) {
        let settle = settle_of(record, position);
        let wait = match settling {
            Settling::Queued => false,
            Settling::Awaited => true,
            Settling::IfOthersWait => others_wait_for(&settle),
        };
        let settled = self.settles.send(epoch, settle);
        if !wait {
            return;
        }
        // Whatever comes of it, the record stands: completion settles what is left pending.
        let _ = timeout(self.settings.settle_wait, settled).await;
    }
}
