//! The catalogue for everybody, the ledger for staff.

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::IntoResponse;
use contract::answers::{self, Item, Movement};
use contract::list::{Limit, Page};
use contract::refused::{BadRequest, Forbidden, NotFound, Unauthorized, Unavailable};
use contract::{Path, Problem, Query, Staff};
use domain::sku::Sku;
use domain::text::{Category, Note};
use migrations::words::word;
use serde::Deserialize;
use utoipa::IntoParams;

use super::list::List;
use crate::Api;
use crate::api::unanswered;
use crate::freshness::{Fresh, FreshnessHeaders};
use crate::read_model::{self, ItemsFilter};

/// A cache must ask again each time: the catalogue is read under tokens too, and stock changes
/// (report R44).
const CATALOGUE: [(axum::http::HeaderName, &str); 1] = [(CACHE_CONTROL, "no-cache")];

/// Which items.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListItems {
    /// Only those of exactly this category.
    #[param(value_type = Option<String>)]
    category: Option<Category>,
    /// Only those with this in their name or SKU, without regard to case.
    #[param(value_type = Option<String>, max_length = 200)]
    q: Option<Note>,
    /// Only those with (or without) units that can be ordered.
    #[param(value_type = Option<bool>)]
    in_stock: Option<bool>,
    /// Rows of a page.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
}

/// The catalogue with its stock, newest items first.
#[utoipa::path(
    get, path = "/v1/inventory", tag = "inventory",
    params(ListItems, FreshnessHeaders),
    responses((status = 200, body = Page<Item>), BadRequest, Unavailable)
)]
pub(super) async fn list_items(
    State(api): State<Api>,
    Query(asked): Query<ListItems>,
    Fresh(read_models): Fresh,
) -> Result<impl IntoResponse, Problem> {
    let filter = ItemsFilter {
        category: asked.category.map(|category| category.as_str().to_owned()),
        q: asked.q.map(|text| text.as_str().to_owned()),
        in_stock: asked.in_stock,
    };
    let query = format!("inventory {filter:?}");
    let list = List::new(&api, query, asked.limit, asked.cursor.as_deref())?;
    let page = read_models
        .items(&filter, &list.paging)
        .await
        .map_err(unanswered)?;
    Ok((CATALOGUE, Json(list.page(page, item)?)))
}

/// One item with its stock.
#[utoipa::path(
    get, path = "/v1/inventory/{sku}", tag = "inventory",
    params(("sku" = String, Path), FreshnessHeaders),
    responses((status = 200, body = Item), BadRequest, NotFound, Unavailable)
)]
pub(super) async fn get_item(
    Path(sku): Path<Sku>,
    Fresh(read_models): Fresh,
) -> Result<impl IntoResponse, Problem> {
    let found = read_models.item(&sku).await.map_err(unanswered)?;
    let found = found.ok_or_else(|| Problem::not_found("item"))?;
    Ok((CATALOGUE, Json(item(found)?)))
}

/// Which movements.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListMovements {
    /// Rows of a page.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200, default = 50)]
    limit: Limit,
    /// The `next_cursor` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<String>,
}

/// The ledger of an item: every change of what is available, newest first.
#[utoipa::path(
    get, path = "/v1/inventory/{sku}/movements", tag = "inventory", security(("bearer" = [])),
    params(("sku" = String, Path), ListMovements, FreshnessHeaders),
    responses(
        (status = 200, body = Page<Movement>),
        BadRequest, Unauthorized, Forbidden, NotFound, Unavailable
    )
)]
pub(super) async fn list_movements(
    State(api): State<Api>,
    _: Staff,
    Path(sku): Path<Sku>,
    Query(asked): Query<ListMovements>,
    Fresh(read_models): Fresh,
) -> Result<Json<Page<Movement>>, Problem> {
    let query = format!("movements {sku}");
    let list = List::new(&api, query, asked.limit, asked.cursor.as_deref())?;
    let known = read_models.item(&sku).await.map_err(unanswered)?;
    known.ok_or_else(|| Problem::not_found("item"))?;
    let page = read_models
        .movements(&sku, &list.paging)
        .await
        .map_err(unanswered)?;
    Ok(Json(
        list.page(page, |movement| Ok(self::movement(movement)))?,
    ))
}

fn item(item: read_model::Item) -> Result<Item, Problem> {
    let stored = |text: &str| unanswered(migrations::DatabaseError::Unreadable(text.to_owned()));
    let category = item.category.as_deref().map(Category::parse).transpose();
    Ok(Item {
        available: item.available(),
        held: item.held.max(0),
        sold: item.sold.max(0),
        supplied: item.supplied.max(0),
        settling: item.settling(),
        name: domain::text::Name::parse(&item.name).map_err(|_| stored("an item's name"))?,
        category: category.map_err(|_| stored("an item's category"))?,
        sku: item.sku,
        price: answers::Money::from(item.price),
        status: item.status,
    })
}

fn movement(movement: read_model::Movement) -> Movement {
    Movement {
        quantity: movement.quantity,
        reason: word(movement.reason),
        order_id: movement.order_id,
        actor: word(movement.actor),
        actor_id: movement.actor_id,
        reference: movement.reference,
        at: movement.at,
    }
}
