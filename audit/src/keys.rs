//! Idempotency keys: at most one effect each, within their retention.

use std::collections::BTreeMap;
use std::time::Duration;

use fnv::FnvHashMap;

use crate::body::Body;
use crate::checks::Check;
use crate::entry::Entry;
use crate::place::Place;
use crate::report::Findings;

/// Every key that was used, and the newest time of every epoch.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    first: FnvHashMap<Box<str>, Use>,
    /// Later uses; judged at the end, when the times of all epochs are known.
    again: BTreeMap<Box<str>, Vec<Use>>,
    newest: BTreeMap<u64, i64>,
}

#[derive(Debug, Clone, Copy)]
struct Use {
    place: Place,
    epoch: u64,
    time: i64,
}

impl Keys {
    pub(crate) fn take_in(
        &mut self,
        entry: &Entry<'_>,
        body: &Body<'_>,
        place: Place,
        findings: &mut Findings,
    ) {
        let newest = self.newest.entry(entry.epoch).or_insert(body.time);
        *newest = body.time.max(*newest);
        let Some(key) = &body.key else {
            return;
        };
        findings.looked(Check::Keys);
        let this = Use {
            place,
            epoch: entry.epoch,
            time: body.time,
        };
        if self.first.contains_key(key.key) {
            self.again.entry(key.key.into()).or_default().push(this);
        } else {
            self.first.insert(key.key.into(), this);
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.first.len()
    }

    /// A key may have another effect only in a later epoch, whose rebuild found the one before
    /// older than the retention, counted from the newest record then in the log.
    pub(crate) fn finish(&self, retention: Duration, findings: &mut Findings) {
        let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        for (key, again) in &self.again {
            let mut uses = again.clone();
            uses.extend(self.first.get(key));
            uses.sort_by_key(|this| (this.epoch, this.place));
            for pair in uses.windows(2) {
                let [first, second] = pair else { continue };
                let before = self.newest.range(..second.epoch).map(|(_, time)| *time);
                let forgotten = before
                    .max()
                    .is_some_and(|newest| first.time < newest.saturating_sub(retention));
                if !forgotten {
                    let found = format!(
                        "It has effects at {} (epoch {}) and at {} (epoch {}).",
                        first.place, first.epoch, second.place, second.epoch
                    );
                    findings.broken(Check::Keys, format!("key {key}"), second.place, found);
                }
            }
        }
    }
}
