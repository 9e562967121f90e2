//! Programs of two versions side by side: today's, and a newer one with the next number of the
//! gate's interface.
//!
//! There is no newer program yet, so it is today's, told that the number that it knows is the next
//! one: what it claims stands in the log with that number, and it reads that number as its own.
//! What must hold: an older node recovers nothing once a newer one has claimed, and never decides in
//! an epoch of a newer one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use parking_lot::Mutex;
use record::epochs::{EpochEntry, GATE_INTERFACE};
use record::{AggregateType, Envelope, Partition};

use crate::checks::{Counts, Violation};
use crate::log::broker::Broker;

/// A version of the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Today's.
    #[default]
    Today,
    /// The one after it.
    Next,
}

impl Version {
    /// The number of the gate's interface that it knows.
    pub fn interface(self) -> u32 {
        match self {
            Self::Today => GATE_INTERFACE,
            Self::Next => GATE_INTERFACE + 1,
        }
    }

    /// What stands in the log of what this version appends.
    pub fn written(self, partition: Partition, payload: Option<Bytes>) -> Option<Bytes> {
        payload.map(|payload| {
            self.with(partition, payload, |interface| match interface {
                GATE_INTERFACE => self.interface(),
                other => other,
            })
        })
    }

    /// What this version makes of what stands in the log.
    pub fn read(self, partition: Partition, payload: Bytes) -> Bytes {
        let own = self.interface();
        self.with(partition, payload, |interface| match interface {
            known if known <= own => GATE_INTERFACE,
            other => other,
        })
    }

    fn with(self, partition: Partition, payload: Bytes, number: impl Fn(u32) -> u32) -> Bytes {
        if self == Self::Today || partition != Partition::EPOCHS {
            return payload;
        }
        match EpochEntry::decode(&payload) {
            Ok(EpochEntry::Claim {
                id,
                interface,
                layout,
                shop,
                base,
                node,
            }) => EpochEntry::Claim {
                id,
                interface: number(interface),
                layout,
                shop,
                base,
                node,
            }
            .encode()
            .into(),
            _ => payload,
        }
    }
}

/// Which versions decided and settled in which epoch.
#[derive(Debug, Default)]
pub struct Deciders(Mutex<BTreeSet<(u64, Version)>>);

impl Deciders {
    /// A node of this version had a command decided or settled in this epoch.
    pub fn heard(&self, epoch: u64, version: Version) {
        self.0.lock().insert((epoch, version));
    }
}

/// Whether a newer program has claimed: then older ones are of no use any more.
pub fn is_newer_claimed(broker: &Broker) -> bool {
    claims(broker).values().any(|it| *it > GATE_INTERFACE)
}

/// The interfaces of all claims, by epoch.
fn claims(broker: &Broker) -> BTreeMap<u64, u32> {
    let mut claims = BTreeMap::new();
    let mut known = BTreeSet::new();
    for (_, position, raw) in broker.landed() {
        if position.partition != Partition::EPOCHS {
            continue;
        }
        if let Ok(EpochEntry::Claim { id, interface, .. }) = EpochEntry::decode(&raw.payload)
            && known.insert(id)
        {
            // The first claim of a run states no base.
            claims.insert(position.offset, interface);
        }
    }
    claims
}

/// Nothing that a newer program has claimed is touched by an older one.
pub(crate) fn check(
    broker: &Broker,
    deciders: &Deciders,
    looked: &mut Counts,
    broken: &mut Vec<Violation>,
) {
    let claims = claims(broker);
    for (epoch, version) in deciders.0.lock().iter() {
        *looked.entry("versions".to_owned()).or_default() += 1;
        let interface = claims.get(epoch).copied().unwrap_or(0);
        if interface > version.interface() {
            let what = format!("{version:?}'s program decides in epoch {epoch} of a newer one");
            broken.push(Violation::new("versions", what));
        }
    }
    let mut highest = 0;
    let overtaken = claims.into_iter().filter(|(_, interface)| {
        highest = highest.max(*interface);
        *interface < highest
    });
    let overtaken: BTreeSet<u64> = overtaken.map(|(epoch, _)| epoch).collect();
    for (_, position, raw) in broker.landed() {
        if position.partition == Partition::EPOCHS {
            continue;
        }
        let Ok((envelope, _)) = Envelope::decode(&raw.payload) else {
            continue;
        };
        let is_fence = envelope.aggregate_type == AggregateType::Fence;
        if is_fence && overtaken.contains(&envelope.epoch) {
            let epoch = envelope.epoch;
            let what = format!("an older program fences epoch {epoch} at {position}");
            broken.push(Violation::new("versions", what));
        }
    }
}
