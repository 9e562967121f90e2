//! The gate against the log, while the gate is quiet: nothing decided that is not in the log,
//! nothing in the log that is not settled, and nothing that stays between the two.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::evidence::{
    GateDifference, GateItem, GateOrder, GateThings, GateUser, GateValue, StuckRecord, Thing,
};
use crate::place::Place;
use crate::stock::Warehouse;
use crate::whole::Whole;

/// The figures of all SKUs: what is not among them, the gate does not know.
pub(crate) fn compare_items(items: &[GateItem], stock: &Warehouse<'_>) -> Vec<GateDifference> {
    let known: BTreeSet<&str> = items.iter().map(|item| item.sku.as_str()).collect();
    let unknown = stock.skus().filter(|(_, sku)| !known.contains(sku));
    let figures = |item: &GateItem| (item.available, item.supplied);
    let given = items.iter().map(|item| (&*item.sku, Some(figures(item))));
    given
        .chain(unknown.map(|(_, sku)| (sku, None)))
        .filter_map(|(sku, figures)| compare_figures(sku, figures, stock))
        .collect()
}

/// Everything that the gate was asked for.
pub(crate) fn compare_things(gate: &GateThings, log: &Whole<'_>) -> Vec<GateDifference> {
    let epoch = gate.epoch.and_then(|epoch| compare_epoch(epoch, log));
    let items = gate.items.iter();
    let items = items.filter_map(|(sku, value)| compare_item(sku, value.as_ref(), &log.stock));
    let orders = gate.orders.iter();
    let orders = orders.filter_map(|(id, order)| compare_order(*id, order.as_ref(), log));
    let users = gate.users.iter();
    let users = users.filter_map(|(id, user)| compare_user(*id, user.as_ref(), log));
    let owners = log.owners();
    let claims = gate.claims.iter().filter_map(|(hash, owner)| {
        let known = owners.get(hash.as_str()).copied();
        compare_claim(hash, *owner, known)
    });
    let unreadable = gate.unreadable.iter().map(cannot_be_read);
    let stuck = gate.stuck.iter().map(held_by_nobody);
    epoch
        .into_iter()
        .chain(items)
        .chain(orders)
        .chain(users)
        .chain(claims)
        .chain(unreadable)
        .chain(stuck)
        .collect()
}

/// The number of an epoch is made by its claim.
fn compare_epoch(epoch: u64, log: &Whole<'_>) -> Option<GateDifference> {
    let found = "It is open in the gate, but nobody claimed it in this log: the gate is another \
                 log's, or the log lost its newest entries.";
    (!log.is_claimed(epoch)).then(|| differs(Thing::Epoch(epoch), None, found))
}

/// What no command can be decided on.
fn cannot_be_read(thing: &Thing) -> GateDifference {
    let found = "What the gate has of it is damaged and cannot be read.";
    differs(thing.clone(), None, found)
}

/// S4: what was decided is brought into the log and settled, by any node, within seconds.
fn held_by_nobody(record: &StuckRecord) -> GateDifference {
    let about = match &record.about {
        Some(thing) => format!("of {thing} "),
        None => "that cannot be read ".to_owned(),
    };
    let found = format!(
        "The decision {about}stays pending: no node brings it into the log and settles it, so that \
         nobody holds what it took. Any command-api that can write to the log does it within \
         seconds: start one, or look why it cannot."
    );
    differs(Thing::Record(record.id), None, found)
}

fn compare_item(
    sku: &str,
    gate: Option<&GateValue>,
    stock: &Warehouse<'_>,
) -> Option<GateDifference> {
    let figures = gate.map(|value| (value.available, value.supplied));
    let of_figures = compare_figures(sku, figures, stock);
    let of_terms = gate.and_then(|value| compare_terms(sku, value, stock));
    match (of_figures, of_terms) {
        (Some(figures), Some(terms)) => Some(GateDifference {
            found: format!("{} {}", figures.found, terms.found),
            ..figures
        }),
        (figures, terms) => figures.or(terms),
    }
}

/// Name, price and status, which are set together: by the record that changed them last, once it
/// is settled.
fn compare_terms(sku: &str, gate: &GateValue, stock: &Warehouse<'_>) -> Option<GateDifference> {
    let number = stock.number_of(sku)?;
    let (since, log) = stock.catalogue(number)?;
    let (price, currency) = (log.price.amount, log.price.currency.to_string());
    let same = gate.terms_version == log.version
        && gate.name == *log.name
        && (gate.price, &gate.currency) == (price, &currency)
        && gate.status == log.status();
    let found = || {
        format!(
            "The gate has it {} at {:?} for {} {} since version {}, the log {} at {:?} for {} \
             since version {}.",
            gate.status,
            gate.name,
            gate.price,
            gate.currency,
            gate.terms_version,
            log.status(),
            log.name,
            log.price,
            log.version,
        )
    };
    (!same).then(|| GateDifference {
        movements: stock.movements(number).count(),
        ..differs(Thing::Sku(sku.to_owned()), Some(since), found())
    })
}

