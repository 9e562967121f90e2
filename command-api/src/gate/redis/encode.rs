//! What scripts are told: MessagePack, which Lua unpacks in one call.
//!
//! Structs become arrays, in the order of their fields; each script names the same order at its
//! top. Lists of pairs are flat, because every Lua table costs.

use domain::inventory::{ItemStatus, Terms};
use domain::sku::Sku;
use serde::Serialize;

use crate::gate::{
    AggregateKey, Append, Claim, Decide, Expected, GateError, Intent, Look, Refusal, Settle,
};
use record::{AggregateType, Position, RecordId};

/// One value of a flat list.
#[derive(Serialize)]
#[serde(untagged)]
enum Atom<'a> {
    Text(&'a str),
    Owned(String),
    Number(i64),
    Unsigned(u64),
    Yes(bool),
}

/// Where the domain refused, what follows `rests_on` is empty and not looked at.
#[derive(Serialize)]
struct Command<'a> {
    record: String,
    aggregate: String,
    key: &'a str,
    fingerprint: &'a str,
    generation: u64,
    terms: Vec<Atom<'a>>,
    refusal: String,
    rests_on: String,
    expected: i64,
    partition: String,
    payload: &'a str,
    snapshot: &'a str,
    claims: Vec<Atom<'a>>,
    takes: Vec<Atom<'a>>,
    item: &'a str,
    supply: i64,
    available: i64,
    discontinued: Vec<Atom<'a>>,
}

#[derive(Serialize)]
struct Settlement<'a> {
    record: String,
    aggregate: String,
    position: String,
    key: &'a str,
    gives: Vec<Atom<'a>>,
    claims: Vec<Atom<'a>>,
    terms: Vec<Atom<'a>>,
}

pub(super) fn looks(looks: &[Look]) -> Result<Vec<u8>, GateError> {
    let looks: Vec<(&str, String)> = looks
        .iter()
        .map(|look| match look {
            Look::Aggregate(key) => ("A", key.to_string()),
            Look::Claimed(name) => ("C", name.clone()),
            Look::Item(sku) => ("I", sku.to_string()),
        })
        .collect();
    packed(&looks)
}

pub(super) fn commands(commands: &[Decide]) -> Result<Vec<u8>, GateError> {
    let commands = commands
        .iter()
        .map(command)
        .collect::<Result<Vec<_>, _>>()?;
    packed(&commands)
}

pub(super) fn records(records: &[Settle]) -> Result<Vec<u8>, GateError> {
    let records = records
        .iter()
        .map(settlement)
        .collect::<Result<Vec<_>, _>>()?;
    packed(&records)
}

pub(super) fn positions(positions: &[Position]) -> Result<Vec<u8>, GateError> {
    let flat: Vec<Atom<'_>> = positions
        .iter()
        .flat_map(|at| {
            [
                Atom::Owned(at.partition.to_string()),
                Atom::Unsigned(at.offset),
            ]
        })
        .collect();
    packed(&flat)
}

pub(super) fn record_ids(ids: &[RecordId]) -> Result<Vec<u8>, GateError> {
    packed(&ids.iter().map(RecordId::to_string).collect::<Vec<_>>())
}

/// A status as a value holds it.
pub(super) fn status(terms: &Terms) -> &'static str {
    match terms.status {
        ItemStatus::Active => "A",
        ItemStatus::Discontinued => "D",
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, GateError> {
    serde_json::to_string(value).map_err(|error| unwritable(&error))
}

fn packed<T: Serialize>(value: &T) -> Result<Vec<u8>, GateError> {
    rmp_serde::to_vec(value).map_err(|error| unwritable(&error))
}

fn unwritable(error: &dyn std::fmt::Display) -> GateError {
    GateError::NotRun(format!("the call cannot be encoded: {error}"))
}

fn command(command: &Decide) -> Result<Command<'_>, GateError> {
    let key = command.key.as_ref();
    let opening = Command {
        record: command.record.to_string(),
        aggregate: command.aggregate.to_string(),
        key: key.map_or("", |key| &key.key),
        fingerprint: key.map_or("", |key| &key.fingerprint),
        generation: command.generation,
        terms: pairs(&command.terms, |(sku, version)| {
            [Atom::Text(sku.as_str()), Atom::Unsigned(*version)]
        }),
        refusal: String::new(),
        rests_on: String::new(),
        expected: 0,
        partition: String::new(),
        payload: "",
        snapshot: "",
        claims: vec![],
        takes: vec![],
        item: "",
        supply: 0,
        available: ANYTHING,
        discontinued: vec![],
    };
    match &command.intent {
        Intent::Refuse(refusal) => Ok(Command {
            refusal: json(refusal)?,
            rests_on: rests_on(&command.aggregate, refusal),
            ..opening
        }),
        Intent::Append(append) => appended(opening, &command.aggregate, append),
    }
}

