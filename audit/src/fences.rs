//! Fences and epochs: whether a record counts, and whether the log is whole.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use uuid::Uuid;

use crate::checks::Check;
use crate::entry::{Entry, Kind};
use crate::evidence::Horizon;
use crate::place::{Partition, Place, Topic};
use crate::report::Findings;

/// What the fences before an entry make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Fence,
    Void,
    Valid,
    /// It belongs into another topic.
    Foreign,
}

/// One partition, as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    next_offset: u64,
    /// Where the first copy of each epoch's fence stands.
    first: BTreeMap<u64, u64>,
    /// Where the first record of each epoch that counts stands behind its fence.
    counted: BTreeMap<u64, u64>,
    highest: u64,
}

impl Fences {
    /// Goes on to the next entry. Nothing but deletion makes a hole in these topics: no part of
    /// the program writes with Kafka's transactions, whose marks would take offsets too.
    pub(crate) fn step_to(&mut self, place: Place, findings: &mut Findings) {
        findings.looked(Check::Complete);
        let about = place.partition.to_string();
        if place.offset > self.next_offset {
            let last = place.offset - 1;
            let found = format!("Offsets {} to {last} are missing.", self.next_offset);
            findings.broken(Check::Complete, about, place, found);
        } else if place.offset < self.next_offset {
            let found = format!("It comes after offset {}.", self.next_offset - 1);
            findings.broken(Check::Complete, about, place, found);
        }
        self.next_offset = self.next_offset.max(place.offset + 1);
    }

    /// The rule of every reader: a record of a lower epoch than the highest fence is void. A
    /// record whose own epoch has no fence before it was never decided by the commit path.
    pub(crate) fn judge(
        &mut self,
        entry: &Entry<'_>,
        place: Place,
        findings: &mut Findings,
    ) -> Standing {
        if entry.kind == Kind::Fence {
            self.first.entry(entry.epoch).or_insert(place.offset);
            self.highest = self.highest.max(entry.epoch);
            return Standing::Fence;
        }
        let belongs = matches!(
            (entry.kind, place.partition.topic),
            (Kind::Users, Topic::Users)
                | (Kind::Orders, Topic::Orders)
                | (Kind::Inventory, Topic::Inventory)
        );
        if !belongs {
            let found = format!("A record of {:?} stands in another topic.", entry.kind);
            findings.broken(Check::Fences, entry.name(), place, found);
            return Standing::Foreign;
        }
        findings.looked(Check::Fences);
        if entry.epoch < self.highest {
            return Standing::Void;
        }
        if !self.first.contains_key(&entry.epoch) {
            let found = format!("Epoch {} has no fence before it.", entry.epoch);
            findings.broken(Check::Fences, entry.name(), place, found);
        }
        Standing::Valid
    }

    /// A record of an epoch counts.
    pub(crate) fn counts(&mut self, epoch: u64, place: Place) {
        let newest = self.counted.last_key_value();
        let known = newest.is_some_and(|(newest, _)| *newest == epoch);
        if !known && self.first.contains_key(&epoch) {
            self.counted.entry(epoch).or_insert(place.offset);
        }
    }

    /// How many epochs have a fence here.
    pub(crate) fn count(&self) -> usize {
        self.first.len()
    }

    /// One past the last entry.
    pub(crate) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// The highest fence before an offset; 0 where there is none.
    pub(crate) fn highest_before(&self, offset: u64) -> u64 {
        let before = self.first.iter().filter(|(_, at)| **at < offset);
        before.map(|(epoch, _)| *epoch).max().unwrap_or(0)
    }
}

