//! What a row of the read models says, as one number: log and rows are compared without keeping
//! the text of either.
//!
//! The numbers are FNV hashes. They find what was changed by a mistake or by hand, and not the
//! work of somebody who looks for another text with the same number.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};

use fnv::FnvHasher;
use serde::Deserialize;

use crate::body::{Actor, Line, Money};
use crate::evidence::LedgerEntry;
use crate::time;

/// What an order's lines, its total and its history say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderDigest(u64);

/// A step of an order's history.
#[derive(Debug, Hash)]
pub(crate) struct Step<'a> {
    pub(crate) version: u64,
    /// Microseconds since 1970.
    pub(crate) at: i64,
    pub(crate) actor: Actor<'a>,
    pub(crate) kind: &'a str,
    pub(crate) reason: Option<&'a str>,
}

/// A step as a row has it.
#[derive(Deserialize)]
struct StepJson<'a> {
    version: u64,
    at: &'a str,
    #[serde(borrow)]
    actor: Actor<'a>,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

impl OrderDigest {
    /// Of a row: the JSON of its lines, its total and its currency, and the JSON of its history.
    /// `None` where one cannot be read.
    pub fn of_row(lines: &str, total: i64, currency: &str, history: &str) -> Option<Self> {
        let mut digest = Self::of_lines(lines, total, currency)?;
        let history: Vec<StepJson<'_>> = serde_json::from_str(history).ok()?;
        for step in &history {
            digest = digest.after(&Step {
                version: step.version,
                at: time::microseconds(step.at)?,
                actor: step.actor,
                kind: step.kind,
                reason: step.reason.as_deref(),
            });
        }
        Some(digest)
    }

    /// Of an order as it was placed, without its history: the JSON of its lines, its total and its
    /// currency. `None` where one cannot be read.
    pub fn of_lines(lines: &str, total: i64, currency: &str) -> Option<Self> {
        let lines: Vec<Line<'_>> = serde_json::from_str(lines).ok()?;
        let (amount, currency) = (total, currency.try_into().ok()?);
        Some(Self::new(&lines, Money { amount, currency }))
    }

    /// Of an order without a history yet.
    pub(crate) fn new(lines: &[Line<'_>], total: Money) -> Self {
        Self(digest(&(lines, total)))
    }

    /// Of the order after one more step.
    pub(crate) fn after(self, step: &Step<'_>) -> Self {
        Self(digest(&(self.0, step)))
    }
}

/// What an entry of the stock ledger says; of many, the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct EntryDigest(u64);

impl EntryDigest {
    pub(crate) fn new(entry: &LedgerEntry<'_>) -> Self {
        Self(digest(entry))
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

fn digest(what: &impl Hash) -> u64 {
    let mut hasher = FnvHasher::default();
    what.hash(&mut hasher);
    hasher.finish()
}
