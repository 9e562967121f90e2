//! What one order, user and item take in the gate's Redis: many of one kind, rebuilt beside.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use command_api::gate::{AggregateKey, Claim, Gate, ItemValue, KeyEntry, Rebuilt};
use domain::inventory::{ItemStatus, Terms};
use domain::money::{Currency, Money};
use domain::sku::Sku;
use domain::text::Name;
use record::{AggregateType, Partition, Position, RecordId, Topic};
use uuid::Uuid;

use super::Measured;
use super::place::Place;

/// How many of each.
const MANY: u64 = 20_000;
/// The snapshot of an order with one line, of a user with one session, and of an item, in bytes.
const ORDER_BYTES: usize = 365;
const USER_BYTES: usize = 900;
const ITEM_BYTES: usize = 170;

/// Makes the pieces of the thing with this number.
type Make = fn(u64) -> Result<Vec<Rebuilt>>;

/// Bytes of each kind; nothing for an embedded gate, which lives in the process.
///
/// # Errors
/// When Redis does not answer.
pub(super) async fn of_pieces(place: &Place) -> Result<Vec<Measured>> {
    let Some(redis) = place.redis_beside()? else {
        return Ok(vec![]);
    };
    let mut measured = vec![];
    let kinds: [(&str, Make); 3] = [
        ("an order with its key", order),
        ("a user with its claim", user),
        ("an item with its value", item),
    ];
    for (epoch, (what, pieces)) in (1..).zip(kinds) {
        // It waits until what was there before is freed.
        let mut rebuild = redis.begin_rebuild(epoch).await?;
        let before = redis.used_memory().await?;
        for number in 0..MANY {
            if number % 1_000 == 0 {
                let some = (number..number + 1_000).map(pieces);
                let some: Vec<_> = some.collect::<Result<_>>()?;
                rebuild.write(some.into_iter().flatten().collect()).await?;
            }
        }
        rebuild.publish(BTreeMap::new()).await?;
        let taken = redis.used_memory().await?.saturating_sub(before);
        measured.push(Measured {
            what: format!("Redis: {what}"),
            figure: format!("{} B", taken / MANY),
            cpu: String::new(),
        });
    }
    redis.delete_scratch().await?;
    Ok(measured)
}

fn aggregate(kind: AggregateType, id: Arc<str>, bytes: usize) -> Rebuilt {
    Rebuilt::Aggregate {
        key: AggregateKey { kind, id },
        version: 1,
        snapshot: "x".repeat(bytes),
    }
}

fn order(number: u64) -> Result<Vec<Rebuilt>> {
    let hash = || Uuid::new_v4().simple().to_string();
    let id: Arc<str> = Uuid::now_v7().to_string().into();
    let key = Rebuilt::Key {
        entry: KeyEntry {
            key: hash(),
            fingerprint: hash(),
        },
        record: RecordId(Uuid::now_v7()),
        aggregate_id: Arc::clone(&id),
        position: Position {
            partition: Partition {
                topic: Topic::Orders,
                number: 0,
            },
            offset: 1_000_000 + number,
        },
    };
    Ok(vec![aggregate(AggregateType::Orders, id, ORDER_BYTES), key])
}

fn user(_: u64) -> Result<Vec<Rebuilt>> {
    let id: Arc<str> = Uuid::now_v7().to_string().into();
    let claim = Claim {
        name: format!("email:{}", Uuid::new_v4().simple()),
        owner: Arc::clone(&id),
    };
    Ok(vec![
        Rebuilt::Claim(claim),
        aggregate(AggregateType::Users, id, USER_BYTES),
    ])
}

fn item(number: u64) -> Result<Vec<Rebuilt>> {
    let sku = Sku::parse(&format!("article-{number:05}"))?;
    let value = ItemValue {
        available: 1_000,
        supplied: 1_000,
        terms_version: 1,
        terms: Terms {
            name: Name::parse("A lamp, on sale")?,
            price: Money::price(1_999, Currency::parse("EUR")?)?,
            status: ItemStatus::Active,
        },
    };
    let id: Arc<str> = sku.to_string().into();
    Ok(vec![
        Rebuilt::Item(sku, value),
        aggregate(AggregateType::Inventory, id, ITEM_BYTES),
    ])
}
