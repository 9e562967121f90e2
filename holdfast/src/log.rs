//! `holdfast log`: records as people read them, oldest first; void ones marked.
//!
//! Partitions have no common order, so their next records are put in order of time, which is what
//! a person expects; within a partition the log's own order stands. Only a few batches are in
//! memory, and nothing is held open for a reader that does not read: a log in a file is read in
//! short pieces, each its own transaction (field report R54). A closed pipe ends it quietly.

use std::collections::VecDeque;
use std::io::{BufWriter, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use domain::ids::OrderId;
use domain::sku::Sku;
use event_log::sqlite::SqliteLog;
use event_log::{EventLog, RawRecord, Tail};
use record::{Partition, Position, Topic};

use crate::services;
use crate::settings::LogArgs;

mod line;
mod marks;

use line::{json, line};
use marks::{Marked, Marks};

/// How long the log may show nothing although it has more.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

/// Which records are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    /// All.
    Everything,
    /// Those of an order.
    Order(OrderId),
    /// Those of an item, and those of orders that move its stock.
    Item(Sku),
}

/// Prints what the log has now. Exit code 1 where an order or a SKU was asked for that no record
/// is about.
///
/// # Errors
/// One sentence where the log cannot be read, or an argument cannot be used.
pub(crate) async fn run(args: LogArgs) -> Result<ExitCode> {
    let subject = subject(&args)?;
    let log: Arc<dyn EventLog> = match &args.kafka.kafka {
        None => Arc::new(SqliteLog::open_read_only(&args.data.data)?),
        Some(_) => services::open_log_to_look(&args.kafka).await?,
    };
    let form = if args.json { json } else { line };
    let mut out = BufWriter::new(std::io::stdout());
    match show(log.as_ref(), &subject, form, &mut out).await {
        Ok(0) if subject != Subject::Everything => {
            eprintln!("holdfast: no record is about it.");
            Ok(ExitCode::FAILURE)
        }
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(error) if is_closed_pipe(&error) => {
            // What is still buffered is for nobody; writing it would fail again.
            let _ = out.into_parts();
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(error),
    }
}

fn subject(args: &LogArgs) -> Result<Subject> {
    Ok(match (&args.order, &args.sku) {
        (Some(id), _) => Subject::Order(id.parse().context("--order is not an order's id")?),
        (None, Some(sku)) => Subject::Item(Sku::parse(sku).context("--sku is not a SKU")?),
        (None, None) => Subject::Everything,
    })
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Writes every record that is about the subject; returns how many.
async fn show(
    log: &dyn EventLog,
    subject: &Subject,
    form: fn(&Marked) -> String,
    out: &mut impl Write,
) -> Result<u64> {
    let mut sources = Vec::new();
    for partition in subject.partitions(log) {
        sources.push(Source::open(log, partition).await?);
    }
    let mut marks = Marks::default();
    let mut shown = 0;
    while let Some(marked) = next(&mut sources, &mut marks).await? {
        if subject.is_about(&marked) {
            writeln!(out, "{}", form(&marked))?;
            shown += 1;
        }
    }
    out.flush()?;
    Ok(shown)
}

impl Subject {
    /// Where its records can stand.
    fn partitions(&self, log: &dyn EventLog) -> Vec<Partition> {
        let layout = log.layout();
        match self {
            Self::Everything => layout.partitions_of_record(),
            Self::Order(id) => vec![layout.partition_of(Topic::Orders, &id.to_string())],
            Self::Item(sku) => {
                let of_orders = layout.partitions_of_record().into_iter();
                of_orders
                    .filter(|partition| partition.topic == Topic::Orders)
                    .chain([layout.partition_of(Topic::Inventory, sku.as_str())])
                    .collect()
            }
        }
    }

    fn is_about(&self, marked: &Marked) -> bool {
        match self {
            Self::Everything => true,
            Self::Order(id) => marked.is_of(Topic::Orders, &id.to_string()),
            Self::Item(sku) => marked.is_of(Topic::Inventory, sku.as_str()) || marked.moves(sku),
        }
    }
}

/// The earliest of the sources' next entries.
async fn next(sources: &mut [Source], marks: &mut Marks) -> Result<Option<Marked>> {
    let mut earliest: Option<usize> = None;
    for index in 0..sources.len() {
        sources[index].fill(marks).await?;
        let earlier = |other: usize| sources[index].head_time() < sources[other].head_time();
        if !sources[index].ready.is_empty() && earliest.is_none_or(earlier) {
            earliest = Some(index);
        }
    }
    Ok(earliest.and_then(|index| sources[index].ready.pop_front()))
}

/// One partition, up to the end that it had.
struct Source {
    partition: Partition,
    tail: Tail,
    next_offset: u64,
    end: u64,
    ready: VecDeque<Marked>,
}

impl Source {
    async fn open(log: &dyn EventLog, partition: Partition) -> Result<Self> {
        let extent = log.extent(partition).await?;
        if extent.start > 0 {
            bail!(
                "{partition} starts at offset {}: records before it were deleted; run the audit",
                extent.start
            );
        }
        let from = Position {
            partition,
            offset: extent.start,
        };
        Ok(Self {
            partition,
            tail: log.tail(vec![from]).await?,
            next_offset: extent.start,
            end: extent.end,
            ready: VecDeque::new(),
        })
    }

    /// Has the next entry ready, unless the partition is at its end.
    async fn fill(&mut self, marks: &mut Marks) -> Result<()> {
        while self.ready.is_empty() && self.next_offset < self.end {
            let batch = tokio::time::timeout(SHOWN_WITHIN, self.tail.next()).await;
            let batch = batch.context("the log has more, but shows nothing")??;
            for raw in batch.records {
                self.next_offset = raw.offset + 1;
                if raw.offset < self.end {
                    self.ready.push_back(self.mark(raw, marks));
                }
            }
        }
        Ok(())
    }

    fn mark(&self, raw: RawRecord, marks: &mut Marks) -> Marked {
        let position = Position {
            partition: self.partition,
            offset: raw.offset,
        };
        marks.mark(position, raw.payload.to_vec())
    }

    /// What has no time (a fence) comes as soon as it is its partition's turn.
    fn head_time(&self) -> Option<i64> {
        self.ready.front().and_then(Marked::microseconds)
    }
}
