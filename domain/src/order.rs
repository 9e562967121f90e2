//! An order of many lines and its life.
//!
//! The life is one table, [`TRANSITIONS`]; payment, expiry, shipping and returns will be rows.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

mod reading;

use crate::ids::{OrderId, UserId};
use crate::inventory::{ItemStatus, Terms};
use crate::money::Money;
use crate::quantity::Quantity;
use crate::sku::Sku;
use crate::stock::StockMovement;
use crate::text::{Name, Note};
use crate::time::Time;

/// The most lines of one order.
pub const LINES_MAX: usize = 100;

/// Where an order is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Its units are held.
    Placed,
    /// Over; its units were given back.
    Cancelled,
}

/// What can be done to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderAction {
    /// Give it up.
    Cancel,
}

/// Every allowed step of an order's life: from, by, to. What is not here is refused.
pub const TRANSITIONS: &[(OrderStatus, OrderAction, OrderStatus)] = &[(
    OrderStatus::Placed,
    OrderAction::Cancel,
    OrderStatus::Cancelled,
)];

impl OrderStatus {
    /// The status after an action, or `None` where the table forbids it.
    pub fn after(self, action: OrderAction) -> Option<OrderStatus> {
        TRANSITIONS
            .iter()
            .find(|(from, by, _)| (*from, *by) == (self, action))
            .map(|(_, _, to)| *to)
    }

    /// Whether no step leads on from here: nothing is ever recorded of such an order again.
    pub fn is_final(self) -> bool {
        TRANSITIONS.iter().all(|(from, _, _)| *from != self)
    }
}

/// One line as the client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedLine {
    /// The item.
    pub sku: Sku,
    /// Units.
    pub quantity: Quantity,
}

/// One line of an order, with the catalogue's price at the moment of placing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The item.
    pub sku: Sku,
    /// The item's name then.
    pub name: Name,
    /// Units.
    pub quantity: Quantity,
    /// The price of one unit then.
    pub unit_price: Money,
    /// `quantity × unit_price`.
    pub total: Money,
}

/// An order as its events made it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// `None` until it is placed.
    pub existing: Option<ExistingOrder>,
}

/// An order that was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingOrder {
    /// Its id.
    pub id: OrderId,
    /// Whose it is.
    pub user_id: UserId,
    /// Where it is in its life.
    pub status: OrderStatus,
    /// Its lines, one per SKU.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub total: Money,
    /// When it was placed.
    pub placed_at: Time,
    /// When and why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Cancellation>,
}

/// The end of an order by cancelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// When.
    pub at: Time,
    /// The reason that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
}

/// What a client wants of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrderCommand {
    /// Place it: all lines or none.
    Place {
        /// The new order's id.
        id: OrderId,
        /// Who orders.
        user_id: UserId,
        /// What, each SKU once with its catalogue terms; `None` where the SKU is unknown. Made by
        /// [`add_up`] and a look-up.
        lines: Vec<(RequestedLine, Option<Terms>)>,
        /// Now.
        at: Time,
    },
    /// Give it up; its units return.
    Cancel {
        /// Why.
        reason: Option<Note>,
        /// Now.
        at: Time,
    },
}

/// What happened to an order. Read by [`reading`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum OrderEvent {
    /// It was placed and its units are held.
    OrderPlaced {
        /// Its id.
        id: OrderId,
        /// Whose it is.
        user_id: UserId,
        /// Its lines, one per SKU.
        lines: Vec<OrderLine>,
        /// The sum of the lines.
        total: Money,
        /// When.
        at: Time,
    },
    /// It was cancelled and its units are given back.
    OrderCancelled {
        /// The units that return, one entry per SKU.
        returned: Vec<StockMovement>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Note>,
        /// When.
        at: Time,
    },
}

/// Why the domain refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderRefusal {
    /// There is no such order.
    #[error("this order does not exist")]
    NotFound,
    /// An order with this id was placed before.
    #[error("this order was placed before")]
    AlreadyPlaced,
    /// A line names a SKU that is not in the catalogue.
    #[error("{sku} is not in the catalogue")]
    UnknownSku {
        /// The SKU.
        sku: Sku,
    },
    /// A line names an item that takes no more orders.
    #[error("{sku} is discontinued")]
    Discontinued {
        /// The SKU.
        sku: Sku,
    },
    /// A line or the order is worth more than 2^53 − 1.
    #[error("the total is too large")]
    TotalTooLarge {
        /// The SKU of the line with which it became too large.
        sku: Sku,
    },
    /// It was cancelled before.
    #[error("this order is already cancelled")]
    AlreadyCancelled,
}

/// Why requested lines cannot be an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinesRefusal {
    /// There are none, or more than 100.
    #[error("an order has 1 to 100 lines")]
    Count,
    /// The lines of one SKU add up to more than 1 000 000; the index of the line that did it.
    #[error("the lines of one SKU add up to more than 1000000 units")]
    Sum {
        /// Index into the requested lines.
        index: usize,
    },
}

