//! Reading the log into a fold: in lanes of some partitions each, so that all cores decode.
//!
//! A lane is a task of its own with a tail of its own; folds of different partitions are put
//! together at the end. A fold that has something already (of a snapshot) goes on in one lane, for
//! little is left to read.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use event_log::{Batch, EventLog, LogError};
use record::reader::Standing;
use record::{Layout, Partition, Position};
use tokio::task::JoinSet;

use super::fold::{Fold, FoldError};
use super::recovery::RecoveryError;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// How long the log may show nothing although it has more.
const SHOWN_WITHIN: Duration = Duration::from_secs(60);

/// Where the reading of a partition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// At the first copy of this epoch's fence.
    Fence(u64),
    /// At this offset or soon after it.
    Offset(u64),
}

/// Fences that an earlier epoch placed, by where they stand: epochs by partition and offset.
pub(crate) type Expected = HashMap<(Partition, u64), u64>;

/// A fold that reached its goals.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) fold: Fold,
    /// Where the wanted fences stand.
    pub(crate) fences: BTreeMap<Partition, u64>,
}

/// What is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) goals: BTreeMap<Partition, Goal>,
    pub(crate) expected: Expected,
    /// How many tasks read and fold at once.
    pub(crate) tasks: usize,
    /// Rests three times as long as it works: for what nobody waits for.
    pub(crate) at_leisure: bool,
}

/// One past the last offset of every partition of record; all of them start at 0.
pub(crate) async fn ends(log: &dyn EventLog) -> Result<BTreeMap<Partition, u64>, LogError> {
    let mut ends = BTreeMap::new();
    for partition in log.layout().partitions_of_record() {
        let extent = log.extent(partition).await?;
        if extent.start > 0 {
            let (start, end) = (extent.start, extent.end);
            return Err(LogError::Shortened {
                partition,
                wanted: 0,
                start,
                end,
            });
        }
        ends.insert(partition, extent.end);
    }
    Ok(ends)
}

/// Records that a fold has not taken in yet.
pub(crate) fn left(fold: &Fold, ends: &BTreeMap<Partition, u64>) -> u64 {
    let left =
        |(partition, end): (&Partition, &u64)| end.saturating_sub(fold.place(*partition).next);
    ends.iter().map(left).sum()
}

/// The fences of an opened epoch where they must still stand, behind what was folded already.
pub(crate) fn expected(
    opened: Option<&(u64, BTreeMap<String, u64>)>,
    layout: Layout,
    fold: &Fold,
) -> Expected {
    let Some((epoch, fences)) = opened else {
        return Expected::new();
    };
    let stand = |partition: Partition| {
        let offset = *fences.get(&record::epochs::partition_name(partition))?;
        let ahead = offset >= fold.place(partition).next;
        ahead.then_some(((partition, offset), *epoch))
    };
    layout
        .partitions_of_record()
        .into_iter()
        .filter_map(stand)
        .collect()
}

