//! What scripts answer: short texts with `|` between their fields. No field but the last one can
//! have a `|`: they are numbers, UUIDs, SKUs and partitions.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use domain::sku::Sku;
use record::{Partition, Position, RecordId, Topic};
use redis::Value;
use uuid::Uuid;

use crate::gate::{
    Figures, GateError, ItemValue, LoadedAggregate, Looked, Pending, Reply, Settled, Verdict,
};

/// An answer with the newest generation at its head.
pub(super) fn reply<T>(
    value: Value,
    questions: usize,
    answer: impl Fn(&str) -> Option<T>,
) -> Result<Reply<T>, GateError> {
    let mut parts = texts(value)?.into_iter();
    let generation = parts.next().and_then(|text| text.parse().ok());
    let answers: Vec<T> = parts
        .map(|part| answer(&part).ok_or_else(|| unreadable(&part)))
        .collect::<Result<_, _>>()?;
    match generation {
        Some(generation) if answers.len() == questions => Ok(Reply {
            answers,
            generation,
        }),
        _ => Err(unreadable("an answer of another length")),
    }
}

/// The texts of an array.
pub(super) fn texts(value: Value) -> Result<Vec<String>, GateError> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8"));
    blobs(value)?.into_iter().map(text).collect()
}

/// The byte strings of an array.
pub(super) fn blobs(value: Value) -> Result<Vec<Vec<u8>>, GateError> {
    let blob = |part| match part {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(unreadable(&format!("{other:?}"))),
    };
    match value {
        Value::Array(parts) => parts.into_iter().map(blob).collect(),
        other => Err(unreadable(&format!("{other:?}"))),
    }
}

pub(super) fn looked(text: &str) -> Option<Looked> {
    let (kind, rest) = text.split_once('|').unwrap_or((text, ""));
    match kind {
        "N" => Some(Looked::Nothing),
        "P" => Some(Looked::ItemPending(record_id(rest)?)),
        "I" => Some(Looked::Item(item_value(rest)?)),
        "A" => {
            let [id, version, latest, snapshot] = fields(rest)?;
            Some(Looked::Aggregate(LoadedAggregate {
                id: id.into(),
                version: version.parse().ok()?,
                snapshot: snapshot.to_owned(),
                latest_pending: optional_record(latest)?,
            }))
        }
        _ => None,
    }
}

pub(super) fn settled(text: &str) -> Option<Settled> {
    match text {
        "D" => Some(Settled::Done),
        "B" => Some(Settled::Before),
        "P" => Some(Settled::ItemPending),
        _ => None,
    }
}

pub(super) fn verdict(text: &str) -> Option<Verdict> {
    if let Some(lines) = text.strip_prefix("T\n") {
        let changed = lines
            .split('\n')
            .map(changed_terms)
            .collect::<Option<_>>()?;
        return Some(Verdict::TermsChanged(changed));
    }
    let (kind, rest) = text.split_once('|').unwrap_or((text, ""));
    match kind {
        "A" => accepted(rest),
        "P" => replayed(rest),
        "K" => Some(Verdict::KeyReused),
        "R" => refused(rest),
        "G" => Some(Verdict::GenerationOver),
        "V" => Some(Verdict::VersionChanged),
        "I" => {
            let [sku, record] = fields(rest)?;
            Some(Verdict::ItemPending {
                sku: Sku::parse(sku).ok()?,
                record: record_id(record)?,
            })
        }
        _ => None,
    }
}

fn accepted(text: &str) -> Option<Verdict> {
    let [version, predecessor, rest] = fields(text)?;
    let figures = rest.split(';').filter(|each| !each.is_empty()).map(figures);
    Some(Verdict::Accepted {
        version: version.parse().ok()?,
        predecessor: optional_record(predecessor)?,
        figures: figures.collect::<Option<_>>()?,
    })
}

fn figures(text: &str) -> Option<(Sku, Figures)> {
    let (sku, figures) = text.split_once(',')?;
    let (available, supplied) = figures.split_once(',')?;
    let figures = Figures {
        available: available.parse().ok()?,
        supplied: supplied.parse().ok()?,
    };
    Some((Sku::parse(sku).ok()?, figures))
}

