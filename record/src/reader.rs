//! The reader's rule: which records count. Every reader of a partition uses it.
//!
//! - A record of a lower epoch than the highest fence is **void**: skip it.
//! - A record whose version its aggregate already has is a **duplicate**: skip it.
//! - A version gap cannot happen: stop and say so, never skip.

use crate::envelope::{AggregateType, Envelope};

/// What the fences of a partition make of its next entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A fence. It counts from here on if it is the highest so far.
    Fence,
    /// A record of an epoch that is over: skip it.
    Void,
    /// A record that counts, if its version follows (see [`succession`]).
    Valid,
}

/// The highest fence that a reader has seen in one partition. Checkpoints and snapshots store it
/// beside the offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HighestFence(pub u64);

impl HighestFence {
    /// Judges the next entry of the partition, in order of offset.
    pub fn judge(&mut self, envelope: &Envelope) -> Standing {
        if envelope.aggregate_type == AggregateType::Fence {
            self.0 = self.0.max(envelope.epoch);
            return Standing::Fence;
        }
        if envelope.epoch < self.0 {
            Standing::Void
        } else {
            Standing::Valid
        }
    }
}

/// How a valid record's version relates to the version that its aggregate has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// The next one: apply it.
    Next,
    /// Known already: skip it.
    Duplicate,
    /// Records are missing: stop.
    Gap,
}

/// Compares a record's version with the one that its aggregate has (0: none yet).
pub fn succession(known: u64, version: u64) -> Succession {
    if version <= known {
        Succession::Duplicate
    } else if version == known + 1 {
        Succession::Next
    } else {
        Succession::Gap
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::envelope::RecordId;

    fn record(epoch: u64) -> Envelope {
        let fence = Envelope::fence(epoch, RecordId(Uuid::nil()));
        Envelope {
            aggregate_type: AggregateType::Orders,
            version: 1,
            ..fence
        }
    }

    #[test]
    fn a_record_behind_a_newer_fence_is_void() {
        let mut highest = HighestFence::default();
        assert_eq!(highest.judge(&record(1)), Standing::Valid);
        assert_eq!(
            highest.judge(&Envelope::fence(2, RecordId(Uuid::nil()))),
            Standing::Fence
        );
        assert_eq!(highest.judge(&record(1)), Standing::Void);
        assert_eq!(highest.judge(&record(2)), Standing::Valid);
    }

    #[test]
    fn a_late_copy_of_a_lower_fence_lowers_nothing() {
        let mut highest = HighestFence(5);
        highest.judge(&Envelope::fence(3, RecordId(Uuid::nil())));
        assert_eq!(highest, HighestFence(5));
    }

    #[test]
    fn versions_follow_one_another() {
        assert_eq!(succession(0, 1), Succession::Next);
        assert_eq!(succession(1, 1), Succession::Duplicate);
        assert_eq!(succession(2, 1), Succession::Duplicate);
        assert_eq!(succession(1, 3), Succession::Gap);
    }
}
