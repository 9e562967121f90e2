//! What a reader makes of each entry: the rule of `record`, told instead of obeyed.

use std::collections::HashMap;

use domain::sku::Sku;
use record::reader::{HighestFence, Standing, Succession, succession};
use record::{Body, Envelope, Partition, Position, Topic};

/// Whether an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Valid,
    /// It starts an epoch.
    Fence,
    /// Its epoch was over.
    Void,
    /// It is a second copy.
    Duplicate,
    /// Records of its aggregate are missing before it.
    Gap,
    Unreadable,
}

impl Mark {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Fence => "fence",
            Self::Void => "void",
            Self::Duplicate => "duplicate",
            Self::Gap => "gap",
            Self::Unreadable => "unreadable",
        }
    }
}

/// An entry and what a reader makes of it.
#[derive(Debug)]
pub(super) struct Marked {
    pub(super) position: Position,
    pub(super) mark: Mark,
    /// `None` where the bytes are no entry.
    pub(super) envelope: Option<Envelope>,
    /// `None` for a fence and where it cannot be read.
    pub(super) body: Option<Body>,
    pub(super) payload: Vec<u8>,
}

impl Marked {
    /// Whether it is a record of this aggregate.
    pub(super) fn is_of(&self, topic: Topic, id: &str) -> bool {
        let of = |envelope: &Envelope| {
            envelope.aggregate_type.topic() == Some(topic) && envelope.aggregate_id == id
        };
        self.envelope.as_ref().is_some_and(of)
    }

    /// Whether it moves the stock of this item.
    pub(super) fn moves(&self, sku: &Sku) -> bool {
        let body = self.body.as_ref();
        body.is_some_and(|body| body.events.movements().iter().any(|m| m.sku == *sku))
    }

    /// When it was decided.
    pub(super) fn microseconds(&self) -> Option<i64> {
        self.body.as_ref().map(|body| body.time.microseconds())
    }
}

/// What was seen of the partitions so far.
#[derive(Debug, Default)]
pub(super) struct Marks {
    fences: HashMap<Partition, HighestFence>,
    versions: HashMap<(Partition, String), u64>,
}

impl Marks {
    /// Marks the next entry of a partition.
    pub(super) fn mark(&mut self, position: Position, payload: Vec<u8>) -> Marked {
        let Ok((envelope, body)) = Envelope::decode(&payload) else {
            return Marked {
                position,
                mark: Mark::Unreadable,
                envelope: None,
                body: None,
                payload,
            };
        };
        let body = Body::decode(&envelope, body).ok();
        let mark = match self.standing(position.partition, &envelope) {
            Mark::Valid if body.is_none() => Mark::Unreadable,
            mark => mark,
        };
        Marked {
            position,
            mark,
            envelope: Some(envelope),
            body,
            payload,
        }
    }

    fn standing(&mut self, partition: Partition, envelope: &Envelope) -> Mark {
        match self.fences.entry(partition).or_default().judge(envelope) {
            Standing::Fence => return Mark::Fence,
            Standing::Void => return Mark::Void,
            Standing::Valid => {}
        }
        let aggregate = (partition, envelope.aggregate_id.clone());
        let known = self.versions.entry(aggregate).or_default();
        let mark = match succession(*known, envelope.version) {
            Succession::Duplicate => return Mark::Duplicate,
            Succession::Next => Mark::Valid,
            Succession::Gap => Mark::Gap,
        };
        *known = envelope.version;
        mark
    }
}
