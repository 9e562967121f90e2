//! The catalogue and the supply of stock.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contract::refused::{
    BadRequest, Conflict, Forbidden, Invalid, NotFound, TooLarge, Unauthorized, Unavailable,
    UnsupportedMediaType,
};
use contract::{
    Body, FieldError, IdempotencyKey, OptionalIdempotencyKey, Path, Problem, Staff, answers,
};
use domain::inventory::MovementReason;
use domain::money::{Currency, Money};
use domain::quantity::{SUPPLIED_MAX, SignedQuantity};
use domain::sku::Sku;
use domain::text::{Category, Name, Note};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::Api;
use super::asked::Asked;
use super::declined::declined;
use super::written::{DONE, Written};
use crate::commands::inventory::ItemNow;
use crate::commit::CommitError;
use crate::gate::Refusal;

/// What the catalogue says of an item.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PutItem {
    /// Its name for people.
    #[schema(value_type = String, min_length = 1, max_length = 200)]
    name: Name,
    /// The price of one unit.
    price: Price,
    /// For filtering.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 100)]
    category: Option<Category>,
}

/// A price in the shop's currency.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Price {
    /// Minor units, such as cents.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    amount: i64,
    /// ISO 4217.
    #[schema(value_type = String, example = "EUR", pattern = "^[A-Z]{3}$")]
    currency: Currency,
}

/// Units that come or go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveStock {
    /// Positive: they come. Not 0.
    #[schema(value_type = i64, minimum = -1_000_000, maximum = 1_000_000)]
    quantity: SignedQuantity,
    /// Why.
    #[schema(schema_with = movement_reasons)]
    reason: MovementReason,
    /// The client's own, such as a delivery note.
    #[schema(value_type = Option<String>, max_length = 200)]
    reference: Option<Note>,
}

/// A compare-and-set of what is available.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetStock {
    /// Units that shall be available.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    available: i64,
    /// Units that are available as far as the caller knows.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    expected: i64,
}

/// Creates an item or changes what the catalogue says of it; makes a discontinued one active.
#[utoipa::path(
    put, path = "/v1/inventory/{sku}", tag = "inventory", security(("bearer" = [])),
    params(
        ("sku" = String, Path, description = "The item."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe."),
    ),
    request_body = PutItem,
    responses(
        (status = 201, description = "It is new.", body = answers::Item),
        (status = 200, description = "It was changed.", body = answers::Item),
        BadRequest, Unauthorized, Forbidden, NotFound, TooLarge, UnsupportedMediaType, Invalid,
        Unavailable,
    )
)]
pub(super) async fn put_item(
    State(api): State<Api>,
    Staff(actor): Staff,
    Path(sku): Path<Sku>,
    OptionalIdempotencyKey(key): OptionalIdempotencyKey,
    asked: Asked,
    Body { value, json }: Body<PutItem>,
) -> Result<Written<PutAnswer>, Problem> {
    let price = value.price.of_shop(api.0.commands.currency())?;
    let request = asked.keyed(&api.0.fingerprints, actor, key.as_ref(), &json);
    let put = api
        .0
        .commands
        .put_item(request, sku, value.name, price, value.category);
    let outcome = put.await.map_err(declined("item"))?;
    Ok(api.written(outcome, PutAnswer))
}

/// Moves units in or out. Safe to retry with the same `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/inventory/{sku}/movements", tag = "inventory", security(("bearer" = [])),
    params(
        ("sku" = String, Path, description = "The item."),
        ("Idempotency-Key" = String, Header, description = "New for each intent, the same for its retries."),
    ),
    request_body = MoveStock,
    responses(
        (status = 201, body = answers::Item),
        BadRequest, Unauthorized, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType,
        Invalid, Unavailable,
    )
)]
pub(super) async fn move_stock(
    State(api): State<Api>,
    Staff(actor): Staff,
    Path(sku): Path<Sku>,
    key: IdempotencyKey,
    asked: Asked,
    Body { value, json }: Body<MoveStock>,
) -> Result<Written<(StatusCode, Json<answers::Item>)>, Problem> {
    let request = asked.keyed(&api.0.fingerprints, actor, Some(&key), &json);
    let MoveStock {
        quantity,
        reason,
        reference,
    } = value;
    let moved = api
        .0
        .commands
        .move_stock(request, sku, quantity, reason, reference);
    let outcome = moved.await.map_err(not_moved)?;
    Ok(api.written(outcome, |now| (StatusCode::CREATED, Json(item(now)))))
}

