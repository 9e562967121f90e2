//! Step 1: what a command is decided on.

use record::AggregateType;

use super::state::{Known, State, damaged};
use crate::gate::{AggregateKey, GateError, LoadedAggregate, Look, Looked};

pub(super) fn load(state: &State, look: &Look) -> Result<Looked, GateError> {
    match look {
        Look::Aggregate(key) => aggregate(state, key),
        Look::Claimed(name) => claimed(state, name),
        Look::Item(sku) => Ok(match state.item(sku)? {
            Known::Value(value) => Looked::Item(value.clone()),
            Known::Pending(record) => Looked::ItemPending(record),
            Known::Unknown => Looked::Nothing,
        }),
    }
}

fn aggregate(state: &State, key: &AggregateKey) -> Result<Looked, GateError> {
    let Some(found) = state.aggregate(key)? else {
        return Ok(Looked::Nothing);
    };
    Ok(Looked::Aggregate(LoadedAggregate {
        id: key.id.clone(),
        version: found.version,
        snapshot: found.snapshot.clone(),
        latest_pending: state.latest.get(key).copied(),
    }))
}

fn claimed(state: &State, name: &str) -> Result<Looked, GateError> {
    let Some(owner) = state.claims.get(name) else {
        return Ok(Looked::Nothing);
    };
    let user = AggregateKey {
        kind: AggregateType::Users,
        id: owner.clone(),
    };
    match aggregate(state, &user)? {
        Looked::Nothing => Err(damaged(format!("{user} owns a claim, but has no snapshot"))),
        found => Ok(found),
    }
}
