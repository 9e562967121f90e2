//! What the clients were told, written down as it happens: the promises are measured by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// An order that somebody was told is placed.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) key: String,
    /// SKU and units.
    pub(crate) lines: Vec<(String, u32)>,
    pub(crate) cancelled: bool,
}

/// One request and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// The idempotency key, or whom it was about.
    pub(crate) key: String,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    /// `None`: no answer, or a 503.
    pub(crate) status: Option<u16>,
    /// What was said, for whoever has to find out what went wrong.
    pub(crate) said: String,
}

impl Attempt {
    fn is_accepted(&self) -> bool {
        self.status.is_some_and(|status| status < 300)
    }
}

/// What everybody was told so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Told>);

#[derive(Debug, Default, Clone)]
pub(crate) struct Told {
    pub(crate) attempts: Vec<Attempt>,
    /// Intentions whose outcome is known.
    pub(crate) known: usize,
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) supplied: BTreeMap<String, u32>,
    pub(crate) registered: BTreeSet<String>,
    /// What should not have been said.
    pub(crate) wrong: Vec<String>,
}

impl Ledger {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    pub(crate) fn attempt(&self, attempt: Attempt) {
        self.told().attempts.push(attempt);
    }

    pub(crate) fn known(&self) {
        self.told().known += 1;
    }

    /// An order is placed. Told twice, as to a double click, it is the same.
    pub(crate) fn order(&self, id: String, order: Order) {
        let mut told = self.told();
        let Some(known) = told.orders.get(&id) else {
            told.orders.insert(id, order);
            return;
        };
        if known.key != order.key {
            let wrong = format!("two keys, one order {id}: {} and {}", known.key, order.key);
            told.wrong.push(wrong);
        }
    }

    pub(crate) fn cancelled(&self, id: &str) {
        if let Some(order) = self.told().orders.get_mut(id) {
            order.cancelled = true;
        }
    }

    pub(crate) fn supplied(&self, sku: &str, units: u32) {
        *self.told().supplied.entry(sku.to_owned()).or_default() += units;
    }

    pub(crate) fn registered(&self, email: String) {
        self.told().registered.insert(email);
    }

    pub(crate) fn wrong(&self, what: String) {
        self.told().wrong.push(what);
    }

    /// How many requests sent since then came to nothing.
    pub(crate) fn unanswered_since(&self, since: Instant) -> usize {
        let told = self.told();
        let unanswered = |it: &&Attempt| it.status.is_none() && it.sent >= since;
        told.attempts.iter().filter(unanswered).count()
    }

    /// Everything that was told.
    pub(crate) fn all(&self) -> Told {
        self.told().clone()
    }

    /// How many requests were sent with this key, or about this person.
    pub(crate) fn attempts(&self, key: &str) -> usize {
        let told = self.told();
        told.attempts.iter().filter(|it| it.key == key).count()
    }

    /// How many requests sent since then were accepted.
    pub(crate) fn accepted_since(&self, since: Instant) -> usize {
        let told = self.told();
        let since = |attempt: &&Attempt| attempt.is_accepted() && attempt.sent >= since;
        told.attempts.iter().filter(since).count()
    }
}

impl Told {
    /// Every request, for whoever has to find out what went wrong.
    pub(crate) fn history(&self) -> String {
        let first = self.attempts.iter().map(|it| it.sent).min();
        let line = |attempt: &Attempt| {
            let at = |moment: Instant| first.map_or(0, |it| moment.duration_since(it).as_millis());
            let (sent, answered) = (at(attempt.sent), at(attempt.answered));
            format!(
                "{sent} to {answered} ms: {}: {}\n",
                attempt.key, attempt.said
            )
        };
        self.attempts.iter().map(line).collect()
    }

    /// Requests by outcome: accepted, refused, neither.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let all = self.attempts.len();
        let accepted = self.attempts.iter().filter(|it| it.is_accepted()).count();
        let unanswered = self
            .attempts
            .iter()
            .filter(|it| it.status.is_none())
            .count();
        (accepted, all - accepted - unanswered, unanswered)
    }

    /// How long after a moment the first request was accepted that was sent after it.
    pub(crate) fn accepted_after(&self, moment: Instant) -> Option<Duration> {
        let later = |attempt: &&Attempt| attempt.is_accepted() && attempt.sent >= moment;
        let answered = self.attempts.iter().filter(later).map(|it| it.answered);
        Some(answered.min()?.duration_since(moment))
    }

    /// The longest time from this moment on in which nobody was told that something is done.
    pub(crate) fn longest_silence(&self, from: Instant) -> Duration {
        let accepted = self.attempts.iter().filter(|it| it.is_accepted());
        let mut at: Vec<_> = accepted
            .map(|it| it.answered)
            .filter(|it| *it >= from)
            .collect();
        at.sort_unstable();
        let since = [from].into_iter().chain(at.iter().copied());
        let silences = since.zip(&at).map(|(from, to)| to.duration_since(from));
        silences.max().unwrap_or_default()
    }

    /// Per SKU: supplied, available and held, as they have to be.
    pub(crate) fn stock(&self) -> BTreeMap<String, (i64, i64, i64)> {
        let mut stock: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
        for (sku, units) in &self.supplied {
            let units = i64::from(*units);
            stock.insert(sku.clone(), (units, units, 0));
        }
        for order in self.orders.values().filter(|order| !order.cancelled) {
            for (sku, units) in &order.lines {
                let (_, available, held) = stock.entry(sku.clone()).or_default();
                *available -= i64::from(*units);
                *held += i64::from(*units);
            }
        }
        stock
    }
}
