//! Step 2: the checks of one command, in the protocol's order, then its writes.

use std::sync::Arc;

use bytes::Bytes;
use domain::inventory::ItemStatus;
use domain::quantity::SUPPLIED_MAX;
use domain::sku::Sku;
use record::envelope::VERSION_AT;
use record::{AggregateType, Events, Record, RecordId};

use super::generations::{Name, Outcome, Remembered};
use super::state::{Aggregate, Decided, KeyOwner, Known, State, damaged, item_of};
use crate::gate::{
    AggregateKey, Append, Decide, Expected, Figures, GateError, Intent, ItemValue, Pending,
    Refusal, Verdict,
};
use crate::planted::{
    self, Planted::ClaimsNotChecked, Planted::FreedAtCancel, Planted::StockCheckLeftOut,
};

/// Why a command is not accepted.
enum Stop {
    /// A verdict that writes nothing.
    Verdict(Verdict),
    /// A refusal, to be remembered, and the pending record that it rests on.
    Refused(Refusal, Option<RecordId>),
    Damaged(GateError),
}

impl From<GateError> for Stop {
    fn from(error: GateError) -> Self {
        Self::Damaged(error)
    }
}

/// Decides one command. Every check comes before the first write.
pub(super) fn decide(state: &mut State, command: &Decide) -> Result<Verdict, GateError> {
    let stopped = match known(state, command).and_then(|()| judge(state, command)) {
        Ok(Accepted { append, version }) => return accept(state, command, append, version),
        Err(stopped) => stopped,
    };
    match stopped {
        Stop::Verdict(verdict) => Ok(verdict),
        Stop::Refused(refusal, rests_on) => Ok(refuse(state, command, refusal, rests_on)),
        Stop::Damaged(error) => Err(error),
    }
}

struct Accepted<'a> {
    append: &'a Append,
    version: u64,
}

/// Idempotency key and record id, then the generation.
fn known(state: &mut State, command: &Decide) -> Result<(), Stop> {
    if let Some(key) = &command.key
        && let Some(owner) = state.keys.get(&key.key)
    {
        return Err(Stop::Verdict(known_by_key(
            state,
            command,
            &key.fingerprint,
            owner,
        )?));
    }
    if let Some(entry) = state.remembered.find(&name_of(command)) {
        return Err(Stop::Verdict(known_by_generation(state, command, entry)?));
    }
    if state.remembered.is_over(command.generation) {
        return Err(Stop::Verdict(Verdict::GenerationOver));
    }
    Ok(())
}

fn known_by_key(
    state: &State,
    command: &Decide,
    fingerprint: &str,
    owner: &KeyOwner,
) -> Result<Verdict, GateError> {
    if owner.fingerprint != fingerprint {
        return Ok(Verdict::KeyReused);
    }
    match owner.version {
        Some(version) if owner.record == command.record => accepted_before(state, command, version),
        _ => Ok(Verdict::Replayed {
            record: owner.record,
            aggregate_id: owner.aggregate_id.clone(),
            position: owner.position,
        }),
    }
}

fn known_by_generation(
    state: &State,
    command: &Decide,
    entry: Remembered,
) -> Result<Verdict, GateError> {
    let fingerprint = command.key.as_ref().map_or("", |key| &key.fingerprint);
    if entry.fingerprint != fingerprint {
        return Ok(Verdict::KeyReused);
    }
    match entry.outcome {
        Outcome::Accepted { version } => accepted_before(state, command, version),
        Outcome::Refused { refusal, rests_on } => Ok(Verdict::Refused {
            refusal,
            replayed: entry.record != command.record,
            rests_on,
        }),
    }
}

/// The first run's verdict, with the figures as they are now.
fn accepted_before(state: &State, command: &Decide, version: u64) -> Result<Verdict, GateError> {
    let decided = state.pending.get(&command.record);
    let figures = match &command.intent {
        Intent::Append(append) => figures(state, command, append)?,
        Intent::Refuse(_) => vec![],
    };
    Ok(Verdict::Accepted {
        version,
        predecessor: decided.and_then(|decided| decided.record.predecessor),
        figures,
    })
}

