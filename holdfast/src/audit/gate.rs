//! The gate's things beside the log's, on a system that may be busy.
//!
//! Gate and log cannot be read at one moment. A thing that is the same in both is taken as it is;
//! one that differs may only have been under way, so it is looked at again: it counts as different
//! when no record of it was pending right before and right after the gate was asked, and none came
//! into the log between just before that and just after. Then everything that was decided about it
//! stood in the log and was settled, and the two have to be the same. A thing that never keeps
//! still is left for the next audit.
//!
//! What is pending at the first look has to be done with soon: its own node does it at once, and
//! where that died another does it within seconds. So those records are waited for, as long as
//! they get fewer; what then still is pending is held by nobody, and is a difference itself.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use audit::{Audit, GateDifference, GateOrder, GateThings, Given, StuckRecord, Thing};
use command_api::commands::users::email_claim;
use command_api::gate::{
    AggregateKey, Current, Gate, GateError, LoadedAggregate, Look, Looked, Pending,
};
use domain::email::EmailHash;
use domain::order::Order;
use domain::sku::Sku;
use migrations::words::word;
use record::{AggregateType, Envelope, Record};
use uuid::Uuid;

use super::reading::Reader;

/// Things that the gate is asked for in one call.
const LOOKS_PER_CALL: usize = 500;
/// How often what differs or is pending is looked at again, and after how long: for 10 seconds
/// after the last record was done with. A node's death leaves records pending until another finds
/// them in two scans, three seconds apart, and completes them one after the other.
const TURNS: u32 = 40;
const TURN_AFTER: Duration = Duration::from_millis(250);

/// What the gate has of everything that the log knows; of what differs, only what surely does.
///
/// # Errors
/// When the gate or the log does not answer.
pub(super) async fn look(gate: &dyn Gate, reader: &mut Reader) -> Result<Given<GateThings>> {
    let Some(current) = gate.current().await.context("the gate does not answer")? else {
        return Ok(Err("the gate is empty: no epoch is open"));
    };
    match look_again(gate, &current, reader).await {
        Err(error) => match error.downcast_ref::<GateError>() {
            Some(GateError::Closed(_)) => Ok(Err("the gate's epoch is closed: it will be rebuilt")),
            _ => Err(error.context("the gate cannot be compared")),
        },
        things => things,
    }
}

async fn look_again(
    gate: &dyn Gate,
    current: &Current,
    reader: &mut Reader,
) -> Result<Given<GateThings>> {
    let mut asked = everything(&reader.audit);
    let (mut agreed, mut turns_left) = (0, TURNS);
    let mut waiting: Option<Vec<Pending>> = None;
    loop {
        let mut pending = gate.pending(current, None).await?;
        let mut under_way = under_way(&pending);
        let things = ask(gate, current, &asked).await?;
        pending = gate.pending(current, None).await?;
        under_way.extend(self::under_way(&pending));
        let before = reader.audit.differing(&things);
        reader.catch_up().await?;
        let after = reader.audit.differing(&things);
        agreed += (asked.len() - after.len()) as u64;
        let sure = |differs: &&GateDifference| {
            before.contains(differs) && !under_way.contains(&differs.thing)
        };
        let sure: BTreeSet<Thing> = after
            .iter()
            .filter(sure)
            .map(|differs| differs.thing.clone())
            .collect();
        let waited_for = waiting.as_ref().map_or(usize::MAX, Vec::len);
        let still = still_pending(waiting, pending);
        turns_left = match still.len() < waited_for {
            true => TURNS,
            false => turns_left - 1,
        };
        let known = after.is_empty() || !sure.is_empty();
        if still.is_empty() && known || turns_left == 0 {
            if still.is_empty() && !known {
                return Ok(Err(NEVER_STILL));
            }
            let stuck = still.iter().map(stuck).collect();
            return Ok(Ok(only(things, &sure, stuck, agreed)));
        }
        asked = after.into_iter().map(|differs| differs.thing).collect();
        waiting = Some(still);
        tokio::time::sleep(TURN_AFTER).await;
        reader.catch_up().await?;
    }
}

const NEVER_STILL: &str =
    "some of its figures changed whenever they were looked at; audit again in a quieter moment";

/// Of the records that are waited for (at the first look all that are pending), those that still
/// are pending.
fn still_pending(waiting: Option<Vec<Pending>>, pending: Vec<Pending>) -> Vec<Pending> {
    let Some(mut waiting) = waiting else {
        return pending;
    };
    let pending: BTreeSet<_> = pending.iter().map(|pending| pending.record).collect();
    waiting.retain(|waited_for| pending.contains(&waited_for.record));
    waiting
}

fn stuck(pending: &Pending) -> StuckRecord {
    let record = Record::decode(&pending.payload).ok();
    StuckRecord {
        id: pending.record.0,
        about: record.map(|record| aggregate_of(record.envelope)),
    }
}

