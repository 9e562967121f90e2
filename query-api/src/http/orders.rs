//! Orders: one's own, or everybody's for staff.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use contract::answers::{self, OrderEventView};
use contract::list::{Limit, Page, by_text};
use contract::refused::{BadRequest, Forbidden, NotFound, Unauthorized, Unavailable};
use contract::{Actor, Path, Problem, Query};
use domain::ids::{OrderId, UserId};
use domain::order::OrderStatus;
use migrations::history::{HistoryEntry, HistoryStep};
use serde::Deserialize;
use utoipa::IntoParams;

use super::list::List;
use crate::Api;
use crate::api::unanswered;
use crate::freshness::{Fresh, FreshnessHeaders};
use crate::read_model::{Order, OrdersFilter};

/// Which orders.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListOrders {
    /// Only this user's; a customer may only name themselves.
    #[serde(deserialize_with = "by_text")]
    #[param(value_type = Option<String>, format = "uuid")]
    user: Option<UserId>,
    /// Only those in this state.
    #[param(schema_with = contract::schema::order_status, required = false)]
    status: Option<OrderStatus>,
    /// Rows of a page.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
}

/// Orders, newest first: one's own, or for staff all.
#[utoipa::path(
    get, path = "/v1/orders", tag = "orders", security(("bearer" = [])),
    params(ListOrders, FreshnessHeaders),
    responses(
        (status = 200, body = Page<answers::Order>),
        BadRequest, Unauthorized, Forbidden, Unavailable
    )
)]
pub(super) async fn list_orders(
    State(api): State<Api>,
    actor: Actor,
    Query(asked): Query<ListOrders>,
    Fresh(read_models): Fresh,
) -> Result<Json<Page<answers::Order>>, Problem> {
    let filter = OrdersFilter {
        user: whose(&actor, asked.user)?,
        status: asked.status,
    };
    let query = format!("orders {filter:?}");
    let list = List::new(&api, query, asked.limit, asked.cursor.as_deref())?;
    let page = read_models
        .orders(&filter, &list.paging)
        .await
        .map_err(unanswered)?;
    Ok(Json(list.page(page, |order| Ok((&order.state).into()))?))
}

/// One order.
#[utoipa::path(
    get, path = "/v1/orders/{id}", tag = "orders", security(("bearer" = [])),
    params(("id" = String, Path, format = "uuid"), FreshnessHeaders),
    responses((status = 200, body = answers::Order), BadRequest, Unauthorized, NotFound, Unavailable)
)]
pub(super) async fn get_order(VisibleOrder(order): VisibleOrder) -> Json<answers::Order> {
    Json((&order.state).into())
}

/// What happened to an order, oldest first.
#[utoipa::path(
    get, path = "/v1/orders/{id}/events", tag = "orders", security(("bearer" = [])),
    params(("id" = String, Path, format = "uuid"), FreshnessHeaders),
    responses(
        (status = 200, body = Page<OrderEventView>),
        BadRequest, Unauthorized, NotFound, Unavailable
    )
)]
pub(super) async fn list_order_events(
    VisibleOrder(order): VisibleOrder,
) -> Json<Page<OrderEventView>> {
    let items = order.history.into_iter().map(event).collect();
    Json(Page {
        items,
        next_cursor: None,
    })
}

/// An order that the actor may see: their own, or any for staff. Somebody else's is a 404, as if
/// there were none.
pub(super) struct VisibleOrder(Order);

impl FromRequestParts<Api> for VisibleOrder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let actor = Actor::from_request_parts(parts, api).await?;
        let Path(id) = Path::<OrderId>::from_request_parts(parts, api).await?;
        let Fresh(read_models) = Fresh::from_request_parts(parts, api).await?;
        let order = read_models.order(id).await.map_err(unanswered)?;
        order
            .filter(|order| actor.is_staff() || order.state.user_id == actor.user_id)
            .map(Self)
            .ok_or_else(|| Problem::not_found("order"))
    }
}

/// Whose orders a list may show: a customer sees their own only.
fn whose(actor: &Actor, asked: Option<UserId>) -> Result<Option<UserId>, Problem> {
    match asked {
        asked if actor.is_staff() => Ok(asked),
        Some(user) if user != actor.user_id => Err(Problem::forbidden(
            "Somebody else's orders need the role staff or admin.",
        )),
        _ => Ok(Some(actor.user_id)),
    }
}

fn event(entry: HistoryEntry) -> OrderEventView {
    let r#type = entry.step.as_str().to_owned();
    let (actor, actor_id) = match entry.actor {
        record::Actor::User { id, .. } => ("user", Some(id)),
        record::Actor::Anonymous { .. } => ("anonymous", None),
        record::Actor::Operator => ("operator", None),
    };
    let reason = match entry.step {
        HistoryStep::OrderPlaced => None,
        HistoryStep::OrderCancelled { reason } => reason,
    };
    let (version, at, actor) = (entry.version, entry.at, actor.to_owned());
    OrderEventView {
        version,
        r#type,
        at,
        actor,
        actor_id,
        reason,
    }
}
