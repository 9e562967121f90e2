//! Where an entry stands.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// A topic that the audit reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Records of users.
    Users,
    /// Records of orders.
    Orders,
    /// Records of inventory items.
    Inventory,
    /// Claims and openings of epochs.
    Epochs,
}

impl Topic {
    const ALL: [Self; 4] = [Self::Users, Self::Orders, Self::Inventory, Self::Epochs];

    /// The topic's own name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Orders => "orders",
            Self::Inventory => "inventory",
            Self::Epochs => "epochs",
        }
    }

    /// The topic of this name, if the audit reads it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == name)
    }
}

/// One partition of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Partition {
    /// The topic.
    pub topic: Topic,
    /// The partition's number, from 0.
    pub number: u16,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic.as_str(), self.number)
    }
}

/// An entry's place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The partition.
    pub partition: Partition,
    /// The offset in it.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// An offset in a partition that is known: one more than it, so that "none" needs no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offset(NonZeroU64);

impl Offset {
    pub(crate) fn new(offset: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(offset))
    }

    pub(crate) fn get(self) -> u64 {
        self.0.get() - 1
    }

    pub(crate) fn of(self, partition: Partition) -> Place {
        let offset = self.get();
        Place { partition, offset }
    }
}