fn replayed(text: &str) -> Option<Verdict> {
    let [record, aggregate_id, at] = fields(text)?;
    Some(Verdict::Replayed {
        record: record_id(record)?,
        aggregate_id: Arc::from(aggregate_id),
        position: if at.is_empty() {
            None
        } else {
            Some(position(at)?)
        },
    })
}

fn refused(text: &str) -> Option<Verdict> {
    let [replayed, rests_on, refusal] = fields(text)?;
    Some(Verdict::Refused {
        refusal: serde_json::from_str(refusal).ok()?,
        replayed: replayed == "1",
        rests_on: optional_record(rests_on)?,
    })
}

fn changed_terms(line: &str) -> Option<(Sku, Option<ItemValue>)> {
    let (sku, packed) = line.split_once('|')?;
    let value = match packed {
        "" => None,
        packed => Some(item_value(packed)?),
    };
    Some((Sku::parse(sku).ok()?, value))
}

/// `available|supplied|status|terms version|terms`.
fn item_value(packed: &str) -> Option<ItemValue> {
    let [available, supplied, _status, terms_version, terms] = fields(packed)?;
    Some(ItemValue {
        available: available.parse().ok()?,
        supplied: supplied.parse().ok()?,
        terms_version: terms_version.parse().ok()?,
        terms: serde_json::from_str(terms).ok()?,
    })
}

/// Pending records of one answer, whose cursor was taken off.
pub(super) fn pending(parts: &[Vec<u8>]) -> Result<Vec<Pending>, GateError> {
    let (pairs, rest) = parts.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(unreadable("a pending record without its bytes"));
    }
    pairs
        .iter()
        .map(|[id, packed]| {
            pending_record(id, packed).ok_or_else(|| unreadable("a pending record"))
        })
        .collect()
}

/// `partition|version|predecessor|payload`.
fn pending_record(id: &[u8], packed: &[u8]) -> Option<Pending> {
    let mut parts = packed.splitn(4, |byte| *byte == b'|');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let (partition_name, _version, predecessor) = (text()?, text()?, text()?);
    Some(Pending {
        record: record_id(std::str::from_utf8(id).ok()?)?,
        partition: partition(partition_name)?,
        predecessor: optional_record(predecessor)?,
        payload: Bytes::copy_from_slice(parts.next()?),
    })
}

/// Offsets by partition, from a flat list of pairs.
pub(super) fn offsets(value: Value) -> Result<BTreeMap<Partition, u64>, GateError> {
    let parts = texts(value)?;
    let (pairs, _) = parts.as_chunks::<2>();
    pairs
        .iter()
        .map(|[name, offset]| {
            let read = partition(name).zip(offset.parse().ok());
            read.ok_or_else(|| unreadable(name))
        })
        .collect()
}

/// `orders/3`.
pub(super) fn partition(text: &str) -> Option<Partition> {
    let (name, number) = text.split_once('/')?;
    Some(Partition {
        topic: Topic::ALL
            .into_iter()
            .find(|topic| topic.as_str() == name)?,
        number: number.parse().ok()?,
    })
}

/// `orders/3@17`.
fn position(text: &str) -> Option<Position> {
    let (name, offset) = text.split_once('@')?;
    Some(Position {
        partition: partition(name)?,
        offset: offset.parse().ok()?,
    })
}

fn record_id(text: &str) -> Option<RecordId> {
    Uuid::from_str(text).ok().map(RecordId)
}

/// `Some(None)` where the text is empty.
fn optional_record(text: &str) -> Option<Option<RecordId>> {
    match text {
        "" => Some(None),
        text => record_id(text).map(Some),
    }
}

fn fields<const COUNT: usize>(text: &str) -> Option<[&str; COUNT]> {
    let mut parts = text.splitn(COUNT, '|');
    let mut fields = [""; COUNT];
    for field in &mut fields {
        *field = parts.next()?;
    }
    Some(fields)
}

pub(super) fn unreadable(what: &str) -> GateError {
    GateError::Damaged(format!("a script's answer cannot be read: {what}"))
}
