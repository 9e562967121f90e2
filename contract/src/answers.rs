//! The bodies of answers, the same from both APIs: what a write answers is what a read shows.
//!
//! A member that has no value is `null`; none is ever left out (report R23). In requests an
//! optional member may be left out or `null`, which is the same.

use domain::ids::{OrderId, SessionId, UserId};
use domain::inventory::ItemStatus;
use domain::order::{ExistingOrder, OrderStatus};
use domain::quantity::Quantity;
use domain::sku::Sku;
use domain::text::{Category, Name, Note};
use domain::time::Time;
use domain::user::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Actor, schema, token};

/// An amount in minor units of a currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// Minor units, such as cents.
    #[schema(schema_with = schema::amount)]
    pub amount: i64,
    /// ISO 4217.
    #[schema(example = "EUR", pattern = "^[A-Z]{3}$")]
    pub currency: String,
}

impl From<domain::money::Money> for Money {
    fn from(money: domain::money::Money) -> Self {
        Self {
            amount: money.amount(),
            currency: money.currency().to_string(),
        }
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its id.
    #[schema(schema_with = schema::uuid)]
    pub id: UserId,
    /// Its address, in lower case and with an ASCII domain; `null` once it was erased.
    #[schema(required = true)]
    pub email: Option<String>,
    /// Its name; `null` once it was erased.
    #[schema(required = true)]
    pub name: Option<String>,
    /// What it may do.
    #[schema(schema_with = schema::role)]
    pub role: Role,
    /// When it registered.
    #[schema(schema_with = schema::time)]
    pub created_at: Time,
}

/// What a log-in or a refresh gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenPair {
    /// Send it as `Authorization: Bearer …`.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds until the access token expires.
    pub expires_in: u64,
    /// Gives the next pair.
    pub refresh_token: String,
}

impl TokenPair {
    /// A pair of texts.
    pub fn new(access_token: String, refresh_token: String) -> Self {
        let (token_type, expires_in) = ("Bearer".to_owned(), token::LIFE.as_secs());
        Self {
            access_token,
            token_type,
            expires_in,
            refresh_token,
        }
    }
}

/// What a good access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrentSession {
    /// Whose it is.
    #[schema(schema_with = schema::uuid)]
    pub user_id: UserId,
    /// The session that it came from.
    #[schema(schema_with = schema::uuid)]
    pub session_id: SessionId,
    /// What it allows.
    #[schema(schema_with = schema::role)]
    pub role: Role,
    /// When it expires.
    #[schema(schema_with = schema::time)]
    pub expires_at: Time,
}

impl From<Actor> for CurrentSession {
    fn from(actor: Actor) -> Self {
        let Actor {
            user_id,
            role,
            session_id,
            expires_at,
        } = actor;
        Self {
            user_id,
            session_id,
            role,
            expires_at,
        }
    }
}

/// An item of the catalogue with its stock: `supplied = available + held + sold`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Item {
    /// Its name in every call.
    #[schema(schema_with = schema::sku)]
    pub sku: Sku,
    /// Its name for people.
    #[schema(value_type = String)]
    pub name: Name,
    /// Of one unit, for new orders.
    pub price: Money,
    /// For filtering.
    #[schema(value_type = Option<String>, required = true)]
    pub category: Option<Category>,
    /// Whether it can be ordered.
    #[schema(schema_with = schema::item_status)]
    pub status: ItemStatus,
    /// Units that can be ordered.
    pub available: i64,
    /// Units in orders that are alive but not fulfilled.
    pub held: i64,
    /// Units in fulfilled orders.
    pub sold: i64,
    /// Units that ever came, less those that were lost otherwise than by selling.
    pub supplied: i64,
    /// Whether the reader is catching up, so that the figures do not add up for a moment.
    pub settling: bool,
}

/// One change of what is available of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Movement {
    /// Units; positive: more is available.
    pub quantity: i64,
    /// `received`, `returned`, `damaged`, `lost`, `recount`, or `order` and `cancellation`.
    pub reason: String,
    /// The order that took or gave back.
    #[schema(schema_with = schema::nullable_uuid, required = true)]
    pub order_id: Option<OrderId>,
    /// Who did it: `user`, `anonymous` or `operator`.
    pub actor: String,
    /// Which user.
    #[schema(schema_with = schema::nullable_uuid, required = true)]
    pub actor_id: Option<UserId>,
    /// The client's own reference.
    #[schema(required = true)]
    pub reference: Option<String>,
    /// When.
    #[schema(schema_with = schema::time)]
    pub at: Time,
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// Its id.
    #[schema(schema_with = schema::uuid)]
    pub id: OrderId,
    /// Whose it is.
    #[schema(schema_with = schema::uuid)]
    pub user_id: UserId,
    /// Where it is in its life.
    #[schema(schema_with = schema::order_status)]
    pub status: OrderStatus,
    /// Its lines, one per SKU.
    pub lines: Vec<OrderLine>,
    /// The sum of the lines.
    pub total: Money,
    /// When it was placed.
    #[schema(schema_with = schema::time)]
    pub placed_at: Time,
    /// When it was cancelled.
    #[schema(schema_with = schema::nullable_time, required = true)]
    pub cancelled_at: Option<Time>,
    /// The reason given for cancelling.
    #[schema(value_type = Option<String>, required = true)]
    pub cancellation_reason: Option<Note>,
}

/// A line of an order, with the catalogue's price at the moment of placing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderLine {
    /// The item.
    #[schema(schema_with = schema::sku)]
    pub sku: Sku,
    /// The item's name then.
    #[schema(value_type = String)]
    pub name: Name,
    /// Units.
    #[schema(schema_with = schema::quantity)]
    pub quantity: Quantity,
    /// The price of one unit then.
    pub unit_price: Money,
    /// `quantity × unit_price`.
    pub total: Money,
}

impl From<&domain::order::OrderLine> for OrderLine {
    fn from(line: &domain::order::OrderLine) -> Self {
        Self {
            sku: line.sku.clone(),
            name: line.name.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price.into(),
            total: line.total.into(),
        }
    }
}

impl From<&ExistingOrder> for Order {
    fn from(order: &ExistingOrder) -> Self {
        Self {
            id: order.id,
            user_id: order.user_id,
            status: order.status,
            lines: order.lines.iter().map(OrderLine::from).collect(),
            total: order.total.into(),
            placed_at: order.placed_at,
            cancelled_at: order.cancelled.as_ref().map(|cancelled| cancelled.at),
            cancellation_reason: order.cancelled.as_ref().and_then(|c| c.reason.clone()),
        }
    }
}

/// Something that happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderEventView {
    /// The version of the order that it made, from 1.
    pub version: u64,
    /// `order-placed`, `order-cancelled`; more will follow.
    pub r#type: String,
    /// When.
    #[schema(schema_with = schema::time)]
    pub at: Time,
    /// Who did it: `user`, `anonymous` or `operator`.
    pub actor: String,
    /// Which user.
    #[schema(schema_with = schema::nullable_uuid, required = true)]
    pub actor_id: Option<UserId>,
    /// The reason given.
    #[schema(value_type = Option<String>, required = true)]
    pub reason: Option<Note>,
}
