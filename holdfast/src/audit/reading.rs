//! Reading the log for the audit: partitions side by side, each folded where it is read.
//!
//! A reader has a thread of its own for fetching and one for folding, with a bounded channel
//! between them, so that what is in memory is the fold and a few batches.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use audit::{Audit, Horizon, Part};
use event_log::{EventLog, Extent, LogError, Tail};
use indicatif::{ProgressBar, ProgressStyle};
use record::{Partition, Position};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// How long the log may show nothing of what is missing, although it has it. A log that was shortened under its
/// reader answers with silence (field report R07).
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

/// What exists of every partition.
type Extents = BTreeMap<Partition, Extent>;

/// A log and the audit that reads it, up to the ends of the last time.
pub(super) struct Reader {
    log: Arc<dyn EventLog>,
    pub(super) audit: Audit,
    horizon: Extents,
    known: Known,
    /// Whether a part of the fold was lost where reading failed.
    torn: bool,
}

/// What was ever read of a log, also by readers before: none of it may be gone.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    log: Option<Uuid>,
    next_offsets: BTreeMap<Partition, u64>,
}

/// Another log stands in the place of the one that was read.
#[derive(Debug, thiserror::Error)]
#[error("the log was replaced: its first claim was {was}, and is {is} now")]
pub(super) struct Replaced {
    was: Uuid,
    is: Uuid,
}

/// What a reader has to read of a partition.
struct Stretch {
    partition: Partition,
    from: u64,
    end: u64,
}

impl Reader {
    /// A reader that begins anew, of a log of which this is known.
    pub(super) fn new(log: Arc<dyn EventLog>, known: Known) -> Self {
        let (audit, horizon) = (Audit::new(), Extents::new());
        Self {
            log,
            audit,
            horizon,
            known,
            torn: false,
        }
    }

    /// What was ever read.
    pub(super) fn known(&self) -> Known {
        self.known.clone()
    }

    /// Whether a part of the fold was lost where reading failed: then only another reader can go
    /// on.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Reads every partition up to its end.
    ///
    /// # Errors
    /// When the log does not answer, has less than it had, or is another one.
    pub(super) async fn catch_up(&mut self) -> Result<()> {
        let first = self.ends().await?;
        let ends = self.ends().await?;
        self.read(&ends).await?;
        self.horizon = first;
        self.remember(&ends)
    }

    fn remember(&mut self, ends: &Extents) -> Result<()> {
        let known = &mut self.known;
        for (partition, extent) in ends {
            let next = known.next_offsets.entry(*partition).or_default();
            *next = extent.end.max(*next);
        }
        match (known.log, self.audit.log_id()) {
            (Some(was), Some(is)) if was != is => Err(Replaced { was, is }.into()),
            (was, is) => {
                known.log = was.or(is);
                Ok(())
            }
        }
    }

    /// See [`Horizon`].
    pub(super) fn horizon(&self) -> Horizon {
        let ends = self.horizon.iter();
        let ends = ends.filter_map(|(partition, extent)| Some((named(*partition)?, extent.end)));
        Horizon(
            ends.filter(|(of, _)| of.topic != audit::Topic::Epochs)
                .collect(),
        )
    }

    /// How many entries the log has that were not read.
    ///
    /// # Errors
    /// When the log does not answer.
    pub(super) async fn lag(&self) -> Result<u64> {
        let ends = self.ends().await?;
        let behind = ends.iter().filter_map(|(partition, extent)| {
            let read = self.audit.next_offset(named(*partition)?);
            Some(extent.end.saturating_sub(read))
        });
        Ok(behind.sum())
    }

    /// Epochs are asked first: an epoch that opened has its fences before every later end.
    async fn ends(&self) -> Result<Extents> {
        let partitions = self.log.layout().partitions_of_record();
        let mut extents = Extents::new();
        for partition in [Partition::EPOCHS].into_iter().chain(partitions) {
            extents.insert(partition, self.log.extent(partition).await?);
        }
        Ok(extents)
    }

