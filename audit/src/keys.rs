//! Idempotency keys: at most one effect each, within their retention.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::checks::Check;
use crate::place::Place;
use crate::report::Findings;

/// A key as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// 32 hexadecimal digits, as the program writes them.
    Hash(Uuid),
    /// Anything else.
    Text(Box<str>),
}

impl Key {
    pub(crate) fn read(text: &str) -> Self {
        let spelled = text.len() == 32 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match Uuid::try_parse(text) {
            Ok(hash) if spelled => Self::Hash(hash),
            _ => Self::Text(text.into()),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(hash) => write!(f, "key {}", hash.simple()),
            Self::Text(text) => write!(f, "key {text}"),
        }
    }
}

/// An effect of a key; effects of one key are in order of epochs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) key: Key,
    pub(crate) epoch: u64,
    pub(crate) place: Place,
    pub(crate) time: i64,
}

/// The newest time of a record in every epoch.
pub(crate) type Newest = BTreeMap<u64, i64>;

/// All effects of all keys, in order of the keys.
#[derive(Debug, Default)]
pub(crate) struct Keys(Vec<Use>);

impl Keys {
    /// Takes more of them in. Both lists are sorted, so that this only merges.
    pub(crate) fn add(&mut self, more: &mut Vec<Use>) {
        self.0.append(more);
        self.0.sort();
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        let again = self.0.windows(2).filter(|pair| pair[0].key == pair[1].key);
        self.0.len() - again.count()
    }

    /// A key may have another effect only in a later epoch, whose rebuild found the one before
    /// older than the retention, counted from the newest record then in the log.
    pub(crate) fn check(&self, newest: &Newest, retention: Duration, findings: &mut Findings) {
        let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        findings.looked_at(Check::Keys, self.0.len() as u64);
        for pair in self.0.windows(2) {
            let [first, second] = pair else { continue };
            if first.key != second.key {
                continue;
            }
            let before = newest.range(..second.epoch).map(|(_, time)| *time);
            let forgotten = before
                .max()
                .is_some_and(|newest| first.time < newest.saturating_sub(retention));
            if !forgotten {
                let found = format!(
                    "It has effects at {} (epoch {}) and at {} (epoch {}).",
                    first.place, first.epoch, second.place, second.epoch
                );
                findings.broken(Check::Keys, second.key.to_string(), second.place, found);
            }
        }
    }
}