fn judge<'a>(state: &State, command: &'a Decide) -> Result<Accepted<'a>, Stop> {
    let append = match &command.intent {
        Intent::Refuse(refusal) => {
            check_terms(state, command)?;
            return Err(Stop::Refused(
                refusal.clone(),
                rests_on(state, command, refusal),
            ));
        }
        Intent::Append(append) => append,
    };
    let version = check_version(state, command, append)?;
    check_claims(state, append)?;
    check_terms(state, command)?;
    check_status(state, command)?;
    check_stock(state, command, append)?;
    Ok(Accepted { append, version })
}

fn check_version(state: &State, command: &Decide, append: &Append) -> Result<u64, Stop> {
    let found = state
        .aggregate(&command.aggregate)?
        .map(|aggregate| aggregate.version);
    match (append.expected, found) {
        (Expected::Next, None) => Err(Stop::Refused(Refusal::NotFound, None)),
        (Expected::Next, Some(version)) => Ok(version + 1),
        (Expected::Version(expected), found) if found.unwrap_or(0) == expected => Ok(expected + 1),
        (Expected::Version(_), _) => Err(Stop::Verdict(Verdict::VersionChanged)),
    }
}

fn check_claims(state: &State, append: &Append) -> Result<(), Stop> {
    for claim in &append.claims {
        if let Some(owner) = state.claims.get(&claim.name)
            && *owner != claim.owner
            && !planted::is(ClaimsNotChecked)
        {
            let user = AggregateKey {
                kind: AggregateType::Users,
                id: owner.clone(),
            };
            let rests_on = state.latest.get(&user).copied();
            return Err(Stop::Refused(Refusal::EmailTaken, rests_on));
        }
    }
    Ok(())
}

fn check_terms(state: &State, command: &Decide) -> Result<(), Stop> {
    let mut changed = vec![];
    for (sku, version) in &command.terms {
        match state.item(sku)? {
            Known::Pending(record) => return Err(item_pending(sku, record)),
            Known::Value(value) if value.terms_version != *version => {
                changed.push((sku.clone(), Some(value.clone())));
            }
            Known::Unknown if *version != 0 => changed.push((sku.clone(), None)),
            Known::Value(_) | Known::Unknown => {}
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    Err(Stop::Verdict(Verdict::TermsChanged(changed)))
}

fn check_status(state: &State, command: &Decide) -> Result<(), Stop> {
    for (sku, _) in &command.terms {
        let refusal = match state.item(sku)? {
            Known::Value(value) if value.terms.status == ItemStatus::Active => continue,
            Known::Value(_) => Refusal::Discontinued { sku: sku.clone() },
            Known::Pending(_) | Known::Unknown => Refusal::UnknownSku { sku: sku.clone() },
        };
        let rests_on = rests_on(state, command, &refusal);
        return Err(Stop::Refused(refusal, rests_on));
    }
    Ok(())
}

fn check_stock(state: &State, command: &Decide, append: &Append) -> Result<(), Stop> {
    if let Some(sku) = own_item(command, append)? {
        let value = value(state, &sku)?;
        if let Some(expected) = append.available
            && value.available != expected
        {
            let available = value.available;
            return Err(Stop::Refused(
                Refusal::StockChanged { sku, available },
                None,
            ));
        }
    }
    for (sku, requested) in summed(&append.takes) {
        let available = value(state, &sku)?.available;
        if available < requested && !planted::is(StockCheckLeftOut) {
            let refusal = Refusal::OutOfStock {
                sku,
                requested,
                available,
            };
            return Err(Stop::Refused(refusal, None));
        }
    }
    if let Some(sku) = own_item(command, append)? {
        let supplied = value(state, &sku)?.supplied;
        if !(0..=SUPPLIED_MAX).contains(&(supplied + append.supply)) {
            return Err(Stop::Refused(Refusal::StockLimit { sku, supplied }, None));
        }
    }
    Ok(())
}

/// A value that the command needs.
fn value<'a>(state: &'a State, sku: &Sku) -> Result<&'a ItemValue, Stop> {
    match state.item(sku)? {
        Known::Value(value) => Ok(value),
        Known::Pending(record) => Err(item_pending(sku, record)),
        Known::Unknown => Err(Stop::Refused(
            Refusal::UnknownSku { sku: sku.clone() },
            None,
        )),
    }
}

