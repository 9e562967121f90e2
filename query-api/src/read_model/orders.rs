//! Orders: one, and lists of them.

use domain::ids::{OrderId, UserId};
use domain::money::{Currency, Money};
use domain::order::{Cancellation, ExistingOrder, OrderStatus};
use domain::time::Time;
use migrations::history::{HistoryEntry, HistoryStep};
use migrations::words::word;
use migrations::{DatabaseError, Row, Value};

use super::ReadModels;
use super::paging::{self, After, Id, ListQuestion, Page, Paging};

const BY_ID: &str = "SELECT id, user_id, status, total, currency, placed_at, version, lines_json, \
     history_json FROM orders WHERE id = ?";
const LIST: &str = "SELECT id, user_id, status, total, currency, placed_at, version, lines_json, \
     history_json FROM orders WHERE version > 0";
const NEWEST_FIRST: paging::Order = paging::Order {
    time: "placed_at",
    id: Id::Bytes("id"),
};

/// An order as far as its records are in the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The order.
    pub state: ExistingOrder,
    /// Its version.
    pub version: u64,
    /// What happened to it, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// Which orders a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrdersFilter {
    /// Only this user's.
    pub user: Option<UserId>,
    /// Only those in this state.
    pub status: Option<OrderStatus>,
}

impl ReadModels {
    /// One order with its history.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn order(&self, id: OrderId) -> Result<Option<Order>, DatabaseError> {
        let values = [Value::Bytes(id.0.as_bytes())];
        let rows = self.database.select(BY_ID, &values).await?;
        rows.first().map(order).transpose()
    }

    /// The newest orders.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn orders(
        &self,
        filter: &OrdersFilter,
        paging: &Paging,
    ) -> Result<Page<Order>, DatabaseError> {
        let status = filter.status.map(word);
        let mut question = ListQuestion::new(LIST, []);
        if let Some(user) = &filter.user {
            question.and("user_id = ?", [Value::Bytes(user.0.as_bytes())]);
        }
        if let Some(status) = &status {
            question.and("status = ?", [Value::Text(status)]);
        }
        let read = |row: &Row| {
            let order = order(row)?;
            let (at, id) = (order.state.placed_at, order.state.id.0.as_bytes().to_vec());
            Ok((order, After { at, id }))
        };
        question
            .page(&self.database, NEWEST_FIRST, paging, read)
            .await
    }
}

fn order(row: &Row) -> Result<Order, DatabaseError> {
    let currency = row.parsed(4, Currency::parse)?;
    let total = row.integer(3)?;
    let history: Vec<HistoryEntry> = row.parsed(8, |json| serde_json::from_str(json))?;
    let state = ExistingOrder {
        id: OrderId(row.uuid(0)?),
        user_id: UserId(row.uuid(1)?),
        status: row.word(2)?,
        lines: row.parsed(7, |json| serde_json::from_str(json))?,
        total: Money::total(total, currency)
            .map_err(|error| DatabaseError::Unreadable(error.to_string()))?,
        placed_at: Time::from_microseconds(row.integer(5)?),
        cancelled: history.iter().find_map(cancellation),
    };
    Ok(Order {
        state,
        version: row.unsigned(6)?,
        history,
    })
}

fn cancellation(entry: &HistoryEntry) -> Option<Cancellation> {
    match &entry.step {
        HistoryStep::OrderCancelled { reason } => Some(Cancellation {
            at: entry.at,
            reason: reason.clone(),
        }),
        HistoryStep::OrderPlaced => None,
    }
}
