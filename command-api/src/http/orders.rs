//! Placing and cancelling orders.

use axum::Json;
use axum::extract::State;
use contract::refused::{
    BadRequest, Conflict, Invalid, NotFound, TooLarge, Unauthorized, Unavailable,
    UnsupportedMediaType,
};
use contract::{
    Actor, Body, FieldError, IdempotencyKey, OptionalBody, OptionalIdempotencyKey, Path, Problem,
    answers,
};
use domain::ids::OrderId;
use domain::order::{LinesRefusal, RequestedLine, add_up};
use domain::quantity::Quantity;
use domain::sku::Sku;
use domain::text::Note;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use super::asked::Asked;
use super::declined::declined;
use super::written::{Created, Written};
use crate::commit::CommitError;
use crate::gate::Refusal;

/// What to order: all lines or none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceOrder {
    /// 1 to 100 lines; those of one SKU are added up.
    #[schema(min_items = 1, max_items = 100)]
    lines: Vec<Line>,
}

/// One line of an order. The price is the catalogue's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RequestedLine)]
pub(super) struct Line {
    /// The item.
    #[schema(schema_with = contract::schema::sku)]
    sku: Sku,
    /// Units.
    #[schema(schema_with = contract::schema::quantity)]
    quantity: Quantity,
}

/// Why an order is given up.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelOrder {
    /// For the order's history.
    #[schema(value_type = Option<String>, max_length = 200)]
    reason: Option<Note>,
}

/// Places an order. Safe to retry with the same `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", security(("bearer" = [])),
    params(("Idempotency-Key" = String, Header, description = "New for each intent, the same for its retries.")),
    request_body = PlaceOrder,
    responses(
        (status = 201, body = answers::Order, headers(("Location" = String))),
        BadRequest, Unauthorized, Conflict, TooLarge, UnsupportedMediaType, Invalid, Unavailable,
    )
)]
pub(super) async fn place_order(
    State(api): State<Api>,
    actor: Actor,
    key: IdempotencyKey,
    asked: Asked,
    Body { value, json }: Body<PlaceOrder>,
) -> Result<Written<Created<answers::Order>>, Problem> {
    let lines = requested(&value)?;
    let request = asked.keyed(&api.0.fingerprints, actor, Some(&key), &json);
    let placed = api
        .0
        .commands
        .place_order(request, actor.user_id, lines)
        .await;
    let outcome = placed.map_err(|error| not_placed(error, &value))?;
    Ok(api.written(outcome, |order| Created {
        location: format!("/v1/orders/{}", order.id),
        body: answers::Order::from(&order),
    }))
}

/// Cancels an order; its units can be ordered again.
#[utoipa::path(
    post, path = "/v1/orders/{id}/cancellation", tag = "orders", security(("bearer" = [])),
    params(
        ("id" = String, Path, description = "The order."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe."),
    ),
    request_body = Option<CancelOrder>,
    responses(
        (status = 200, body = answers::Order),
        BadRequest, Unauthorized, NotFound, Conflict, TooLarge, UnsupportedMediaType, Invalid,
        Unavailable,
    )
)]
pub(super) async fn cancel_order(
    State(api): State<Api>,
    actor: Actor,
    Path(id): Path<OrderId>,
    OptionalIdempotencyKey(key): OptionalIdempotencyKey,
    asked: Asked,
    OptionalBody { value, json }: OptionalBody<CancelOrder>,
) -> Result<Written<Json<answers::Order>>, Problem> {
    let owner = (!actor.is_staff()).then_some(actor.user_id);
    let request = asked.keyed(&api.0.fingerprints, actor, key.as_ref(), &json);
    let cancelled = api
        .0
        .commands
        .cancel_order(request, id, owner, value.reason)
        .await;
    let outcome = cancelled.map_err(not_cancelled)?;
    Ok(api.written(outcome, |order| Json(answers::Order::from(&order))))
}

/// The lines, added up per SKU.
fn requested(order: &PlaceOrder) -> Result<Vec<RequestedLine>, Problem> {
    let line = |line: &Line| RequestedLine {
        sku: line.sku.clone(),
        quantity: line.quantity,
    };
    let lines: Vec<_> = order.lines.iter().map(line).collect();
    add_up(&lines).map_err(|refusal| {
        let error = match refusal {
            LinesRefusal::Count => FieldError::new("/lines", "An order has 1 to 100 lines."),
            LinesRefusal::Sum { index } => FieldError::new(
                format!("/lines/{index}/quantity"),
                "The lines of one SKU may add up to 1000000 units.",
            ),
        };
        Problem::invalid_body(vec![error])
    })
}

/// The problem of an order that was not placed; an unknown SKU is pointed at in the body.
fn not_placed(error: CommitError, order: &PlaceOrder) -> Problem {
    let (refusal, replayed) = match error {
        CommitError::Refused { refusal, replayed } => (refusal, replayed),
        error => return declined("order")(error),
    };
    let Refusal::UnknownSku { sku } = refusal else {
        return declined("order")(CommitError::Refused { refusal, replayed });
    };
    let index = order.lines.iter().position(|line| line.sku == sku);
    let problem = Problem::unknown_sku(sku, index.map(|index| format!("/lines/{index}/sku")));
    if replayed {
        problem.replayed()
    } else {
        problem
    }
}

/// The problem of an order that was not cancelled. The gate forgets orders that finished long
/// ago, so its "not found" may mean one that a read still shows.
fn not_cancelled(error: CommitError) -> Problem {
    let unknown = matches!(
        error,
        CommitError::Refused {
            refusal: Refusal::NotFound,
            ..
        }
    );
    let problem = declined("order")(error);
    if !unknown {
        return problem;
    }
    problem.saying(
        "There is no such order that could be cancelled, or it is not yours. One that finished \
         long ago is still shown by GET.",
    )
}
