//! From consecutive records of one partition to rows: the reader's rule, then the projection.
//!
//! Pure. A batch is folded in two passes, because whether a record counts depends on what its
//! aggregate's row says, and rows are loaded for all aggregates of a batch at once: [`Judged`]
//! needs the envelopes only, [`Judged::fold`] the rows.
//!
//! What must stay true: void records and duplicates are skipped without a look at their bodies; at
//! a gap or a record that cannot be read the fold stops, and what came before it still counts, so
//! that the checkpoint comes to stand exactly there.

use std::collections::{BTreeSet, HashMap};

use event_log::RawRecord;
use migrations::{DatabaseError, Row};
use record::reader::{HighestFence, Standing, Succession, succession};
use record::{Body, Envelope, Events, Partition, Position, Topic, Unreadable};

use crate::changes::Changes;
use crate::inventory::ItemRow;
use crate::orders::OrderRow;
use crate::users::UserRow;
use crate::{inventory, orders, user_keys, users};

/// How far a partition is in the rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// The offset that comes next.
    pub next_offset: u64,
    /// The highest fence before it.
    pub highest_fence: HighestFence,
}

/// Why a partition's projector stands still until somebody looks: going on would skip a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// The record was written by a newer program, or is damaged.
    #[error("the record at {position} cannot be read")]
    Unreadable {
        /// Where.
        position: Position,
        /// Why not.
        #[source]
        cause: Unreadable,
    },
    /// A version was skipped, which cannot happen in a whole log.
    #[error(
        "records are missing: {aggregate_id} has version {known}, and the record at {position} has {version}"
    )]
    Gap {
        /// Where.
        position: Position,
        /// Whose record it is.
        aggregate_id: String,
        /// The version in the rows.
        known: u64,
        /// The version in the record.
        version: u64,
    },
    /// The record is not what its aggregate or its topic allows.
    #[error("the record at {position} does not follow from those before it: {why}")]
    Impossible {
        /// Where.
        position: Position,
        /// A sentence.
        why: &'static str,
    },
}

/// Why a record cannot follow what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Impossible(pub(crate) &'static str);

/// A record that counts.
#[derive(Debug)]
pub(crate) struct Applicable {
    pub(crate) position: Position,
    pub(crate) envelope: Envelope,
    pub(crate) body: Body,
}

/// A row that stands for an aggregate and is loaded before it is folded on.
pub(crate) trait Projected: Sized {
    /// The statement that loads rows, without its condition.
    const KNOWN: &'static str;
    fn aggregate_id(&self) -> String;
    fn version(&self) -> u64;
    fn read(row: &Row) -> Result<Self, DatabaseError>;
}

/// Rows of one kind, by the aggregates that they stand for.
#[derive(Debug)]
pub(crate) struct Rows<R> {
    by_id: HashMap<String, R>,
    changed: BTreeSet<String>,
}

/// The rows that a batch is about, by its topic.
#[derive(Debug)]
pub(crate) enum Known {
    Users(Rows<UserRow>),
    Orders(Rows<OrderRow>),
    Inventory(Rows<ItemRow>),
    /// Entries of `user-keys` need none.
    Keys,
}

/// Records after the first pass.
#[derive(Debug)]
pub(crate) struct Judged<'a> {
    partition: Partition,
    entries: Vec<Entry<'a>>,
    failure: Option<StopReason>,
}

#[derive(Debug)]
struct Entry<'a> {
    offset: u64,
    fence: HighestFence,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    /// A fence or a void record.
    Skipped,
    /// A record that counts if its version follows.
    Record { envelope: Envelope, body: &'a str },
    /// An entry of `user-keys`.
    Key(&'a RawRecord),
}

/// What a batch comes to.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) changes: Changes,
    /// How many of the records were taken in (or skipped for good).
    pub(crate) taken: usize,
    /// Where the partition stands behind them.
    pub(crate) mark: Mark,
    /// Why not all of them were.
    pub(crate) failure: Option<StopReason>,
}

impl<'a> Judged<'a> {
    /// Judges records by their envelopes and the partition's fences.
    pub(crate) fn new(partition: Partition, from: Mark, records: &'a [RawRecord]) -> Self {
        let mut fence = from.highest_fence;
        let mut judged = Self {
            partition,
            entries: Vec::with_capacity(records.len()),
            failure: None,
        };
        for record in records {
            let position = Position {
                partition,
                offset: record.offset,
            };
            let kind = match partition.topic {
                Topic::UserKeys => Ok(Kind::Key(record)),
                _ => judge(position, &mut fence, &record.payload),
            };
            match kind {
                Ok(kind) => judged.entries.push(Entry {
                    offset: record.offset,
                    fence,
                    kind,
                }),
                Err(reason) => {
                    judged.failure = Some(reason);
                    break;
                }
            }
        }
        judged
    }

