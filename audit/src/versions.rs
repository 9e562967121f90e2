//! Versions: every aggregate's records follow one another, and each version is one record.

use fnv::FnvHashMap;
use uuid::Uuid;

use crate::checks::Check;
use crate::entry::{Entry, Kind};
use crate::place::{Partition, Place};
use crate::report::Findings;

/// What a record's version makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Succession {
    /// It counts.
    Next,
    /// It is a second copy of one that counted.
    Duplicate,
    /// Another record has its version: it does not count, and that must not happen.
    Conflict,
}

/// The versions of all aggregates, and the ids of all records that count.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    users: FnvHashMap<Box<str>, Known>,
    orders: FnvHashMap<Box<str>, Known>,
    inventory: FnvHashMap<Box<str>, Known>,
    /// How many records count under each id. More than one cannot be.
    records: FnvHashMap<Uuid, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    partition: Partition,
    version: u64,
}

impl Versions {
    /// Judges a record that no fence makes void. After a gap the versions go on from the record
    /// found, so that one missing record is told once.
    pub(crate) fn follow(
        &mut self,
        entry: &Entry<'_>,
        place: Place,
        findings: &mut Findings,
    ) -> Succession {
        findings.looked(Check::Versions);
        let aggregates = match entry.kind {
            Kind::Users => &mut self.users,
            Kind::Orders => &mut self.orders,
            Kind::Inventory | Kind::Fence => &mut self.inventory,
        };
        let partition = place.partition;
        let unknown = Known {
            partition,
            version: 0,
        };
        let known = match aggregates.get_mut(entry.aggregate) {
            Some(known) => known,
            None => aggregates.entry(entry.aggregate.into()).or_insert(unknown),
        };
        if known.partition != partition {
            let found = format!("Other records of it stand in {}.", known.partition);
            findings.broken(Check::Versions, entry.name(), place, found);
        }
        if entry.version <= known.version {
            if self.records.contains_key(&entry.id) {
                return Succession::Duplicate;
            }
            let found = format!(
                "Record {} has version {}, which another record has.",
                entry.id, entry.version
            );
            findings.broken(Check::Versions, entry.name(), place, found);
            return Succession::Conflict;
        }
        if entry.version > known.version + 1 {
            let found = format!(
                "Version {} follows version {}: records between them are missing.",
                entry.version, known.version
            );
            findings.broken(Check::Versions, entry.name(), place, found);
        }
        known.version = entry.version;
        let records = self.records.entry(entry.id).or_default();
        *records += 1;
        if *records > 1 {
            let found = format!("Record {} counts twice, at different versions.", entry.id);
            findings.broken(Check::Versions, entry.name(), place, found);
        }
        Succession::Next
    }

    /// How many records count under this id.
    pub(crate) fn records_of(&self, id: Uuid) -> u32 {
        self.records.get(&id).copied().unwrap_or(0)
    }
}