/// The next version, or any figure: no version and no figure is below zero.
const ANYTHING: i64 = -1;

fn appended<'a>(
    opening: Command<'a>,
    aggregate: &'a AggregateKey,
    append: &'a Append,
) -> Result<Command<'a>, GateError> {
    let needs_own_value =
        append.supply != 0 || append.available.is_some() || append.discontinued.is_some();
    let discontinued = match &append.discontinued {
        Some((version, terms)) => vec![Atom::Unsigned(*version), Atom::Owned(json(terms)?)],
        None => vec![],
    };
    Ok(Command {
        expected: match append.expected {
            Expected::Version(version) => i64::try_from(version).unwrap_or(i64::MAX),
            Expected::Next => ANYTHING,
        },
        partition: append.partition.to_string(),
        // As text: Redis' unpacker does not know MessagePack's byte strings.
        payload: std::str::from_utf8(&append.payload).map_err(|error| unwritable(&error))?,
        snapshot: append.snapshot.as_deref().unwrap_or_default(),
        claims: claims(&append.claims),
        takes: units(&append.takes),
        item: if needs_own_value { &aggregate.id } else { "" },
        supply: append.supply,
        available: append.available.unwrap_or(ANYTHING),
        discontinued,
        ..opening
    })
}

/// The aggregate whose pending record must be read back before a refusal of the domain is
/// answered: one that states a fact about it. Empty for the others.
fn rests_on(aggregate: &AggregateKey, refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotFound
        | Refusal::AlreadyCancelled
        | Refusal::EmailTaken
        | Refusal::LastAdmin
        | Refusal::SessionEnded => aggregate.to_string(),
        Refusal::Discontinued { sku } => format!("{}:{sku}", AggregateType::Inventory.as_str()),
        Refusal::OutOfStock { .. }
        | Refusal::UnknownSku { .. }
        | Refusal::TotalTooLarge { .. }
        | Refusal::StockLimit { .. }
        | Refusal::StockChanged { .. } => String::new(),
    }
}

fn settlement(record: &Settle) -> Result<Settlement<'_>, GateError> {
    let terms = match &record.terms {
        Some(settled) => vec![
            Atom::Unsigned(settled.version),
            Atom::Text(status(&settled.terms)),
            Atom::Owned(json(&settled.terms)?),
            Atom::Yes(settled.creates),
        ],
        None => vec![],
    };
    Ok(Settlement {
        record: record.record.to_string(),
        aggregate: record.aggregate.to_string(),
        position: record.position.to_string(),
        key: record.key.as_deref().unwrap_or_default(),
        gives: units(&record.gives),
        claims: claims(&record.claims_given_up),
        terms,
    })
}

fn units(units: &[(Sku, i64)]) -> Vec<Atom<'_>> {
    pairs(units, |(sku, units)| {
        [Atom::Text(sku.as_str()), Atom::Number(*units)]
    })
}

fn claims(claims: &[Claim]) -> Vec<Atom<'_>> {
    pairs(claims, |claim| {
        [Atom::Text(&claim.name), Atom::Text(&claim.owner)]
    })
}

fn pairs<'a, T>(of: &'a [T], pair: impl Fn(&'a T) -> [Atom<'a>; 2]) -> Vec<Atom<'a>> {
    of.iter().flat_map(pair).collect()
}