/// Adds up lines of one SKU, in the order in which the SKUs were first named.
///
/// # Errors
/// When there are no or too many lines, or a sum is beyond 1 000 000.
pub fn add_up(lines: &[RequestedLine]) -> Result<Vec<RequestedLine>, LinesRefusal> {
    if lines.is_empty() || lines.len() > LINES_MAX {
        return Err(LinesRefusal::Count);
    }
    let mut sums: Vec<RequestedLine> = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        match sums.iter_mut().find(|sum| sum.sku == line.sku) {
            None => sums.push(line.clone()),
            Some(sum) => {
                sum.quantity = Quantity::new(sum.quantity.get() + line.quantity.get())
                    .map_err(|_| LinesRefusal::Sum { index })?;
            }
        }
    }
    Ok(sums)
}

impl Order {
    /// Decides what a command does to this order. Refusals are checked from the most general to
    /// the most specific, line by line.
    ///
    /// # Errors
    /// The first refusal that is true.
    pub fn decide(&self, command: &OrderCommand) -> Result<Vec<OrderEvent>, OrderRefusal> {
        match command {
            OrderCommand::Place {
                id,
                user_id,
                lines,
                at,
            } => {
                if self.existing.is_some() {
                    return Err(OrderRefusal::AlreadyPlaced);
                }
                let (lines, total) = priced(lines)?;
                Ok(vec![OrderEvent::OrderPlaced {
                    id: *id,
                    user_id: *user_id,
                    lines,
                    total,
                    at: *at,
                }])
            }
            OrderCommand::Cancel { reason, at } => {
                let order = self.existing.as_ref().ok_or(OrderRefusal::NotFound)?;
                if order.status.after(OrderAction::Cancel).is_none() {
                    return Err(OrderRefusal::AlreadyCancelled);
                }
                let returned = order
                    .lines
                    .iter()
                    .map(|line| StockMovement {
                        sku: line.sku.clone(),
                        quantity: line.quantity.get(),
                    })
                    .collect();
                Ok(vec![OrderEvent::OrderCancelled {
                    returned,
                    reason: reason.clone(),
                    at: *at,
                }])
            }
        }
    }

    /// Takes in what happened.
    pub fn apply_event(&mut self, event: &OrderEvent) {
        match event {
            OrderEvent::OrderPlaced {
                id,
                user_id,
                lines,
                total,
                at,
            } => {
                self.existing = Some(ExistingOrder {
                    id: *id,
                    user_id: *user_id,
                    status: OrderStatus::Placed,
                    lines: lines.clone(),
                    total: *total,
                    placed_at: *at,
                    cancelled: None,
                });
            }
            OrderEvent::OrderCancelled { reason, at, .. } => {
                if let Some(order) = &mut self.existing {
                    order.status = OrderStatus::Cancelled;
                    order.cancelled = Some(Cancellation {
                        at: *at,
                        reason: reason.clone(),
                    });
                }
            }
        }
    }
}

/// Prices every line and sums them up.
fn priced(
    lines: &[(RequestedLine, Option<Terms>)],
) -> Result<(Vec<OrderLine>, Money), OrderRefusal> {
    let mut priced = Vec::with_capacity(lines.len());
    let mut total: Option<Money> = None;
    for (line, terms) in lines {
        let sku = || line.sku.clone();
        let terms = terms
            .as_ref()
            .ok_or_else(|| OrderRefusal::UnknownSku { sku: sku() })?;
        if terms.status == ItemStatus::Discontinued {
            return Err(OrderRefusal::Discontinued { sku: sku() });
        }
        let too_large = || OrderRefusal::TotalTooLarge { sku: sku() };
        let line_total = terms.price.times(line.quantity).ok_or_else(too_large)?;
        total = Some(match total {
            None => line_total,
            Some(sum) => sum.plus(line_total).ok_or_else(too_large)?,
        });
        priced.push(OrderLine {
            sku: sku(),
            name: terms.name.clone(),
            quantity: line.quantity,
            unit_price: terms.price,
            total: line_total,
        });
    }
    let total = total.expect("add_up lets no order without lines through");
    Ok((priced, total))
}

/// What these events do to stock.
pub fn movements(events: &[OrderEvent]) -> Vec<StockMovement> {
    let of = |event: &OrderEvent| -> Vec<StockMovement> {
        match event {
            OrderEvent::OrderPlaced { lines, .. } => lines
                .iter()
                .map(|line| StockMovement {
                    sku: line.sku.clone(),
                    quantity: -line.quantity.get(),
                })
                .collect(),
            OrderEvent::OrderCancelled { returned, .. } => returned.clone(),
        }
    };
    crate::stock::sum_per_sku(events.iter().flat_map(of))
}

impl DomainEvent for OrderEvent {
    fn event_type(&self) -> String {
        match self {
            Self::OrderPlaced { .. } => "order-placed",
            Self::OrderCancelled { .. } => "order-cancelled",
        }
        .to_owned()
    }
    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Order {
    const TYPE: &'static str = "orders";
    type Command = OrderCommand;
    type Event = OrderEvent;
    type Error = OrderRefusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: Self::Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Self::Error> {
        for event in self.decide(&command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Self::Event) {
        self.apply_event(&event);
    }
}

#[cfg(test)]
mod tests;
