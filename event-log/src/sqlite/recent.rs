//! What was committed last: the end of every topic, and its newest records for tails that are up
//! to date. A tail that falls behind finds its next offset gone from here and reads the file.

use std::collections::VecDeque;

use parking_lot::Mutex;
use record::Topic;
use tokio::sync::watch;

use crate::RawRecord;

/// Where a topic stands in arrays over all topics.
pub(super) fn index(topic: Topic) -> usize {
    match topic {
        Topic::Users => 0,
        Topic::Orders => 1,
        Topic::Inventory => 2,
        Topic::Epochs => 3,
        Topic::UserKeys => 4,
    }
}

/// Shared by the writer and all tails.
#[derive(Debug)]
pub(super) struct Recent {
    topics: Mutex<[Newest; Topic::ALL.len()]>,
    bytes_max: usize,
    commits: watch::Sender<()>,
}

/// The newest records of one topic: consecutive, up to its end.
#[derive(Debug, Default)]
struct Newest {
    records: VecDeque<RawRecord>,
    bytes: usize,
    end: u64,
}

impl Recent {
    pub(super) fn new(bytes_max: usize, ends: [u64; Topic::ALL.len()]) -> Self {
        let topics = ends.map(|end| Newest {
            end,
            ..Newest::default()
        });
        Self {
            topics: Mutex::new(topics),
            bytes_max,
            commits: watch::Sender::new(()),
        }
    }

    /// One past the last committed offset of every topic.
    pub(super) fn ends(&self) -> [u64; Topic::ALL.len()] {
        let topics = self.topics.lock();
        std::array::from_fn(|i| topics[i].end)
    }

    /// Wakes up whenever something was committed.
    pub(super) fn commits(&self) -> watch::Receiver<()> {
        self.commits.subscribe()
    }

    /// Shows what was committed, in order, and wakes the tails.
    pub(super) fn show(&self, committed: Vec<(Topic, RawRecord)>) {
        {
            let mut topics = self.topics.lock();
            for (topic, record) in committed {
                topics[index(topic)].push(record, self.bytes_max);
            }
        }
        self.commits.send_replace(());
    }

    /// Takes over what the file says after a commit of unknown outcome.
    pub(super) fn set_ends(&self, ends: [u64; Topic::ALL.len()]) {
        {
            let mut topics = self.topics.lock();
            for (newest, end) in topics.iter_mut().zip(ends) {
                newest.set_end(end);
            }
        }
        self.commits.send_replace(());
    }

    /// At most this many records from this offset on; none if it is not here (any more).
    pub(super) fn from(&self, topic: Topic, offset: u64, records_max: usize) -> Vec<RawRecord> {
        let topics = self.topics.lock();
        let newest = &topics[index(topic)];
        let first = newest.end - newest.records.len() as u64;
        if offset < first || offset >= newest.end {
            return Vec::new();
        }
        let skipped = (offset - first) as usize;
        let shown = newest
            .records
            .len()
            .min(skipped.saturating_add(records_max));
        newest.records.range(skipped..shown).cloned().collect()
    }
}

impl Newest {
    fn push(&mut self, record: RawRecord, bytes_max: usize) {
        self.set_end(record.offset);
        self.end = record.offset + 1;
        self.bytes += bytes_of(&record);
        self.records.push_back(record);
        while self.bytes > bytes_max {
            let Some(oldest) = self.records.pop_front() else {
                break;
            };
            self.bytes -= bytes_of(&oldest);
        }
    }

    /// The records are consecutive up to the end: if that moved otherwise, they are let go.
    fn set_end(&mut self, end: u64) {
        if self.end != end {
            *self = Self {
                end,
                ..Self::default()
            };
        }
    }
}

fn bytes_of(record: &RawRecord) -> usize {
    size_of::<RawRecord>() + record.key.len() + record.payload.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64) -> RawRecord {
        RawRecord {
            offset,
            key: bytes::Bytes::from_static(b"k"),
            payload: bytes::Bytes::from_static(&[0; 100]),
        }
    }

    fn offsets(recent: &Recent, from: u64) -> Vec<u64> {
        let records = recent.from(Topic::Orders, from, 10);
        records.iter().map(|record| record.offset).collect()
    }

    #[test]
    fn old_records_are_let_go_when_the_bound_is_passed() {
        let recent = Recent::new(3 * bytes_of(&record(0)), [0; 5]);
        recent.show((0..5).map(|i| (Topic::Orders, record(i))).collect());
        assert_eq!(
            offsets(&recent, 1),
            [] as [u64; 0],
            "it has to be read from the file"
        );
        assert_eq!(offsets(&recent, 2), [2, 3, 4]);
        assert_eq!(offsets(&recent, 5), [] as [u64; 0]);
        assert_eq!(recent.ends()[index(Topic::Orders)], 5);
    }

    #[test]
    fn records_before_a_jump_of_the_end_are_let_go() {
        let recent = Recent::new(1 << 20, [0; 5]);
        recent.show(vec![(Topic::Orders, record(0))]);
        recent.set_ends([0, 3, 0, 0, 0]);
        assert_eq!(offsets(&recent, 0), [] as [u64; 0]);
        recent.show(vec![(Topic::Orders, record(3))]);
        assert_eq!(offsets(&recent, 3), [3]);
    }
}