impl Reading {
    /// Folds on from `base` until every goal is reached. `tell` hears how many records were
    /// folded here, and about how many pieces that makes.
    ///
    /// # Errors
    /// When the log ends before its goals, or cannot be folded.
    pub(crate) async fn fold(
        self,
        base: Fold,
        ends: &BTreeMap<Partition, u64>,
        tell: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Read, RecoveryError> {
        let counted = Arc::new(Counted::default());
        let mut lanes = JoinSet::new();
        for (fold, partitions) in self.lanes(base, ends) {
            let lane = Lane {
                reading: self.clone(),
                partitions,
                fold,
                fences: BTreeMap::new(),
                counted: Arc::clone(&counted),
            };
            lanes.spawn(lane.run());
        }
        let mut ticks = tokio::time::interval(TELL_EVERY);
        let mut whole: Option<Read> = None;
        loop {
            tokio::select! {
                biased;
                lane = lanes.join_next() => match lane {
                    None => break,
                    Some(Ok(read)) => whole = Some(merged(whole, read?)),
                    Some(Err(error)) => {
                        return Err(LogError::Unavailable(format!("a reader stopped: {error}")).into());
                    }
                },
                _ = ticks.tick() => {
                    let counted = &counted;
                    tell(counted.folded.load(Ordering::Relaxed), counted.pieces.load(Ordering::Relaxed));
                }
            }
        }
        let nothing = || LogError::Unavailable("there are no partitions".to_owned());
        Ok(whole.ok_or_else(nothing)?)
    }

    /// The fold of each lane and its partitions, the longest spread first.
    fn lanes(&self, base: Fold, ends: &BTreeMap<Partition, u64>) -> Vec<(Fold, Vec<Partition>)> {
        let mut partitions: Vec<_> = self.goals.keys().copied().collect();
        if self.tasks <= 1 || !base.places().is_empty() {
            return vec![(base, partitions)];
        }
        let end = |partition: &Partition| ends.get(partition).copied().unwrap_or(0);
        partitions.sort_by_key(|partition| std::cmp::Reverse(end(partition)));
        let count = self.tasks.min(partitions.len()).max(1);
        let mut lanes: Vec<(u64, Vec<Partition>)> = vec![(0, vec![]); count];
        for partition in partitions {
            let lightest = lanes.iter_mut().min_by_key(|(records, _)| *records);
            if let Some((records, lane)) = lightest {
                *records += end(&partition) + 1;
                lane.push(partition);
            }
        }
        let lanes = lanes.into_iter().map(|(_, partitions)| partitions);
        lanes.map(|partitions| (base.empty(), partitions)).collect()
    }
}

fn merged(whole: Option<Read>, lane: Read) -> Read {
    let Some(mut whole) = whole else {
        return lane;
    };
    whole.fold.merge(lane.fold);
    whole.fences.extend(lane.fences);
    whole
}

/// What all lanes did so far.
#[derive(Debug, Default)]
struct Counted {
    folded: AtomicU64,
    pieces: AtomicU64,
}

struct Lane {
    reading: Reading,
    partitions: Vec<Partition>,
    fold: Fold,
    fences: BTreeMap<Partition, u64>,
    counted: Arc<Counted>,
}

impl Lane {
    async fn run(mut self) -> Result<Read, RecoveryError> {
        let mut open: Vec<Partition> = self.partitions.clone();
        open.retain(|partition| !self.is_past_its_end(*partition));
        let from = open.iter().map(|partition| Position {
            partition: *partition,
            offset: self.fold.place(*partition).next,
        });
        let mut tail = match open.is_empty() {
            true => None,
            false => Some(self.reading.log.tail(from.collect()).await?),
        };
        while let Some(tail) = tail.as_mut().filter(|_| !open.is_empty()) {
            let shown = tokio::time::timeout(SHOWN_WITHIN, tail.next()).await;
            let silent = || LogError::Unavailable("it has more, but shows nothing".to_owned());
            let batch = shown.map_err(|_| silent())??;
            if !open.contains(&batch.partition) {
                continue;
            }
            let began = tokio::time::Instant::now();
            if self.take_in(&batch)? {
                open.retain(|partition| *partition != batch.partition);
            }
            if self.reading.at_leisure {
                tokio::time::sleep(3 * began.elapsed()).await;
            }
        }
        self.found_what_was_expected()?;
        let Self { fold, fences, .. } = self;
        Ok(Read { fold, fences })
    }

    fn is_past_its_end(&self, partition: Partition) -> bool {
        match self.reading.goals.get(&partition) {
            Some(Goal::Offset(end)) => self.fold.place(partition).next >= *end,
            Some(Goal::Fence(_)) => false,
            None => true,
        }
    }

    /// Folds a batch, or what of it stands before the goal. Says whether the goal is reached.
    fn take_in(&mut self, batch: &Batch) -> Result<bool, RecoveryError> {
        let partition = batch.partition;
        let goal = self.reading.goals.get(&partition).copied();
        let before = self.fold.pieces_estimated();
        let mut taken = 0;
        let mut reached = false;
        for raw in &batch.records {
            let offset = raw.offset;
            let position = Position { partition, offset };
            let (standing, epoch) = self.fold.take_in(position, &raw.payload)?;
            taken += 1;
            if standing != Standing::Fence {
                continue;
            }
            if self.reading.expected.get(&(partition, offset)) == Some(&epoch) {
                self.reading.expected.remove(&(partition, offset));
            }
            match goal {
                Some(Goal::Fence(wanted)) if epoch > wanted => {
                    return Err(FoldError::HigherFence(epoch).into());
                }
                Some(Goal::Fence(wanted)) if epoch == wanted => {
                    self.fences.insert(partition, offset);
                    reached = true;
                    break;
                }
                _ => {}
            }
        }
        self.counted.folded.fetch_add(taken, Ordering::Relaxed);
        let more = self.fold.pieces_estimated().wrapping_sub(before);
        self.counted.pieces.fetch_add(more, Ordering::Relaxed);
        Ok(reached || self.is_past_its_end(partition))
    }

    fn found_what_was_expected(&self) -> Result<(), FoldError> {
        let own = |partition: &Partition| self.partitions.contains(partition);
        let goal = |partition: &Partition| self.reading.goals.get(partition).copied();
        let missing = self
            .reading
            .expected
            .iter()
            .find(|((partition, offset), _)| {
                // One that stands beyond where the reading ends was not looked for.
                let looked = match goal(partition) {
                    Some(Goal::Fence(_)) => true,
                    Some(Goal::Offset(end)) => *offset < end,
                    None => false,
                };
                own(partition) && looked
            });
        match missing {
            None => Ok(()),
            Some(((partition, offset), epoch)) => Err(FoldError::FenceMissing {
                partition: partition.to_string(),
                epoch: *epoch,
                offset: *offset,
            }),
        }
    }
}
