//! What projectors say of themselves, for `/readyz`, `/metrics` and those who wait for them.

use std::collections::BTreeMap;
use std::error::Error;

use event_log::Extent;
use record::Partition;

use crate::fold::Mark;

/// Counts records that were taken in.
pub const RECORDS: &str = "holdfast_projector_records_total";
/// Records of a partition that are not in the rows yet; no number while that is not known.
pub const LAG: &str = "holdfast_projector_lag_records";

/// How one partition is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition.
    pub partition: Partition,
    /// The offset that comes next; `None` before the first look at the checkpoint.
    pub next_offset: Option<u64>,
    /// The log's end; `None` when it does not say.
    pub end_offset: Option<u64>,
    /// Why it does not go on, if it does not.
    pub error: Option<String>,
}

impl PartitionStatus {
    /// Records that are not in the rows yet. `None` where that is not known, above all where the
    /// checkpoint is not in the log: that is never 0.
    pub fn lag(&self) -> Option<u64> {
        self.end_offset?.checked_sub(self.next_offset?)
    }

    /// Whether it goes on and has nothing left to take in.
    pub fn is_caught_up(&self) -> bool {
        self.error.is_none() && self.lag() == Some(0)
    }

    pub(crate) fn record_metrics(&self) {
        let lag = self.lag().filter(|lag| *lag > 0 || self.error.is_none());
        let lag = lag.map_or(f64::NAN, |lag| lag as f64);
        let topic = self.partition.topic.as_str();
        let number = self.partition.number.to_string();
        metrics::gauge!(LAG, "topic" => topic, "partition" => number).set(lag);
    }
}

/// What is known of every partition.
#[derive(Debug, Default)]
pub(crate) struct States(BTreeMap<Partition, State>);

#[derive(Debug, Default)]
struct State {
    next_offset: Option<u64>,
    error: Option<String>,
    stopped: bool,
}

impl States {
    pub(crate) fn new(partitions: &[Partition]) -> Self {
        let state = |partition: &Partition| (*partition, State::default());
        Self(partitions.iter().map(state).collect())
    }

    /// Partitions are at these marks, so whatever was wrong is over; but one that stood still is
    /// only mended once it goes on.
    pub(crate) fn reached(&mut self, marks: &BTreeMap<Partition, Mark>) {
        for (partition, mark) in marks {
            let Some(state) = self.0.get_mut(partition) else {
                continue;
            };
            let next_offset = Some(mark.next_offset);
            if !(state.stopped && state.next_offset == next_offset) {
                *state = State {
                    next_offset,
                    ..State::default()
                };
            }
        }
    }

    /// Something is wrong that may pass.
    pub(crate) fn fail(&mut self, partitions: &[Partition], why: &str) {
        for partition in partitions {
            if let Some(state) = self.0.get_mut(partition) {
                state.error = Some(why.to_owned());
            }
        }
    }

    /// The same, for all.
    pub(crate) fn fail_all(&mut self, why: &str) {
        for state in self.0.values_mut().filter(|state| !state.stopped) {
            state.error = Some(why.to_owned());
        }
    }

    /// A partition stands still for good.
    pub(crate) fn stop(&mut self, partition: Partition, why: &str) {
        if let Some(state) = self.0.get_mut(&partition) {
            state.error = Some(why.to_owned());
            state.stopped = true;
        }
    }

    /// Why a partition stands still for good, if one does.
    pub(crate) fn stopped(&self) -> Option<&str> {
        let stopped = self.0.values().find(|state| state.stopped)?;
        stopped.error.as_deref()
    }

    pub(crate) fn have_reached(&self, ends: &BTreeMap<Partition, u64>) -> bool {
        ends.iter().all(|(partition, end)| {
            let state = self.0.get(partition);
            state.and_then(|state| state.next_offset) >= Some(*end)
        })
    }

    pub(crate) fn measured(&self, extents: &[(Partition, Option<Extent>)]) -> Vec<PartitionStatus> {
        let one = |(partition, extent): &(Partition, Option<Extent>)| {
            let state = self.0.get(partition);
            PartitionStatus {
                partition: *partition,
                next_offset: state.and_then(|state| state.next_offset),
                end_offset: extent.map(|extent| extent.end),
                error: state.and_then(|state| state.error.clone()),
            }
        };
        extents.iter().map(one).collect()
    }
}

/// An error with its causes, as one sentence.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.ends_with(&text) {
            sentence.push_str(": ");
            sentence.push_str(&text);
        }
        cause = error.source();
    }
    sentence
}

#[cfg(test)]
mod tests {
    use record::reader::HighestFence;

    use super::*;

    const PARTITION: Partition = Partition::USER_KEYS;

    fn mark(next_offset: u64) -> BTreeMap<Partition, Mark> {
        let highest_fence = HighestFence::default();
        let mark = Mark {
            next_offset,
            highest_fence,
        };
        BTreeMap::from([(PARTITION, mark)])
    }

    fn status(states: &States, end: u64) -> PartitionStatus {
        let extent = Extent { start: 0, end };
        states.measured(&[(PARTITION, Some(extent))]).remove(0)
    }

    #[test]
    fn a_partition_that_stands_still_is_mended_only_when_it_goes_on() {
        let mut states = States::new(&[PARTITION]);
        states.reached(&mark(5));
        states.stop(PARTITION, "a gap");
        states.reached(&mark(5));
        assert_eq!(states.stopped(), Some("a gap"));
        states.reached(&mark(6));
        assert_eq!(states.stopped(), None);
        assert!(status(&states, 6).is_caught_up());
    }

    #[test]
    fn an_error_that_passed_is_forgotten() {
        let mut states = States::new(&[PARTITION]);
        states.fail(&[PARTITION], "no answer");
        assert_eq!(status(&states, 5).error.as_deref(), Some("no answer"));
        states.reached(&mark(5));
        assert!(status(&states, 5).is_caught_up());
    }

    #[test]
    fn what_is_not_known_is_no_lag_of_0() {
        let mut states = States::new(&[PARTITION]);
        assert_eq!(status(&states, 5).lag(), None);
        states.reached(&mark(9));
        assert_eq!(status(&states, 5).lag(), None);
        assert_eq!(status(&states, 11).lag(), Some(2));
    }
}