fn compare_figures(
    sku: &str,
    gate: Option<(i64, i64)>,
    stock: &Warehouse<'_>,
) -> Option<GateDifference> {
    let thing = Thing::Sku(sku.to_owned());
    let number = stock.number_of(sku);
    let created = number.and_then(|number| Some((number, stock.created(number)?)));
    let (since, found) = match (gate, created) {
        (None, None) => return None,
        (Some(_), None) => {
            let found = "The gate sells it, but no record creates it.";
            (None, found.to_owned())
        }
        (None, Some((_, created))) => {
            let found = "The log has it, but the gate takes it for an unknown SKU.";
            (Some(created), found.to_owned())
        }
        (Some((available, supplied)), Some((number, created))) => {
            let log = (stock.available(number), stock.supplied(number));
            if log == (i128::from(available), i128::from(supplied)) {
                return None;
            }
            let newest = stock.movements(number).max_by_key(|(_, moved)| moved.time);
            let newest = newest.map_or(created, |(place, _)| place);
            let found = format!(
                "The gate has {available} available of {supplied} supplied, the log {} of {}.",
                log.0, log.1
            );
            (Some(newest), found)
        }
    };
    Some(GateDifference {
        movements: number.map_or(0, |number| stock.movements(number).count()),
        ..differs(thing, since, found)
    })
}

fn differs(thing: Thing, since: Option<Place>, found: impl Into<String>) -> GateDifference {
    let found = found.into();
    GateDifference {
        thing,
        since,
        movements: 0,
        found,
    }
}

/// A gate may have forgotten an order that is over, and no other.
fn compare_order(id: Uuid, gate: Option<&GateOrder>, log: &Whole<'_>) -> Option<GateDifference> {
    let thing = Thing::Order(id);
    let Some((partition, order)) = log.order(id) else {
        let found = "The gate has it, but no record places it.";
        return gate.map(|_| differs(thing, None, found));
    };
    let (status, version) = (order.status(), order.reached.version);
    let found = match gate {
        None if order.cancelled.is_some() => return None,
        None => format!("It is {status} in the log, but the gate does not know it."),
        Some(gate) => {
            let same = (gate.version, &*gate.status, gate.total) == (version, status, order.total);
            if !same {
                format!(
                    "The gate has it {} at version {} for {}, the log {status} at version \
                     {version} for {}.",
                    gate.status, gate.version, gate.total, order.total
                )
            } else if gate.user != order.user {
                let (gate, log) = (gate.user, order.user);
                format!("In the gate it is of user {gate}, in the log of {log}.")
            } else if gate.digest != Some(order.placed_digest) {
                "The gate has other lines of it than the log, or another currency.".to_owned()
            } else {
                return None;
            }
        }
    };
    let since = order.cancelled.or(order.placed);
    Some(differs(thing, since.map(|at| at.of(partition)), found))
}

fn compare_user(id: Uuid, gate: Option<&GateUser>, log: &Whole<'_>) -> Option<GateDifference> {
    let user = log.user(id);
    let known = user.map(|(_, user)| {
        let role = user.role_before(u64::MAX).unwrap_or_default();
        (user.reached.version, role)
    });
    let has = gate.map(|user| (user.version, &*user.role));
    if has == known {
        return None;
    }
    let named = |user: Option<(u64, &str)>| match user {
        Some((version, role)) => format!("{role} at version {version}"),
        None => "no such user".to_owned(),
    };
    let found = format!("The gate has {}, the log {}.", named(has), named(known));
    let since = user.and_then(|(partition, user)| user.reached.place(partition));
    Some(differs(Thing::User(id), since, found))
}

fn compare_claim(
    hash: &str,
    gate: Option<Uuid>,
    log: Option<(Uuid, Place)>,
) -> Option<GateDifference> {
    let owner = log.map(|(owner, _)| owner);
    if gate == owner {
        return None;
    }
    let named = |owner: Option<Uuid>| match owner {
        Some(id) => format!("user {id}"),
        None => "nobody".to_owned(),
    };
    let found = format!(
        "In the gate it belongs to {}, in the log to {}.",
        named(gate),
        named(owner)
    );
    let since = log.map(|(_, place)| place);
    Some(differs(Thing::Address(hash.to_owned()), since, found))
}