fn everything(audit: &Audit) -> Vec<Thing> {
    let skus = audit.skus().map(|sku| Thing::Sku(sku.to_owned()));
    let orders = audit.orders().map(Thing::Order);
    let users = audit.users().flat_map(|(id, email_hash)| {
        let address = Thing::Address(email_hash.to_owned());
        [Thing::User(id), address]
    });
    skus.chain(orders).chain(users).collect()
}

/// The things that pending records are about.
fn under_way(pending: &[Pending]) -> BTreeSet<Thing> {
    let mut things = BTreeSet::new();
    for pending in pending {
        // What cannot be read is no record of the commit path; the fold tells of it.
        let Ok(Record { envelope, body }) = Record::decode(&pending.payload) else {
            continue;
        };
        things.insert(aggregate_of(envelope));
        let movements = body.events.movements().into_iter();
        things.extend(movements.map(|moved| Thing::Sku(moved.sku.as_str().to_owned())));
    }
    things
}

fn aggregate_of(envelope: Envelope) -> Thing {
    let id = Uuid::try_parse(&envelope.aggregate_id);
    match (envelope.aggregate_type, id) {
        (AggregateType::Orders, Ok(id)) => Thing::Order(id),
        (AggregateType::Users, Ok(id)) => Thing::User(id),
        _ => Thing::Sku(envelope.aggregate_id),
    }
}

async fn ask(gate: &dyn Gate, current: &Current, asked: &[Thing]) -> Result<GateThings> {
    let mut things = GateThings::default();
    for asked in asked.chunks(LOOKS_PER_CALL) {
        let mut looks = Vec::with_capacity(asked.len());
        let mut looked_for = Vec::with_capacity(asked.len());
        for thing in asked {
            match question(thing) {
                Some(look) => {
                    looks.push(look);
                    looked_for.push(thing);
                }
                None => note(&mut things, thing, Looked::Nothing)?,
            }
        }
        let answers = gate.load(current, &looks).await?.answers;
        for (thing, looked) in looked_for.into_iter().zip(answers) {
            note(&mut things, thing, looked)?;
        }
    }
    Ok(things)
}

/// How the gate is asked for a thing. `None`: what a foreign hand wrote into the log under a name
/// that no command takes is nothing that a gate can have.
fn question(thing: &Thing) -> Option<Look> {
    let aggregate = |kind, id: &Uuid| {
        let id = id.to_string().into();
        Look::Aggregate(AggregateKey { kind, id })
    };
    Some(match thing {
        Thing::Sku(sku) => Look::Item(Sku::parse(sku).ok()?),
        Thing::Order(id) => aggregate(AggregateType::Orders, id),
        Thing::User(id) => aggregate(AggregateType::Users, id),
        Thing::Address(hash) => Look::Claimed(email_claim(&EmailHash::parse(hash).ok()?)),
        Thing::Record(_) => return None,
    })
}

fn note(things: &mut GateThings, thing: &Thing, looked: Looked) -> Result<()> {
    let aggregate = |looked| match looked {
        Looked::Aggregate(aggregate) => Some(aggregate),
        Looked::Nothing | Looked::Item(_) | Looked::ItemPending(_) => None,
    };
    match thing {
        Thing::Sku(sku) => {
            let figures = match looked {
                Looked::Item(value) => Some((value.available, value.supplied)),
                Looked::Nothing | Looked::Aggregate(_) | Looked::ItemPending(_) => None,
            };
            things.items.push((sku.clone(), figures));
        }
        Thing::Order(id) => {
            let order = aggregate(looked).as_ref().map(order).transpose()?;
            things.orders.push((*id, order));
        }
        Thing::User(id) => {
            let version = aggregate(looked).map(|user| user.version);
            things.users.push((*id, version));
        }
        Thing::Address(hash) => {
            let owner = aggregate(looked).map(|user| Uuid::try_parse(&user.id));
            things.claims.push((hash.clone(), owner.transpose()?));
        }
        Thing::Record(_) => {}
    }
    Ok(())
}

fn order(aggregate: &LoadedAggregate) -> Result<GateOrder> {
    let unreadable = || {
        format!(
            "the gate's snapshot of order {} is unreadable",
            aggregate.id
        )
    };
    let order: Order = serde_json::from_str(&aggregate.snapshot).with_context(unreadable)?;
    let order = order.existing.with_context(unreadable)?;
    Ok(GateOrder {
        version: aggregate.version,
        status: word(order.status),
        total: order.total.amount(),
    })
}

/// Of all things, those that surely differ; the others are the same or not known.
fn only(
    things: GateThings,
    sure: &BTreeSet<Thing>,
    stuck: Vec<StuckRecord>,
    agreed: u64,
) -> GateThings {
    let GateThings {
        mut items,
        mut orders,
        mut users,
        mut claims,
        ..
    } = things;
    items.retain(|(sku, _)| sure.contains(&Thing::Sku(sku.clone())));
    orders.retain(|(id, _)| sure.contains(&Thing::Order(*id)));
    users.retain(|(id, _)| sure.contains(&Thing::User(*id)));
    claims.retain(|(hash, _)| sure.contains(&Thing::Address(hash.clone())));
    GateThings {
        items,
        orders,
        users,
        claims,
        stuck,
        agreed,
    }
}
