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
//!
//! What cannot be read is a difference like any other. A gate that can be asked nothing is none:
//! it may be another version's.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use audit::{
    Audit, GateDifference, GateOrder, GateThings, GateUser, GateValue, Given, OrderDigest,
    StuckRecord, Thing,
};
use command_api::commands::users::{UserSnapshot, email_claim};
use command_api::gate::{
    AggregateKey, Current, Gate, GateError, ItemValue, LoadedAggregate, Look, Looked, Pending,
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
    // It may have opened since the log was read.
    if !reader.audit.is_claimed(current.epoch) {
        reader.catch_up().await?;
    }
    let known = GateThings {
        epoch: Some(current.epoch),
        ..GateThings::default()
    };
    if !reader.audit.is_claimed(current.epoch) {
        return Ok(Ok(known));
    }
    let mut asked = everything(&reader.audit);
    let (mut agreed, mut turns_left) = (0, TURNS);
    let mut waiting: Option<Vec<Pending>> = None;
    loop {
        let before = gate.pending(current, None).await;
        let things = ask(gate, current, &asked).await?;
        let after = gate.pending(current, None).await;
        // The gate answers, as it just did; so only a pending record can be what is damaged.
        let (Some(before), Some(pending)) = (unless_damaged(before)?, unless_damaged(after)?)
        else {
            return Ok(Ok(GateThings {
                unreadable: vec![Thing::Pending],
                ..known
            }));
        };
        let mut under_way = under_way(&before);
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
        let is_known = after.is_empty() || !sure.is_empty();
        if still.is_empty() && is_known || turns_left == 0 {
            if still.is_empty() && !is_known {
                return Ok(Err(NEVER_STILL));
            }
            let stuck = still.iter().map(stuck).collect();
            return Ok(Ok(GateThings {
                epoch: known.epoch,
                stuck,
                agreed,
                ..only(things, &sure)
            }));
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
                None => note(&mut things, thing, Looked::Nothing),
            }
        }
        let answers = load(gate, current, &looks).await?;
        for (thing, looked) in looked_for.into_iter().zip(answers) {
            match looked {
                Some(looked) => note(&mut things, thing, looked),
                None => things.unreadable.push(thing.clone()),
            }
        }
    }
    Ok(things)
}

/// What the gate has of these; `None` of what cannot be read, which spoils a whole call.
async fn load(gate: &dyn Gate, current: &Current, looks: &[Look]) -> Result<Vec<Option<Looked>>> {
    if let Some(reply) = unless_damaged(gate.load(current, looks).await)? {
        return Ok(reply.answers.into_iter().map(Some).collect());
    }
    // It can be asked for what nobody has, or nothing can be known of it.
    let nothing = question(&Thing::Order(Uuid::nil()));
    gate.load(current, nothing.as_slice()).await?;
    let mut answers = Vec::with_capacity(looks.len());
    for look in looks {
        let reply = unless_damaged(gate.load(current, std::slice::from_ref(look)).await)?;
        answers.push(reply.and_then(|reply| reply.answers.into_iter().next()));
    }
    Ok(answers)
}

/// `None` where what was asked for cannot be read.
fn unless_damaged<T>(answer: Result<T, GateError>) -> Result<Option<T>, GateError> {
    match answer {
        Err(GateError::Damaged(_)) => Ok(None),
        answer => answer.map(Some),
    }
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
        Thing::Record(_) | Thing::Epoch(_) | Thing::Pending => return None,
    })
}

fn note(things: &mut GateThings, thing: &Thing, looked: Looked) {
    let (aggregate, value) = match looked {
        Looked::Aggregate(aggregate) => (Some(aggregate), None),
        Looked::Item(value) => (None, Some(value)),
        Looked::Nothing | Looked::ItemPending(_) => (None, None),
    };
    let noted = match thing {
        Thing::Sku(sku) => {
            things.items.push((sku.clone(), value.map(item)));
            Some(())
        }
        Thing::Order(id) => read(aggregate, order).map(|order| things.orders.push((*id, order))),
        Thing::User(id) => read(aggregate, user).map(|user| things.users.push((*id, user))),
        Thing::Address(hash) => {
            let owner = read(aggregate, |user| Uuid::try_parse(&user.id).ok());
            owner.map(|owner| things.claims.push((hash.clone(), owner)))
        }
        Thing::Record(_) | Thing::Epoch(_) | Thing::Pending => Some(()),
    };
    if noted.is_none() {
        things.unreadable.push(thing.clone());
    }
}

/// What the gate has, read; `None` where that cannot be read.
fn read<T>(
    aggregate: Option<LoadedAggregate>,
    read: impl Fn(&LoadedAggregate) -> Option<T>,
) -> Option<Option<T>> {
    match aggregate {
        Some(aggregate) => read(&aggregate).map(Some),
        None => Some(None),
    }
}

fn item(value: ItemValue) -> GateValue {
    GateValue {
        available: value.available,
        supplied: value.supplied,
        terms_version: value.terms_version,
        name: value.terms.name.to_string(),
        price: value.terms.price.amount(),
        currency: value.terms.price.currency().to_string(),
        status: word(value.terms.status),
    }
}

fn order(aggregate: &LoadedAggregate) -> Option<GateOrder> {
    let order: Order = serde_json::from_str(&aggregate.snapshot).ok()?;
    let order = order.existing?;
    let (lines, total) = (serde_json::to_string(&order.lines).ok()?, order.total);
    let currency = total.currency().to_string();
    Some(GateOrder {
        version: aggregate.version,
        user: order.user_id.0,
        status: word(order.status),
        total: total.amount(),
        digest: OrderDigest::of_lines(&lines, total.amount(), &currency),
    })
}

fn user(aggregate: &LoadedAggregate) -> Option<GateUser> {
    let snapshot: UserSnapshot = serde_json::from_str(&aggregate.snapshot).ok()?;
    Some(GateUser {
        version: aggregate.version,
        role: word(snapshot.user.existing?.role),
    })
}

/// Of all things, those that surely differ; the others are the same or not known.
fn only(mut things: GateThings, sure: &BTreeSet<Thing>) -> GateThings {
    let is_sku = |sku: &String| sure.contains(&Thing::Sku(sku.clone()));
    things.items.retain(|(sku, _)| is_sku(sku));
    let is_order = |id: &Uuid| sure.contains(&Thing::Order(*id));
    things.orders.retain(|(id, _)| is_order(id));
    let is_user = |id: &Uuid| sure.contains(&Thing::User(*id));
    things.users.retain(|(id, _)| is_user(id));
    let is_address = |hash: &String| sure.contains(&Thing::Address(hash.clone()));
    things.claims.retain(|(hash, _)| is_address(hash));
    things.unreadable.retain(|thing| sure.contains(thing));
    things
}