    async fn read(&mut self, ends: &Extents) -> Result<()> {
        let shares = self.shares(ends)?;
        self.torn = true;
        let unread = shares
            .iter()
            .flatten()
            .map(|stretch| stretch.end - stretch.from);
        let bar = progress(unread.sum())?;
        let mut readers = tokio::task::JoinSet::new();
        for share in shares {
            let positions = share.iter().map(|stretch| Position {
                partition: stretch.partition,
                offset: stretch.from,
            });
            let tail = self.log.tail(positions.collect()).await?;
            let mut parts = BTreeMap::new();
            for stretch in share {
                if let Some(named) = named(stretch.partition) {
                    let part = self.audit.take_part(named);
                    parts.insert(stretch.partition, (stretch.end, part));
                }
            }
            let (handle, bar) = (Handle::current(), bar.clone());
            readers.spawn_blocking(move || fold(&handle, tail, parts, &bar, SHOWN_WITHIN));
        }
        while let Some(read) = readers.join_next().await {
            for part in read?? {
                self.audit.join(part);
            }
        }
        bar.finish_and_clear();
        self.torn = false;
        Ok(())
    }

    /// What is not read yet, dealt out to as many readers as there are processors: the longest
    /// stretches first, each to whom has least.
    fn shares(&self, ends: &Extents) -> Result<Vec<Vec<Stretch>>> {
        let mut stretches = vec![];
        for (partition, extent) in ends {
            let read = named(*partition).map_or(0, |named| self.audit.next_offset(named));
            let known = self.known.next_offsets.get(partition);
            let known = read.max(known.copied().unwrap_or(0));
            if known > extent.end {
                return Err(LogError::Shortened {
                    partition: *partition,
                    wanted: known,
                    start: extent.start,
                    end: extent.end,
                }
                .into());
            }
            let from = if read == 0 { extent.start } else { read };
            if from < extent.end {
                stretches.push(Stretch {
                    partition: *partition,
                    from,
                    end: extent.end,
                });
            }
        }
        stretches.sort_by_key(|stretch| Reverse(stretch.end - stretch.from));
        let readers = std::thread::available_parallelism().map_or(1, usize::from);
        let mut shares: Vec<(u64, Vec<Stretch>)> = vec![];
        for stretch in stretches {
            let length = stretch.end - stretch.from;
            if shares.len() < readers {
                shares.push((length, vec![stretch]));
            } else if let Some((sum, share)) = shares.iter_mut().min_by_key(|(sum, _)| *sum) {
                *sum += length;
                share.push(stretch);
            }
        }
        Ok(shares.into_iter().map(|(_, share)| share).collect())
    }
}

/// Folds what a tail shows until every partition is at its end. A partition that is done may go
/// on for ever, and says nothing of the others.
fn fold(
    handle: &Handle,
    mut tail: Tail,
    mut parts: BTreeMap<Partition, (u64, Part)>,
    bar: &ProgressBar,
    shown_within: Duration,
) -> Result<Vec<Part>> {
    const SILENT: &str = "the log has more, but shows nothing";
    let mut done = vec![];
    let mut until = Instant::now() + shown_within;
    while !parts.is_empty() {
        let next = handle.block_on(async { timeout_at(until, tail.next()).await });
        let batch = next.context(SILENT)??;
        let Some((end, part)) = parts.get_mut(&batch.partition) else {
            // What is always there is shown before a time limit is looked at.
            ensure!(Instant::now() < until, SILENT);
            continue;
        };
        for raw in batch.records.iter().filter(|raw| raw.offset < *end) {
            part.take_in(raw.offset, &raw.payload);
        }
        bar.inc(batch.records.len() as u64);
        let last = batch.records.last();
        if last.is_some_and(|raw| raw.offset + 1 >= *end)
            && let Some((_, mut part)) = parts.remove(&batch.partition)
        {
            part.sort();
            done.push(part);
        }
        until = Instant::now() + shown_within;
    }
    Ok(done)
}

