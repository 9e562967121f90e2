//! What stands in the topic `epochs`: claims, openings and signs of life.

use std::collections::BTreeMap;

use domain::money::Currency;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Unreadable;
use crate::partition::{Layout, Partition};

/// The number of the gate's interface (scripts and layout of its data). A node that meets a claim
/// with a higher one must not recover: it would rebuild what the newer program cannot read.
pub const GATE_INTERFACE: u32 = 1;

/// What a shop is, stated in its first claim and the same in every later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shop {
    /// The one currency of its prices.
    pub currency: Currency,
    /// Tells whether a secrets file belongs to this log, without giving anything away.
    pub secrets_check: String,
}

/// One entry of the topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum EpochEntry {
    /// A node wants to open an epoch. Its offset plus the first claim's base is the number.
    Claim {
        /// Names the claim; the first one of a log names the log.
        id: Uuid,
        /// The interface of the claimant's gate.
        interface: u32,
        /// The topics and their counts.
        layout: Layout,
        /// What the shop is.
        shop: Shop,
        /// Added to every offset; stated by the first claim.
        base: u64,
        /// The node that claims.
        node: Uuid,
    },
    /// An epoch was rebuilt and published.
    Opened {
        /// Its number.
        epoch: u64,
        /// Where its fences stand, by partition (`orders/0`). A later recovery that does not find
        /// them knows that a topic was replaced.
        fences: BTreeMap<String, u64>,
    },
    /// A node asks whether an epoch lives.
    SignOfLifeAsked {
        /// The epoch that its Redis does not have.
        epoch: u64,
        /// Who asks.
        node: Uuid,
    },
    /// An epoch lives, or is being rebuilt.
    SignOfLife {
        /// The epoch.
        epoch: u64,
        /// Who answers.
        node: Uuid,
        /// Records folded and pieces written so far, while it is being rebuilt.
        rebuilt: Option<u64>,
    },
}

impl EpochEntry {
    /// The bytes that are appended.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an entry has only text keys and serialisable values")
    }

    /// # Errors
    /// [`Unreadable::Body`] when this program does not know the entry.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(bytes).map_err(|error| Unreadable::Body(error.to_string()))
    }
}

/// The name of a partition in [`EpochEntry::Opened`].
pub fn partition_name(partition: Partition) -> String {
    partition.to_string()
}
