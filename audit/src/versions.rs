//! Versions: every aggregate's records follow one another, and each version is one record.

use uuid::Uuid;

use crate::checks::Check;
use crate::entry::Entry;
use crate::place::{Offset, Partition, Place};
use crate::report::Findings;

/// How far the records of an aggregate go.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reached {
    /// The version after its newest record; 0 where it has none.
    pub(crate) version: u64,
    /// Where that stands.
    pub(crate) newest: Option<Offset>,
}

impl Reached {
    /// Whether a row that has seen its partition up to an offset may be at this version: at the
    /// newest one where it has seen that, otherwise at one before.
    pub(crate) fn allows(&self, version: u64, next_offset: u64) -> bool {
        match self.is_seen(next_offset) {
            true => version == self.version,
            false => (1..self.version).contains(&version),
        }
    }

    /// The version that is allowed, in words.
    pub(crate) fn told(&self, next_offset: u64) -> String {
        let before = if self.is_seen(next_offset) {
            ""
        } else {
            " or before"
        };
        format!("version {}{before}", self.version)
    }

    pub(crate) fn is_seen(&self, next_offset: u64) -> bool {
        self.newest.is_some_and(|newest| newest.get() < next_offset)
    }

    pub(crate) fn place(&self, partition: Partition) -> Option<Place> {
        Some(self.newest?.of(partition))
    }
}

/// Judges a record that no fence makes void by the version that its aggregate has: whether it is
/// the next. After a gap the versions go on from the record found, so that one missing record is
/// told once.
pub(crate) fn is_next(
    reached: &mut Reached,
    entry: &Entry<'_>,
    place: Place,
    findings: &mut Findings,
) -> bool {
    findings.looked(Check::Versions);
    let known = reached.version;
    if entry.version <= known {
        return false;
    }
    if entry.version > known + 1 {
        let found = format!(
            "Version {} follows version {known}: records between them are missing.",
            entry.version
        );
        findings.broken(Check::Versions, entry.name(), place, found);
    }
    *reached = Reached {
        version: entry.version,
        newest: Some(Offset::new(place.offset)),
    };
    true
}

/// A record that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counted {
    pub(crate) id: Uuid,
    pub(crate) place: Place,
}

/// A record whose version its aggregate had already: a second copy of one that counts, or
/// something that must not be. Which, is known when all records are.
#[derive(Debug, Clone)]
pub(crate) struct Again {
    id: Uuid,
    version: u64,
    name: String,
    place: Place,
}

impl Again {
    pub(crate) fn new(entry: &Entry<'_>, place: Place) -> Self {
        Self {
            id: entry.id,
            version: entry.version,
            name: entry.name(),
            place,
        }
    }
}

/// All records that count, in order of their ids.
#[derive(Debug, Default)]
pub(crate) struct Records(Vec<Counted>);

impl Records {
    /// Takes more of them in. Both lists are sorted, so that this only merges.
    pub(crate) fn add(&mut self, more: &mut Vec<Counted>) {
        self.0.append(more);
        self.0.sort();
    }

    /// How many records count under this id.
    pub(crate) fn of(&self, id: Uuid) -> usize {
        let from = self.0.partition_point(|record| record.id < id);
        let behind = self.0[from..].iter();
        behind.take_while(|record| record.id == id).count()
    }

    /// The places of all records that count.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.0.iter().map(|record| record.place)
    }

    /// No id counts twice.
    pub(crate) fn check(&self, findings: &mut Findings) {
        for pair in self.0.windows(2) {
            let [first, second] = pair else { continue };
            if first.id == second.id {
                let (about, place) = (format!("record {}", first.id), second.place);
                let found = format!("It counts twice, at {} and here.", first.place);
                findings.broken(Check::Versions, about, place, found);
            }
        }
    }

    /// Whether this is a second copy of a record that counts; anything else is told.
    pub(crate) fn is_copy(&self, again: &Again, findings: &mut Findings) -> bool {
        let copy = self.of(again.id) > 0;
        if !copy {
            let found = format!(
                "Record {} has version {}, which another record has.",
                again.id, again.version
            );
            findings.broken(Check::Versions, again.name.clone(), again.place, found);
        }
        copy
    }
}