    /// The aggregates whose rows [`Judged::fold`] wants, each once.
    pub(crate) fn aggregate_ids(&self) -> BTreeSet<&str> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.kind {
                Kind::Record { envelope, .. } => Some(envelope.aggregate_id.as_str()),
                Kind::Skipped | Kind::Key(_) => None,
            })
            .collect()
    }

    /// Takes the records into the rows, up to the first one that cannot be.
    pub(crate) fn fold(self, from: Mark, mut known: Known) -> Folded {
        let mut folded = Folded {
            changes: Changes::default(),
            taken: 0,
            mark: from,
            failure: None,
        };
        for entry in self.entries {
            let position = Position {
                partition: self.partition,
                offset: entry.offset,
            };
            if let Err(reason) = known.take(position, entry.kind, &mut folded.changes) {
                folded.failure = Some(reason);
                break;
            }
            folded.taken += 1;
            folded.mark = Mark {
                next_offset: entry.offset + 1,
                highest_fence: entry.fence,
            };
        }
        folded.failure = folded.failure.or(self.failure);
        known.into_changes(&mut folded.changes);
        folded
    }
}

fn judge<'a>(
    position: Position,
    fence: &mut HighestFence,
    payload: &'a [u8],
) -> Result<Kind<'a>, StopReason> {
    let unreadable = |cause| StopReason::Unreadable { position, cause };
    let (envelope, body) = Envelope::decode(payload).map_err(unreadable)?;
    if fence.judge(&envelope) != Standing::Valid {
        return Ok(Kind::Skipped);
    }
    if envelope.aggregate_type.topic() != Some(position.partition.topic) {
        let why = "it belongs in another topic";
        return Err(StopReason::Impossible { position, why });
    }
    Ok(Kind::Record { envelope, body })
}

impl Known {
    fn take(
        &mut self,
        position: Position,
        kind: Kind<'_>,
        changes: &mut Changes,
    ) -> Result<(), StopReason> {
        let impossible = |Impossible(why)| StopReason::Impossible { position, why };
        let (envelope, body) = match kind {
            Kind::Skipped => return Ok(()),
            Kind::Key(entry) => return user_keys::fold(entry, changes).map_err(impossible),
            Kind::Record { envelope, body } => (envelope, body),
        };
        let known = self.version(&envelope.aggregate_id);
        match succession(known, envelope.version) {
            Succession::Next => {}
            Succession::Duplicate => return Ok(()),
            Succession::Gap => {
                return Err(StopReason::Gap {
                    position,
                    aggregate_id: envelope.aggregate_id,
                    known,
                    version: envelope.version,
                });
            }
        }
        let body = Body::decode(&envelope, body)
            .map_err(|cause| StopReason::Unreadable { position, cause })?;
        let record = Applicable {
            position,
            envelope,
            body,
        };
        self.project(&record, changes).map_err(impossible)
    }

    fn project(&mut self, record: &Applicable, changes: &mut Changes) -> Result<(), Impossible> {
        match (self, &record.body.events) {
            (Self::Users(rows), Events::Users(events)) => users::fold(rows, record, events),
            (Self::Orders(rows), Events::Orders(events)) => {
                orders::fold(rows, record, events, changes)
            }
            (Self::Inventory(rows), Events::Inventory(events)) => {
                inventory::fold(rows, record, events, changes)
            }
            _ => Err(Impossible("its events belong in another topic")),
        }
    }

    fn version(&self, aggregate_id: &str) -> u64 {
        match self {
            Self::Users(rows) => rows.version(aggregate_id),
            Self::Orders(rows) => rows.version(aggregate_id),
            Self::Inventory(rows) => rows.version(aggregate_id),
            Self::Keys => 0,
        }
    }

    fn into_changes(self, changes: &mut Changes) {
        match self {
            Self::Users(rows) => changes.users = rows.into_changed(),
            Self::Orders(rows) => changes.orders = rows.into_changed(),
            Self::Inventory(rows) => changes.items = rows.into_changed(),
            Self::Keys => {}
        }
    }
}

impl<R: Projected> Rows<R> {
    /// The rows as they stand in the store.
    pub(crate) fn new(known: Vec<R>) -> Self {
        let by_id = known.into_iter().map(|row| (row.aggregate_id(), row));
        Self {
            by_id: by_id.collect(),
            changed: BTreeSet::new(),
        }
    }

    /// The row of a record's aggregate, which will be written.
    pub(crate) fn get_mut(&mut self, record: &Applicable) -> Option<&mut R> {
        let id = &record.envelope.aggregate_id;
        let row = self.by_id.get_mut(id)?;
        if !self.changed.contains(id) {
            self.changed.insert(id.clone());
        }
        Some(row)
    }

    /// A new row for a record's aggregate.
    pub(crate) fn insert(&mut self, record: &Applicable, row: R) {
        let id = &record.envelope.aggregate_id;
        self.changed.insert(id.clone());
        self.by_id.insert(id.clone(), row);
    }

    fn version(&self, aggregate_id: &str) -> u64 {
        self.by_id.get(aggregate_id).map_or(0, R::version)
    }

    /// What to write, sorted by id.
    fn into_changed(mut self) -> Vec<R> {
        let changed = self.changed.iter();
        changed.filter_map(|id| self.by_id.remove(id)).collect()
    }
}