fn named(partition: Partition) -> Option<audit::Partition> {
    Some(audit::Partition {
        topic: audit::Topic::parse(partition.topic.as_str())?,
        number: partition.number,
    })
}

/// Shown on a terminal only.
fn progress(records: u64) -> Result<ProgressBar> {
    let bar = ProgressBar::new(records);
    bar.set_style(ProgressStyle::with_template(
        "auditing {bar:40} {human_pos}/{human_len} records, {per_sec}, {eta} left",
    )?);
    Ok(bar)
}

#[cfg(test)]
mod tests {
    use event_log::sqlite::{SqliteLog, SqliteSettings};
    use event_log::{Batch, Entry, RawRecord};
    use record::{RecordId, Topic};
    use serde_json::json;
    use tempfile::TempDir;
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_partition_that_is_done_is_no_sign_of_one_that_is_silent() {
        let [done, silent] = [0, 1].map(|number| Partition {
            topic: Topic::Orders,
            number,
        });
        let parts = [done, silent].map(|of| (of, (1, Part::new(named(of).unwrap()))));
        let (batches, shown) = mpsc::channel(1);
        tokio::spawn(async move {
            for offset in 0.. {
                let (key, payload) = Default::default();
                let batch = Batch {
                    partition: done,
                    records: vec![RawRecord {
                        offset,
                        key,
                        payload,
                    }],
                };
                if batches.send(Ok(batch)).await.is_err() {
                    break;
                }
            }
        });
        let (handle, bar) = (Handle::current(), ProgressBar::hidden());
        let within = Duration::from_millis(100);
        let folding = tokio::task::spawn_blocking(move || {
            fold(&handle, Tail::new(shown), parts.into(), &bar, within)
        });
        let folded = timeout(Duration::from_secs(30), folding).await;
        let error = folded.expect("it ends").unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the log has more, but shows nothing");
    }

    /// A log with a claim of this id and so many entries behind it.
    async fn a_log(claim: u128, more: u64) -> (TempDir, Arc<SqliteLog>) {
        let directory = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
        let layout = json!({"users": 1, "orders": 1, "inventory": 1});
        let claim = json!({"type": "claim", "id": Uuid::from_u128(claim), "interface": 1,
            "layout": layout, "base": 0, "node": Uuid::nil()});
        let asked = json!({"type": "sign-of-life-asked", "epoch": 1, "node": Uuid::nil()});
        for entry in [claim].into_iter().chain((0..more).map(|_| asked.clone())) {
            let entry = Entry {
                partition: Partition::EPOCHS,
                key: String::new(),
                payload: Some(entry.to_string().into()),
                id: RecordId(Uuid::nil()),
            };
            log.append_one(entry).await.unwrap();
        }
        (directory, Arc::new(log))
    }

    #[tokio::test]
    async fn what_was_read_before_may_not_be_gone_or_another_log() {
        let (_kept, log) = a_log(1, 2).await;
        let mut reader = Reader::new(log.clone(), Known::default());
        reader.catch_up().await.unwrap();
        let known = reader.known();
        let mut again = Reader::new(log, known.clone());
        again.catch_up().await.unwrap();
        assert!(!again.is_torn());

        let (_kept, shorter) = a_log(1, 1).await;
        let read = Reader::new(shorter, known.clone()).catch_up().await;
        let error = read.unwrap_err();
        let shortened = error.downcast_ref::<LogError>();
        assert!(
            matches!(
                shortened,
                Some(LogError::Shortened {
                    wanted: 3,
                    end: 2,
                    ..
                })
            ),
            "{error:#}"
        );

        let (_kept, other) = a_log(2, 3).await;
        let read = Reader::new(other, known).catch_up().await;
        assert!(read.unwrap_err().is::<Replaced>());
    }
}
