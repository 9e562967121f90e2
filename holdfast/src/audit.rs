//! `holdfast audit`: the raw log, the read models and the gate, handed to the second reading.
//!
//! Works beside running servers. The order of looking is what makes the comparison fair: first
//! the rows, so that the log has everything that they have seen; then the log's ends, twice (see
//! [`audit::Horizon`]); last the gate, which is compared only if nothing was pending in it and
//! nothing was appended since the ends were read.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use audit::{
    Audit, Checkpoint, Evidence, GateItem, Given, Horizon, ItemRow, OrderRow, ReadModelRows, Report,
};
use command_api::gate::{Current, Gate, GateError, Look, Looked};
use domain::sku::Sku;
use event_log::sqlite::SqliteLog;
use event_log::{EventLog, Extent};
use indicatif::{ProgressBar, ProgressStyle};
use query_api::read_model::{Dump, ReadModels};
use record::{Partition, Position};

use crate::embedded::read_models_file;
use crate::services;
use crate::settings::AuditArgs;

/// The exit code where the audit could not run: nothing is known.
const COULD_NOT_RUN: u8 = 2;
/// How long the log may show nothing although it has more. A log that was shortened under its
/// reader answers with silence (field report R07).
const SHOWN_WITHIN: Duration = Duration::from_secs(60);
/// Items that the gate is asked for in one call.
const LOOKS_PER_CALL: usize = 500;

type Extents = BTreeMap<Partition, Extent>;

/// What is compared.
#[derive(Debug)]
pub(crate) struct Places {
    /// The log.
    pub(crate) log: Arc<dyn EventLog>,
    /// The read models, where there are some.
    pub(crate) read_models: Option<ReadModels>,
    /// The gate, where it can be asked: an embedded one lives in the server's process.
    pub(crate) gate: Option<Arc<dyn Gate>>,
}

/// Audits and prints. Exit code 1 if a promise is broken, 2 if the audit could not run.
///
/// # Errors
/// None: what went wrong is printed, and told by the exit code.
pub(crate) async fn run(args: AuditArgs) -> Result<ExitCode> {
    let report = match audited(&args).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("holdfast: the audit could not run: {error:#}");
            return Ok(ExitCode::from(COULD_NOT_RUN));
        }
    };
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.to_string()
    };
    // Whoever closed the pipe has read enough; the exit code still tells.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn audited(args: &AuditArgs) -> Result<Report> {
    examine(&places(args).await?).await
}

async fn places(args: &AuditArgs) -> Result<Places> {
    match (&args.kafka.kafka, &args.mysql.mysql) {
        (None, None) => {
            let file = read_models_file(&args.data.data);
            Ok(Places {
                log: Arc::new(SqliteLog::open_read_only(&args.data.data)?),
                read_models: file.exists().then(|| ReadModels::sqlite(&file, 1)),
                gate: None,
            })
        }
        (Some(_), mysql) => Ok(Places {
            log: services::open_log(&args.kafka).await?,
            read_models: match mysql {
                Some(url) => Some(ReadModels::mysql(url.reveal(), 1)?),
                None => None,
            },
            gate: match &args.redis.redis {
                Some(_) => Some(services::open_gate(&args.redis).await?),
                None => None,
            },
        }),
        (None, Some(_)) => {
            bail!("--kafka is missing; give the brokers, or leave --mysql out for embedded")
        }
    }
}

/// Reads everything and compares.
///
/// # Errors
/// When something does not answer: then nothing is known.
pub(crate) async fn examine(places: &Places) -> Result<Report> {
    let log = places.log.as_ref();
    let read_models = match &places.read_models {
        Some(read_models) => rows(read_models).await?,
        None => Err("no read models were given, or there are none yet"),
    };
    let mut extents = BTreeMap::from([(Partition::EPOCHS, log.extent(Partition::EPOCHS).await?)]);
    let first = extents_of_record(log).await?;
    // Epochs are asked once and first: an epoch that opened has its fences before every later end.
    extents.extend(extents_of_record(log).await?);
    let audit = fold(log, &extents).await?;
    let gate = match &places.gate {
        Some(gate) => gate_items(gate.as_ref(), log, &audit, &extents).await?,
        None => Err("no gate was given; an embedded one lives in its server"),
    };
    Ok(audit.finish(&Evidence {
        read_models,
        gate,
        horizon: horizon(&first),
        ..Evidence::default()
    }))
}

async fn extents_of_record(log: &dyn EventLog) -> Result<Extents> {
    let mut extents = Extents::new();
    for partition in log.layout().partitions_of_record() {
        extents.insert(partition, log.extent(partition).await?);
    }
    Ok(extents)
}

fn horizon(extents: &Extents) -> Horizon {
    let ends = extents
        .iter()
        .filter_map(|(partition, extent)| Some((named(*partition)?, extent.end)));
    Horizon(ends.collect())
}

fn named(partition: Partition) -> Option<audit::Partition> {
    Some(audit::Partition {
        topic: audit::Topic::parse(partition.topic.as_str())?,
        number: partition.number,
    })
}

