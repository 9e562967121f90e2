//! What clients may want, and how it is asked of a node.

use anyhow::{Result, anyhow};
use command_api::commit::{CommitError, Request};
use domain::ids::UserId;
use domain::inventory::MovementReason;
use domain::money::{Currency, Money};
use domain::order::{RequestedLine, add_up};
use domain::quantity::{Quantity, SignedQuantity};
use domain::sku::Sku;
use domain::text::Name;
use domain::user::Role;
use record::{Actor, RecordedKey};
use uuid::Uuid;

use crate::books::{Answer, Made, Wish};
use crate::node::Node;
use crate::people;
use crate::world::World;

/// The name of an item.
pub fn sku(number: usize) -> String {
    format!("ITEM-{number}")
}

/// Whose orders these are: of nobody who registered.
pub fn user() -> UserId {
    UserId(Uuid::from_u128(7))
}

/// A request with this key.
pub fn request(world: &World, key: Option<&str>, fingerprint: &str) -> Request {
    Request {
        actor: Actor::User {
            id: user(),
            role: Role::Admin,
        },
        key: key.map(|key| RecordedKey {
            key: key.to_owned(),
            fingerprint: fingerprint.to_owned(),
        }),
        correlation_id: command_api::clock::Ids::next(world),
        traceparent: None,
    }
}

/// Asks a node once.
///
/// # Errors
/// When the wish itself is malformed, which is a mistake of the simulation.
pub async fn ask(node: &Node, request: Request, wish: &Wish) -> Result<Answer> {
    if let Some(answer) = people::ask(node, request.clone(), wish).await? {
        return Ok(answer);
    }
    let commands = &node.commands;
    let answered = match wish.clone() {
        Wish::Put { sku, price } => {
            let name = Name::parse("Lamp").map_err(invalid)?;
            let currency = Currency::parse("EUR").map_err(invalid)?;
            let price = Money::price(price, currency).map_err(invalid)?;
            let put = commands.put_item(request, parsed(&sku)?, name, price, None);
            put.await.map(|outcome| (outcome.position, Made::Item))
        }
        Wish::Move { sku, units } => {
            let units = SignedQuantity::new(units).map_err(invalid)?;
            let reason = MovementReason::Received;
            let moved = commands.move_stock(request, parsed(&sku)?, units, reason, None);
            moved.await.map(|outcome| (outcome.position, Made::Item))
        }
        Wish::Set {
            sku,
            available,
            expected,
        } => {
            let set = commands.set_stock(request, parsed(&sku)?, available, expected);
            set.await.map(|outcome| (outcome.position, Made::Item))
        }
        Wish::Discontinue { sku } => {
            let done = commands.discontinue(request, parsed(&sku)?);
            done.await.map(|outcome| (outcome.position, Made::Item))
        }
        Wish::Place { lines } => {
            let mut requested = Vec::new();
            for (sku, units) in &lines {
                requested.push(RequestedLine {
                    sku: parsed(sku)?,
                    quantity: Quantity::new(*units).map_err(invalid)?,
                });
            }
            let lines = add_up(&requested).map_err(invalid)?;
            let placed = commands.place_order(request, user(), lines);
            placed
                .await
                .map(|it| (it.position, Made::Order(it.value.id)))
        }
        Wish::Cancel { order } => {
            let cancelled = commands.cancel_order(request, order, None, None);
            cancelled
                .await
                .map(|it| (it.position, Made::Order(it.value.id)))
        }
        wish => return Err(invalid(wish)),
    };
    Ok(answer(answered))
}

fn answer(answered: Result<(record::Position, Made), CommitError>) -> Answer {
    match answered {
        Ok((position, made)) => Answer::Done { position, made },
        Err(error) => Answer::of(error),
    }
}

fn parsed(sku: &str) -> Result<Sku> {
    Sku::parse(sku).map_err(invalid)
}

pub(crate) fn invalid(error: impl std::fmt::Debug) -> anyhow::Error {
    anyhow!("the simulation asks for something malformed: {error:?}")
}
