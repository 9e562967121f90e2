//! Step 6: what a record raises, once it was read back as valid.

use domain::sku::Sku;
use record::AggregateType;

use super::decide::own_sku;
use super::state::{State, damaged, item_of};
use crate::gate::{GateError, ItemValue, Settle, Settled, SettledTerms};
use crate::planted::{self, Planted::FreedAtCancel};

/// Settles one record. Every check comes before the first write.
pub(super) fn settle(state: &mut State, record: &Settle) -> Result<Settled, GateError> {
    if !state.pending.contains_key(&record.record) {
        return Ok(Settled::Before);
    }
    for sku in needed_values(record)? {
        if !state.items.contains_key(&sku) {
            return if creation_is_pending(state, &sku) {
                Ok(Settled::ItemPending)
            } else {
                Err(damaged(format!("item {sku} has no value to settle on")))
            };
        }
    }
    check_key(state, record)?;
    set_terms(state, record)?;
    let freed_before = planted::is(FreedAtCancel) && record.aggregate.kind == AggregateType::Orders;
    for (sku, units) in record.gives.iter().filter(|_| !freed_before) {
        if let Some(item) = state.items.get_mut(sku) {
            item.available += units;
        }
    }
    for claim in &record.claims_given_up {
        if state.claims.get(&claim.name) == Some(&claim.owner) {
            state.claims.remove(&claim.name);
        }
    }
    if let Some(owner) = record.key.as_ref().and_then(|key| state.keys.get_mut(key)) {
        owner.position = Some(record.position);
    }
    state.pending.remove(&record.record);
    if state.latest.get(&record.aggregate) == Some(&record.record) {
        state.latest.remove(&record.aggregate);
    }
    Ok(Settled::Done)
}

/// The SKUs whose values must be there: all that it raises, but for the one that it makes.
fn needed_values(record: &Settle) -> Result<Vec<Sku>, GateError> {
    let mut needed: Vec<Sku> = record.gives.iter().map(|(sku, _)| sku.clone()).collect();
    if let Some(terms) = &record.terms {
        let own = own_sku(&record.aggregate)?;
        if terms.creates {
            needed.retain(|sku| *sku != own);
        } else {
            needed.push(own);
        }
    }
    Ok(needed)
}

/// Whether the record that makes a SKU's value is still pending: it is the first of its item, at
/// the end of the chain of predecessors.
fn creation_is_pending(state: &State, sku: &Sku) -> bool {
    let mut next = state.latest.get(&item_of(sku)).copied();
    while let Some(decided) = next.and_then(|record| state.pending.get(&record)) {
        if decided.version == 1 {
            return true;
        }
        next = decided.record.predecessor;
    }
    false
}

/// A pending record's key is its own: it was entered with it and is never given away.
fn check_key(state: &State, record: &Settle) -> Result<(), GateError> {
    let Some(key) = &record.key else {
        return Ok(());
    };
    match state.keys.get(key) {
        Some(owner) if owner.record == record.record => Ok(()),
        _ => Err(damaged(format!("record {} lost its key", record.record))),
    }
}

/// Name, price and status together, and only where the record is newer than what they are from.
fn set_terms(state: &mut State, record: &Settle) -> Result<(), GateError> {
    let Some(SettledTerms { version, terms, .. }) = &record.terms else {
        return Ok(());
    };
    let made = ItemValue {
        available: 0,
        supplied: 0,
        terms_version: *version,
        terms: terms.clone(),
    };
    let item = state
        .items
        .entry(own_sku(&record.aggregate)?)
        .or_insert(made);
    if *version > item.terms_version {
        item.terms_version = *version;
        item.terms = terms.clone();
    }
    Ok(())
}