/// What the topic `epochs` says of the others.
#[derive(Debug, Default)]
pub(crate) struct Epochs {
    read: bool,
    layout: Option<(Place, Layout)>,
    /// The number of the first claim's epoch is its offset and this.
    base: Option<u64>,
    /// The id of the first claim, which names the log.
    log_id: Option<Uuid>,
    /// The offsets of all claims.
    claims: BTreeSet<u64>,
    opened: Vec<(Place, u64, BTreeMap<String, u64>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Layout {
    users: u16,
    orders: u16,
    inventory: u16,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum EpochJson {
    Claim {
        id: Uuid,
        layout: Layout,
        base: u64,
    },
    Opened {
        epoch: u64,
        fences: BTreeMap<String, u64>,
    },
    SignOfLifeAsked {},
    SignOfLife {},
}

impl Epochs {
    pub(crate) fn take_in(&mut self, place: Place, bytes: &[u8], findings: &mut Findings) {
        self.read = true;
        findings.looked(Check::Readable);
        match serde_json::from_slice(bytes) {
            Ok(EpochJson::Claim { id, layout, base }) => {
                self.base.get_or_insert(base);
                self.log_id.get_or_insert(id);
                self.claims.insert(place.offset);
                self.claim(place, layout, findings);
            }
            Ok(EpochJson::Opened { epoch, fences }) => self.opened.push((place, epoch, fences)),
            Ok(EpochJson::SignOfLifeAsked {} | EpochJson::SignOfLife {}) => {}
            Err(error) => {
                let found = format!("It is not an entry of epochs: {error}.");
                findings.broken(Check::Readable, "an epoch's entry", place, found);
            }
        }
    }

    fn claim(&mut self, place: Place, layout: Layout, findings: &mut Findings) {
        match &self.layout {
            None => self.layout = Some((place, layout)),
            Some((first, known)) if *known != layout => {
                let found = format!("It claims {layout:?}, but {first} claims {known:?}.");
                findings.broken(Check::Complete, "the layout", place, found);
            }
            Some(_) => {}
        }
    }

    /// Every partition of the layout exists, every epoch that opened or has records that count has
    /// its fences there, and every fence is of an epoch that was claimed.
    pub(crate) fn check<'a>(
        &self,
        partitions: impl Iterator<Item = (Partition, &'a Fences)>,
        horizon: &Horizon,
        findings: &mut Findings,
    ) {
        let partitions: Vec<_> = partitions.collect();
        let named = partitions.iter();
        let named: BTreeMap<String, &Fences> = named
            .map(|(partition, fences)| (partition.to_string(), *fences))
            .collect();
        if !self.read {
            let missing = "The topic of epochs is empty or was not read.";
            if !named.is_empty() {
                findings.broken(Check::Complete, "epochs/0", None, missing);
            }
            return;
        }
        for (place, epoch, expected) in &self.opened {
            findings.looked(Check::Complete);
            for name in self.layout.iter().flat_map(|(_, layout)| layout.names()) {
                let stated = expected.get(&name);
                let stands = named.get(&name).and_then(|fences| fences.first.get(epoch));
                if stated.is_none() || stated != stands {
                    let found = match stands {
                        Some(at) => format!(
                            "The first fence of epoch {epoch} stands at {at}, not where it was opened."
                        ),
                        None => format!("Epoch {epoch} was opened, but its fence is gone."),
                    };
                    findings.broken(Check::Complete, name, *place, found);
                }
            }
        }
        self.check_claims(&partitions, horizon, findings);
        self.check_counted(&partitions, &named, horizon, findings);
    }

    /// A fence of an epoch that nobody claimed would make void whatever comes behind it. (A fence
    /// below the base is one of the log that was imported.)
    fn check_claims(
        &self,
        partitions: &[(Partition, &Fences)],
        horizon: &Horizon,
        findings: &mut Findings,
    ) {
        let base = self.base.unwrap_or(0);
        for (partition, fences) in partitions {
            for (epoch, offset) in &fences.first {
                let (partition, offset) = (*partition, *offset);
                let place = Place { partition, offset };
                // The claim of a fence that came later may stand behind the end that was read.
                if !horizon.has(place) {
                    continue;
                }
                findings.looked(Check::Fences);
                let claim = epoch.checked_sub(base);
                if claim.is_some_and(|claim| !self.claims.contains(&claim)) {
                    let found = format!("It fences epoch {epoch}, which nobody claimed.");
                    findings.broken(Check::Fences, partition.to_string(), place, found);
                }
            }
        }
    }

    /// An epoch decides nothing before all its fences stand, also one whose node died before it
    /// could write that it is open.
    fn check_counted(
        &self,
        partitions: &[(Partition, &Fences)],
        named: &BTreeMap<String, &Fences>,
        horizon: &Horizon,
        findings: &mut Findings,
    ) {
        let opened: BTreeSet<u64> = self.opened.iter().map(|(_, epoch, _)| *epoch).collect();
        let mut counted = BTreeMap::<u64, Place>::new();
        for (partition, fences) in partitions {
            for (epoch, offset) in &fences.counted {
                let (partition, offset) = (*partition, *offset);
                let place = Place { partition, offset };
                // The fences of one that came later may stand behind the ends that were read.
                if horizon.has(place) && !opened.contains(epoch) {
                    counted.entry(*epoch).or_insert(place);
                }
            }
        }
        for (epoch, place) in counted {
            findings.looked(Check::Complete);
            for name in self.layout.iter().flat_map(|(_, layout)| layout.names()) {
                let fences = named.get(&name);
                if fences.is_none_or(|fences| !fences.first.contains_key(&epoch)) {
                    let found = format!("Epoch {epoch} has records that count, but no fence here.");
                    findings.broken(Check::Complete, name, place, found);
                }
            }
        }
    }
}

impl Epochs {
    /// The id of the log: of its first claim.
    pub(crate) fn log_id(&self) -> Option<Uuid> {
        self.log_id
    }

    /// Whether a claim made this number.
    pub(crate) fn is_claimed(&self, epoch: u64) -> bool {
        let claim = epoch.checked_sub(self.base.unwrap_or(0));
        claim.is_some_and(|claim| self.claims.contains(&claim))
    }

    /// How many partitions a topic has, once that is known.
    pub(crate) fn count(&self, topic: Topic) -> Option<u16> {
        let (_, layout) = self.layout.as_ref()?;
        match topic {
            Topic::Users => Some(layout.users),
            Topic::Orders => Some(layout.orders),
            Topic::Inventory => Some(layout.inventory),
            Topic::Epochs => None,
        }
    }
}

impl Layout {
    fn names(&self) -> Vec<String> {
        let of = |topic: Topic, count: u16| {
            (0..count).map(move |number| Partition { topic, number }.to_string())
        };
        of(Topic::Users, self.users)
            .chain(of(Topic::Orders, self.orders))
            .chain(of(Topic::Inventory, self.inventory))
            .collect()
    }
}