fn item_pending(sku: &Sku, record: RecordId) -> Stop {
    Stop::Verdict(Verdict::ItemPending {
        sku: sku.clone(),
        record,
    })
}

/// The item that the record is about, where the record needs its value.
fn own_item(command: &Decide, append: &Append) -> Result<Option<Sku>, GateError> {
    let needed = append.supply != 0 || append.available.is_some() || append.discontinued.is_some();
    if !needed {
        return Ok(None);
    }
    own_sku(&command.aggregate).map(Some)
}

pub(super) fn own_sku(item: &AggregateKey) -> Result<Sku, GateError> {
    Sku::parse(&item.id).map_err(|_| damaged(format!("{item} is not an item")))
}

/// The same SKU named twice is judged by its sum (scenario T3).
fn summed(units: &[(Sku, i64)]) -> Vec<(Sku, i64)> {
    let mut sums: Vec<(Sku, i64)> = vec![];
    for (sku, units) in units {
        match sums.iter_mut().find(|(known, _)| known == sku) {
            Some((_, sum)) => *sum += units,
            None => sums.push((sku.clone(), *units)),
        }
    }
    sums
}

/// The pending record behind a refusal that states a fact about an aggregate. "Out of stock" and
/// the like are not such facts.
fn rests_on(state: &State, command: &Decide, refusal: &Refusal) -> Option<RecordId> {
    let latest = match refusal {
        Refusal::NotFound
        | Refusal::AlreadyCancelled
        | Refusal::EmailTaken
        | Refusal::LastAdmin
        | Refusal::SessionEnded => state.latest.get(&command.aggregate),
        Refusal::Discontinued { sku } => state.latest.get(&item_of(sku)),
        Refusal::OutOfStock { .. }
        | Refusal::UnknownSku { .. }
        | Refusal::TotalTooLarge { .. }
        | Refusal::StockLimit { .. }
        | Refusal::StockChanged { .. } => None,
    };
    latest.copied()
}

fn refuse(
    state: &mut State,
    command: &Decide,
    refusal: Refusal,
    rests_on: Option<RecordId>,
) -> Verdict {
    let outcome = Outcome::Refused {
        refusal: refusal.clone(),
        rests_on,
    };
    remember(state, command, outcome);
    Verdict::Refused {
        refusal,
        replayed: false,
        rests_on,
    }
}

fn remember(state: &mut State, command: &Decide, outcome: Outcome) {
    let fingerprint = command
        .key
        .as_ref()
        .map_or("", |key| &key.fingerprint)
        .to_owned();
    let entry = Remembered {
        fingerprint,
        record: command.record,
        outcome,
    };
    state.remembered.remember(name_of(command), entry);
}

fn name_of(command: &Decide) -> Name {
    match &command.key {
        Some(key) => Name::Key(key.key.clone()),
        None => Name::Record(command.record),
    }
}