/// Reads every partition up to its end.
async fn fold(log: &dyn EventLog, extents: &Extents) -> Result<Audit> {
    let mut audit = Audit::new();
    let mut ends: BTreeMap<Partition, u64> = extents
        .iter()
        .filter(|(_, extent)| extent.start < extent.end)
        .map(|(partition, extent)| (*partition, extent.end))
        .collect();
    let from = ends.keys().map(|partition| Position {
        partition: *partition,
        offset: extents[partition].start,
    });
    let mut tail = log.tail(from.collect()).await?;
    let bar = progress(extents)?;
    while !ends.is_empty() {
        let next = tokio::time::timeout(SHOWN_WITHIN, tail.next()).await;
        let batch = next.context("the log has more, but shows nothing")??;
        let Some(end) = ends.get(&batch.partition).copied() else {
            continue;
        };
        let (topic, number) = (batch.partition.topic.as_str(), batch.partition.number);
        for raw in batch.records.iter().filter(|raw| raw.offset < end) {
            audit.take_in(topic, number, raw.offset, &raw.payload);
        }
        bar.inc(batch.records.len() as u64);
        if batch
            .records
            .last()
            .is_some_and(|raw| raw.offset + 1 >= end)
        {
            ends.remove(&batch.partition);
        }
    }
    bar.finish_and_clear();
    Ok(audit)
}

/// Shown on a terminal only.
fn progress(extents: &Extents) -> Result<ProgressBar> {
    let records = extents.values().map(|extent| extent.end - extent.start);
    let bar = ProgressBar::new(records.sum());
    bar.set_style(ProgressStyle::with_template(
        "auditing {bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left",
    )?);
    Ok(bar)
}

async fn rows(read_models: &ReadModels) -> Result<Given<ReadModelRows>> {
    let cannot = "the read models cannot be read; run this as the server's user";
    if !read_models.has_schema().await.context(cannot)? {
        return Ok(Err("the read models have no tables yet"));
    }
    let dump = read_models.dump().await.context(cannot)?;
    plain(dump).map(Ok)
}

fn plain(dump: Dump) -> Result<ReadModelRows> {
    let mut rows = ReadModelRows::default();
    for row in dump.checkpoints {
        // A checkpoint of a topic that the audit does not read (user-keys) has no rows here.
        if let Some(topic) = audit::Topic::parse(&row.topic) {
            let number = u16::try_from(row.partition)?;
            rows.checkpoints.push(Checkpoint {
                partition: audit::Partition { topic, number },
                next_offset: u64::try_from(row.next_offset)?,
                highest_fence: u64::try_from(row.highest_fence)?,
            });
        }
    }
    rows.orders
        .extend(dump.orders.into_iter().map(|row| OrderRow {
            id: row.id,
            status: row.status,
            total: row.total,
        }));
    rows.items.extend(dump.items.into_iter().map(|row| ItemRow {
        sku: row.sku,
        supplied: row.supplied,
        held: row.held,
        sold: row.sold,
    }));
    Ok(rows)
}

/// The gate's figures, if it was quiet from before they were read until after, and the log ends
/// where it was read to.
async fn gate_items(
    gate: &dyn Gate,
    log: &dyn EventLog,
    audit: &Audit,
    extents: &Extents,
) -> Result<Given<Vec<GateItem>>> {
    let Some(current) = gate.current().await.context("the gate does not answer")? else {
        return Ok(Err("the gate is empty: no epoch is open"));
    };
    match quiet_items(gate, &current, log, audit, extents).await {
        Err(error) => match error.downcast_ref::<GateError>() {
            Some(GateError::Closed(_)) => Ok(Err("the gate's epoch is closed: it will be rebuilt")),
            _ => Err(error.context("the gate cannot be compared")),
        },
        items => items,
    }
}

async fn quiet_items(
    gate: &dyn Gate,
    current: &Current,
    log: &dyn EventLog,
    audit: &Audit,
    extents: &Extents,
) -> Result<Given<Vec<GateItem>>> {
    let busy = Err("the gate was busy; audit again in a quiet moment");
    if !gate.pending(current, None).await?.is_empty() {
        return Ok(busy);
    }
    let skus = audit.skus().map(Sku::parse);
    let skus = skus.collect::<Result<Vec<_>, _>>()?;
    let mut items = Vec::with_capacity(skus.len());
    for skus in skus.chunks(LOOKS_PER_CALL) {
        let looks: Vec<_> = skus.iter().cloned().map(Look::Item).collect();
        let looked = gate.load(current, &looks).await?.answers;
        items.extend(skus.iter().zip(looked).filter_map(gate_item));
    }
    let quiet = gate.pending(current, None).await?.is_empty();
    let ends = |extents: &Extents| -> BTreeMap<Partition, u64> {
        let of_record = extents.iter().filter(|(p, _)| **p != Partition::EPOCHS);
        of_record.map(|(p, extent)| (*p, extent.end)).collect()
    };
    if quiet && ends(&extents_of_record(log).await?) == ends(extents) {
        Ok(Ok(items))
    } else {
        Ok(busy)
    }
}

fn gate_item((sku, looked): (&Sku, Looked)) -> Option<GateItem> {
    match looked {
        Looked::Item(value) => Some(GateItem {
            sku: sku.as_str().to_owned(),
            available: value.available,
            supplied: value.supplied,
        }),
        Looked::Nothing | Looked::Aggregate(_) | Looked::ItemPending(_) => None,
    }
}
