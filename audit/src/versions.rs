//! Versions: every aggregate's records follow one another, and each version is one record.

use uuid::Uuid;

use crate::checks::Check;
use crate::entry::Entry;
use crate::place::Place;
use crate::report::Findings;

/// Judges a record that no fence makes void by the version that its aggregate has: whether it is
/// the next. After a gap the versions go on from the record found, so that one missing record is
/// told once.
pub(crate) fn is_next(
    known: &mut u64,
    entry: &Entry<'_>,
    place: Place,
    findings: &mut Findings,
) -> bool {
    findings.looked(Check::Versions);
    if entry.version <= *known {
        return false;
    }
    if entry.version > *known + 1 {
        let found = format!(
            "Version {} follows version {known}: records between them are missing.",
            entry.version
        );
        findings.broken(Check::Versions, entry.name(), place, found);
    }
    *known = entry.version;
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