/// The writes of an accepted command: everything that lowers availability, nothing that raises it.
fn accept(
    state: &mut State,
    command: &Decide,
    append: &Append,
    version: u64,
) -> Result<Verdict, GateError> {
    for (sku, units) in summed(&append.takes) {
        item_mut(state, &sku)?.available -= units;
    }
    if let Some(sku) = own_item(command, append)? {
        let item = item_mut(state, &sku)?;
        item.supplied += append.supply;
        if let Some((terms_version, terms)) = &append.discontinued
            && *terms_version > item.terms_version
        {
            item.terms_version = *terms_version;
            item.terms = terms.clone();
        }
    }
    if planted::is(FreedAtCancel) {
        free_at_once(state, append);
    }
    for claim in &append.claims {
        state.claims.insert(claim.name.clone(), claim.owner.clone());
    }
    let predecessor = state
        .latest
        .insert(command.aggregate.clone(), command.record);
    write_aggregate(state, command, append, version)?;
    write_pending(state, command, append, version, predecessor);
    write_key(state, command, version);
    Ok(Verdict::Accepted {
        version,
        predecessor,
        figures: figures(state, command, append)?,
    })
}

/// The planted bug of that name: what a cancel gives back can be taken before it is in the log.
fn free_at_once(state: &mut State, append: &Append) {
    let Ok(record) = Record::decode(&append.payload) else {
        return;
    };
    if let Events::Orders(_) = record.body.events {
        for given in record.body.events.movements() {
            if let Some(item) = state.items.get_mut(&given.sku) {
                item.available += given.quantity.max(0);
            }
        }
    }
}

fn item_mut<'a>(state: &'a mut State, sku: &Sku) -> Result<&'a mut ItemValue, GateError> {
    state
        .items
        .get_mut(sku)
        .ok_or_else(|| damaged(format!("item {sku} has no value")))
}

fn write_aggregate(
    state: &mut State,
    command: &Decide,
    append: &Append,
    version: u64,
) -> Result<(), GateError> {
    let known = state.aggregates.get_mut(&command.aggregate);
    match (&append.snapshot, known) {
        (Some(snapshot), _) => {
            let snapshot = snapshot.clone();
            let written = Aggregate { version, snapshot };
            state.aggregates.insert(command.aggregate.clone(), written);
        }
        (None, Some(aggregate)) => aggregate.version = version,
        (None, None) => return Err(damaged(format!("{} has no snapshot", command.aggregate))),
    }
    Ok(())
}

fn write_pending(
    state: &mut State,
    command: &Decide,
    append: &Append,
    version: u64,
    predecessor: Option<RecordId>,
) {
    let payload = match append.expected {
        Expected::Version(_) => append.payload.clone(),
        Expected::Next => with_version(&append.payload, version),
    };
    let record = Pending {
        record: command.record,
        partition: append.partition,
        payload,
        predecessor,
    };
    state
        .pending
        .insert(command.record, Decided { version, record });
}

fn with_version(payload: &Bytes, version: u64) -> Bytes {
    let mut bytes = payload.to_vec();
    if let Some(digits) = bytes.get_mut(VERSION_AT) {
        digits.copy_from_slice(format!("{version:020}").as_bytes());
    }
    bytes.into()
}

fn write_key(state: &mut State, command: &Decide, version: u64) {
    let Some(key) = &command.key else {
        return remember(state, command, Outcome::Accepted { version });
    };
    let owner = KeyOwner {
        fingerprint: key.fingerprint.clone(),
        record: command.record,
        version: Some(version),
        aggregate_id: Arc::clone(&command.aggregate.id),
        position: None,
    };
    state.keys.insert(key.key.clone(), owner);
}

/// The figures of the SKUs that the record takes from or supplies.
fn figures(
    state: &State,
    command: &Decide,
    append: &Append,
) -> Result<Vec<(Sku, Figures)>, GateError> {
    let mut skus: Vec<Sku> = summed(&append.takes)
        .into_iter()
        .map(|(sku, _)| sku)
        .collect();
    if append.supply != 0 || append.available.is_some() {
        let own = own_sku(&command.aggregate)?;
        if !skus.contains(&own) {
            skus.push(own);
        }
    }
    let of = |sku: Sku| match state.items.get(&sku) {
        Some(value) => {
            let figures = Figures {
                available: value.available,
                supplied: value.supplied,
            };
            Ok((sku, figures))
        }
        None => Err(damaged(format!("item {sku} has no value"))),
    };
    skus.into_iter().map(of).collect()
}