/// Sets what is available, if it is what was expected.
#[utoipa::path(
    put, path = "/v1/inventory/{sku}/stock", tag = "inventory", security(("bearer" = [])),
    params(
        ("sku" = String, Path, description = "The item."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe."),
    ),
    request_body = SetStock,
    responses(
        (status = 200, body = answers::Item),
        BadRequest, Unauthorized, Forbidden, NotFound, Conflict, TooLarge, UnsupportedMediaType,
        Invalid, Unavailable,
    )
)]
pub(super) async fn set_stock(
    State(api): State<Api>,
    Staff(actor): Staff,
    Path(sku): Path<Sku>,
    OptionalIdempotencyKey(key): OptionalIdempotencyKey,
    asked: Asked,
    Body { value, json }: Body<SetStock>,
) -> Result<Written<Json<answers::Item>>, Problem> {
    let SetStock {
        available,
        expected,
    } = value.in_range()?;
    let request = asked.keyed(&api.0.fingerprints, actor, key.as_ref(), &json);
    let set = api.0.commands.set_stock(request, sku, available, expected);
    let outcome = set.await.map_err(not_moved)?;
    Ok(api.written(outcome, |now| Json(item(now))))
}

/// Takes no more orders of an item; what was ordered stays.
#[utoipa::path(
    delete, path = "/v1/inventory/{sku}", tag = "inventory", security(("bearer" = [])),
    params(
        ("sku" = String, Path, description = "The item."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe."),
    ),
    responses((status = 204), BadRequest, Unauthorized, Forbidden, NotFound, Invalid, Unavailable)
)]
pub(super) async fn discontinue_item(
    State(api): State<Api>,
    Staff(actor): Staff,
    Path(sku): Path<Sku>,
    OptionalIdempotencyKey(key): OptionalIdempotencyKey,
    asked: Asked,
) -> Result<Written<StatusCode>, Problem> {
    let request = asked.keyed(&api.0.fingerprints, actor, key.as_ref(), &Value::Null);
    let outcome = api.0.commands.discontinue(request, sku).await;
    Ok(api.written(outcome.map_err(declined("item"))?, |()| DONE))
}

fn movement_reasons() -> Object {
    let reasons = ["received", "returned", "damaged", "lost", "recount"];
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(reasons))
        .build()
}

/// 201 for a new item, 200 for a changed one.
#[derive(Debug)]
pub(super) struct PutAnswer(ItemNow);

impl IntoResponse for PutAnswer {
    fn into_response(self) -> Response {
        let status = if self.0.created {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        (status, Json(item(self.0))).into_response()
    }
}

impl Price {
    /// The price, if it is one in the shop's currency.
    fn of_shop(&self, currency: Currency) -> Result<Money, Problem> {
        let invalid =
            |pointer, detail: String| Problem::invalid_body(vec![FieldError::new(pointer, detail)]);
        if self.currency != currency {
            let detail = format!("This shop's currency is {currency}.");
            return Err(invalid("/price/currency", detail));
        }
        Money::price(self.amount, currency)
            .map_err(|error| invalid("/price/amount", error.to_string()))
    }
}

impl SetStock {
    /// Both figures, if stock can be that.
    fn in_range(self) -> Result<Self, Problem> {
        let figures = [("/available", self.available), ("/expected", self.expected)];
        let outside = figures
            .into_iter()
            .filter(|(_, figure)| !(0..=SUPPLIED_MAX).contains(figure));
        let error = |(pointer, _)| {
            FieldError::new(
                pointer,
                "It must be a whole number from 0 to 1000000000000.",
            )
        };
        let errors: Vec<_> = outside.map(error).collect();
        if errors.is_empty() {
            Ok(self)
        } else {
            Err(Problem::invalid_body(errors))
        }
    }
}

/// The item as it is answered. Nothing can be fulfilled yet, so what is not available is held.
fn item(now: ItemNow) -> answers::Item {
    let ItemNow { item, figures, .. } = now;
    answers::Item {
        sku: item.sku,
        name: item.terms.name,
        price: item.terms.price.into(),
        category: item.category,
        status: item.terms.status,
        available: figures.available,
        held: figures.supplied - figures.available,
        sold: 0,
        supplied: figures.supplied,
        settling: false,
    }
}

/// The problem of stock that did not move: here the SKU stands in the path.
fn not_moved(error: CommitError) -> Problem {
    declined("item")(match error {
        CommitError::Refused {
            refusal: Refusal::UnknownSku { .. },
            replayed,
        } => CommitError::Refused {
            refusal: Refusal::NotFound,
            replayed,
        },
        error => error,
    })
}
