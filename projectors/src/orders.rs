//! The projection of orders: one row per order, what its lines hold of each item, and the ledger's
//! entries for both ends of its life.

use domain::ids::{OrderId, UserId};
use domain::money::{Currency, Money};
use domain::order::{OrderEvent, OrderStatus};
use domain::time::Time;
use migrations::history::{HistoryEntry, HistoryStep};
use migrations::ledger::LedgerReason;
use migrations::words::word;
use migrations::{DatabaseError, Row};

use crate::changes::{Changes, MovementRow};
use crate::fold::{Applicable, Impossible, Projected, Rows};
use crate::store::literal::Literal;
use crate::store::statement::{OnConflict, Upsert, Written};

/// A row of `orders`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderRow {
    id: OrderId,
    user_id: UserId,
    status: OrderStatus,
    total: Money,
    placed_at: Time,
    version: u64,
    lines_json: String,
    history: Vec<HistoryEntry>,
}

impl OrderRow {
    /// A row of an order without a history, for measuring how fast such rows are written.
    pub(crate) fn placed(
        id: OrderId,
        user_id: UserId,
        total: Money,
        lines_json: String,
        placed_at: Time,
    ) -> Self {
        let (status, version, history) = (OrderStatus::Placed, 1, vec![]);
        Self {
            id,
            user_id,
            status,
            total,
            placed_at,
            version,
            lines_json,
            history,
        }
    }
}

/// Takes the events of one record into the rows.
///
/// # Errors
/// When they cannot follow what is known of the order.
pub(crate) fn fold(
    rows: &mut Rows<OrderRow>,
    record: &Applicable,
    events: &[OrderEvent],
    changes: &mut Changes,
) -> Result<(), Impossible> {
    for event in events {
        match event {
            OrderEvent::OrderPlaced {
                id,
                user_id,
                lines,
                total,
                at,
            } => {
                if rows.get_mut(record).is_some() {
                    return Err(Impossible("the order was placed before"));
                }
                let row = OrderRow {
                    id: *id,
                    user_id: *user_id,
                    status: OrderStatus::Placed,
                    total: *total,
                    placed_at: *at,
                    version: record.envelope.version,
                    lines_json: serde_json::to_string(lines)
                        .expect("lines have only text keys and serialisable values"),
                    history: vec![entry(record, *at, HistoryStep::OrderPlaced)],
                };
                rows.insert(record, row);
                move_stock(record, event, LedgerReason::Order, *at, changes);
            }
            OrderEvent::OrderCancelled { reason, at, .. } => {
                let row = rows.get_mut(record).ok_or(NEVER_PLACED)?;
                row.status = OrderStatus::Cancelled;
                let reason = reason.clone();
                row.history
                    .push(entry(record, *at, HistoryStep::OrderCancelled { reason }));
                move_stock(record, event, LedgerReason::Cancellation, *at, changes);
            }
        }
    }
    rows.get_mut(record).ok_or(NEVER_PLACED)?.version = record.envelope.version;
    Ok(())
}

const NEVER_PLACED: Impossible = Impossible("the order was never placed");

fn entry(record: &Applicable, at: Time, step: HistoryStep) -> HistoryEntry {
    HistoryEntry {
        version: record.envelope.version,
        at,
        actor: record.body.actor.clone(),
        step,
    }
}

/// What an order takes of what is available is held, and the other way round.
fn move_stock(
    record: &Applicable,
    event: &OrderEvent,
    reason: LedgerReason,
    at: Time,
    changes: &mut Changes,
) {
    let order_id = record.envelope.aggregate_id.parse().ok();
    for (number, movement) in (0..).zip(domain::order::movements(std::slice::from_ref(event))) {
        changes.hold(movement.sku.clone(), -movement.quantity);
        changes.movements.push(MovementRow {
            order_id,
            ..MovementRow::new(record, number, movement, reason, at)
        });
    }
}

impl Projected for OrderRow {
    const KNOWN: &'static str = "SELECT id, user_id, status, total, currency, placed_at, version, \
         lines_json, history_json FROM orders";

    fn aggregate_id(&self) -> String {
        self.id.to_string()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn read(row: &Row) -> Result<Self, DatabaseError> {
        let currency = row.parsed(4, Currency::parse)?;
        let total = Money::total(row.integer(3)?, currency)
            .map_err(|error| DatabaseError::Unreadable(error.to_string()))?;
        Ok(Self {
            id: OrderId(row.uuid(0)?),
            user_id: UserId(row.uuid(1)?),
            status: row.word(2)?,
            total,
            placed_at: Time::from_microseconds(row.integer(5)?),
            version: row.unsigned(6)?,
            lines_json: row.text(7)?,
            history: row.parsed(8, |json| serde_json::from_str(json))?,
        })
    }
}

impl Written for OrderRow {
    const UPSERT: Upsert = Upsert {
        table: "orders",
        columns: &[
            ("id", OnConflict::Keep),
            ("user_id", OnConflict::Keep),
            ("status", OnConflict::Replace),
            ("total", OnConflict::Replace),
            ("currency", OnConflict::Keep),
            ("placed_at", OnConflict::Keep),
            ("version", OnConflict::Replace),
            ("lines_json", OnConflict::Keep),
            ("history_json", OnConflict::Replace),
        ],
        key: &["id"],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        let history = serde_json::to_string(&self.history)
            .expect("a history has only text keys and serialisable values");
        vec![
            Literal::Bytes(self.id.0.as_bytes()),
            Literal::Bytes(self.user_id.0.as_bytes()),
            Literal::text(word(self.status)),
            Literal::Integer(self.total.amount()),
            Literal::text(self.total.currency().to_string()),
            Literal::Integer(self.placed_at.microseconds()),
            Literal::unsigned(self.version),
            Literal::text(&self.lines_json),
            Literal::text(history),
        ]
    }
}
