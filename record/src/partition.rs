//! Where a record goes: topics, partitions and the function that chooses one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A topic of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Records of users.
    Users,
    /// Records of orders.
    Orders,
    /// Records of inventory items.
    Inventory,
    /// Claims of epochs and signs of life; one partition, no fences, no records.
    Epochs,
    /// Keys of personal data, by key id; compacted, one partition, no fences, no records.
    UserKeys,
}

impl Topic {
    /// The topics that hold records and are fenced.
    pub const OF_RECORD: [Self; 3] = [Self::Users, Self::Orders, Self::Inventory];
    /// All topics.
    pub const ALL: [Self; 5] = [
        Self::Users,
        Self::Orders,
        Self::Inventory,
        Self::Epochs,
        Self::UserKeys,
    ];

    /// The topic's own name, which a deployment may prefix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Orders => "orders",
            Self::Inventory => "inventory",
            Self::Epochs => "epochs",
            Self::UserKeys => "user-keys",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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

impl Partition {
    /// The only partition of [`Topic::Epochs`].
    pub const EPOCHS: Self = Self {
        topic: Topic::Epochs,
        number: 0,
    };
    /// The only partition of [`Topic::UserKeys`].
    pub const USER_KEYS: Self = Self {
        topic: Topic::UserKeys,
        number: 0,
    };
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.number)
    }
}

/// How many partitions each topic of record has. Fixed for good: the partition of an aggregate
/// follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Of `users`.
    pub users: u16,
    /// Of `orders`.
    pub orders: u16,
    /// Of `inventory`.
    pub inventory: u16,
}

impl Layout {
    /// The same number of partitions for every topic of record.
    pub fn uniform(count: u16) -> Self {
        Self {
            users: count,
            orders: count,
            inventory: count,
        }
    }

    /// How many partitions a topic has.
    pub fn count(&self, topic: Topic) -> u16 {
        match topic {
            Topic::Users => self.users,
            Topic::Orders => self.orders,
            Topic::Inventory => self.inventory,
            Topic::Epochs | Topic::UserKeys => 1,
        }
    }

    /// Every partition that holds records, in a fixed order.
    pub fn partitions_of_record(&self) -> Vec<Partition> {
        let of = |topic| (0..self.count(topic)).map(move |number| Partition { topic, number });
        Topic::OF_RECORD.into_iter().flat_map(of).collect()
    }

    /// The partition of an aggregate: FNV-1a (64 bit) of its id's bytes, modulo the topic's
    /// count. Stated here, and not left to a client library, because it may never change.
    pub fn partition_of(&self, topic: Topic, aggregate_id: &str) -> Partition {
        let mut hasher = fnv::FnvHasher::default();
        std::hash::Hasher::write(&mut hasher, aggregate_id.as_bytes());
        let number = std::hash::Hasher::finish(&hasher) % u64::from(self.count(topic).max(1));
        Partition {
            topic,
            number: number as u16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These figures are frozen: a change would look for aggregates where they are not.
    #[test]
    fn the_partition_of_an_aggregate_never_changes() {
        let layout = Layout {
            users: 3,
            orders: 6,
            inventory: 3,
        };
        let number = |topic, id| layout.partition_of(topic, id).number;
        assert_eq!(
            number(Topic::Orders, "01890a5d-ac96-774b-bcce-b302099a8057"),
            5
        );
        assert_eq!(number(Topic::Inventory, "A-1"), 2);
        assert_eq!(
            number(Topic::Inventory, ""),
            0xcbf2_9ce4_8422_2325_u64.rem_euclid(3) as u16
        );
    }

    #[test]
    fn aggregates_spread_over_all_partitions() {
        let layout = Layout::uniform(6);
        let mut seen = std::collections::BTreeMap::<u16, usize>::new();
        for i in 0..6000 {
            let id = uuid::Uuid::from_u128(i * 0x9E37_79B9_7F4A_7C15).to_string();
            *seen
                .entry(layout.partition_of(Topic::Orders, &id).number)
                .or_default() += 1;
        }
        assert_eq!(seen.len(), 6);
        assert!(
            seen.values().all(|count| (700..1300).contains(count)),
            "{seen:?}"
        );
    }
}
