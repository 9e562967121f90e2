//! The gate alone: orders of one hot SKU decided in batches, as the commit path sends them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use command_api::gate::{
    AggregateKey, Append, Current, Decide, Expected, Gate, Intent, ItemValue, KeyEntry, Rebuilt,
    Verdict,
};
use domain::inventory::{ItemStatus, Terms};
use domain::money::{Currency, Money};
use domain::sku::Sku;
use domain::text::Name;
use hyper::body::Bytes;
use record::envelope::FORMAT;
use record::{AggregateType, Envelope, Partition, RecordId, Topic};
use uuid::Uuid;

use crate::bench::figures::Figure;
use crate::load::process::{Meter, Watched};

/// How many orders.
const ORDERS: i64 = 40_000;
/// Commands of one call.
const BATCH: usize = 128;
/// Calls in flight.
const CALLS: usize = 2;
const EPOCH: u64 = 1;
const PARTITION: Partition = Partition {
    topic: Topic::Orders,
    number: 0,
};
/// What a record's body and an order's snapshot have.
const BODY_BYTES: usize = 700;
const SNAPSHOT_BYTES: usize = 450;

/// Decides orders, all of them accepted.
///
/// # Errors
/// When the gate does not answer, or refuses one.
pub(super) async fn alone(
    what: &'static str,
    gate: Arc<dyn Gate>,
    watched: &[Watched],
) -> Result<Figure> {
    let sku = Sku::parse("hot")?;
    let current = open(&*gate, &sku).await?;
    let batches = batches(&sku);
    let meter = Meter::start(watched);
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for first in 0..CALLS {
        let (gate, current, batches) = (Arc::clone(&gate), current.clone(), Arc::clone(&batches));
        calls.spawn(async move {
            for batch in batches.iter().skip(first).step_by(CALLS) {
                let verdicts = gate.decide(&current, batch).await?.answers;
                let accepted = |verdict: &Verdict| matches!(verdict, Verdict::Accepted { .. });
                ensure!(verdicts.iter().all(accepted), "an order was not accepted");
            }
            Ok(())
        });
    }
    while let Some(ended) = calls.join_next().await {
        ended.context("a task that decides panicked")??;
    }
    Ok(Figure::new(what, ORDERS.unsigned_abs(), began.elapsed()).costing(&meter.read()))
}

/// An epoch with one item.
async fn open(gate: &dyn Gate, sku: &Sku) -> Result<Current> {
    let price = Money::price(1999, Currency::parse("EUR")?)?;
    let terms = Terms {
        name: Name::parse("A lamp")?,
        price,
        status: ItemStatus::Active,
    };
    let value = ItemValue {
        available: ORDERS,
        supplied: ORDERS,
        terms_version: 1,
        terms,
    };
    let mut rebuild = gate.begin_rebuild(EPOCH).await?;
    rebuild
        .write(vec![Rebuilt::Item(sku.clone(), value)])
        .await?;
    Ok(rebuild.publish(BTreeMap::from([(PARTITION, 0)])).await?)
}

/// Made before the clock runs.
fn batches(sku: &Sku) -> Arc<Vec<Vec<Decide>>> {
    let body = format!("\"{}\"", "x".repeat(BODY_BYTES));
    let snapshot = "x".repeat(SNAPSHOT_BYTES);
    let orders: Vec<_> = (0..ORDERS).map(|_| order(sku, &body, &snapshot)).collect();
    Arc::new(orders.chunks(BATCH).map(<[Decide]>::to_vec).collect())
}

fn order(sku: &Sku, body: &str, snapshot: &str) -> Decide {
    let (record, id) = (RecordId(Uuid::now_v7()), Uuid::now_v7().to_string());
    let envelope = Envelope {
        format: FORMAT,
        id: record,
        epoch: EPOCH,
        aggregate_type: AggregateType::Orders,
        aggregate_id: id.clone(),
        version: 1,
    };
    let hash = || Uuid::new_v4().simple().to_string();
    Decide {
        record,
        aggregate: AggregateKey {
            kind: AggregateType::Orders,
            id: Arc::from(id),
        },
        key: Some(KeyEntry {
            key: hash(),
            fingerprint: hash(),
        }),
        generation: 0,
        terms: vec![(sku.clone(), 1)],
        intent: Intent::Append(Box::new(Append {
            expected: Expected::Version(0),
            partition: PARTITION,
            payload: Bytes::from(envelope.encode(body)),
            snapshot: Some(snapshot.to_owned()),
            claims: vec![],
            takes: vec![(sku.clone(), 1)],
            supply: 0,
            available: None,
            discontinued: None,
        })),
    }
}
