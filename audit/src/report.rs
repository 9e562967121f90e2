//! What an audit tells: one verdict per check, and the places where one broke.

use std::fmt;

use serde::Serialize;

use crate::checks::Check;
use crate::place::Place;

/// How many differences of one check are kept; all are counted.
const DIFFERENCES_KEPT: usize = 1_000;

/// The outcome of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether no check is broken.
    pub ok: bool,
    /// What was read.
    pub counts: Counts,
    /// Every check, in the order of [`Check::ALL`].
    pub checks: Vec<CheckReport>,
}

/// What was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Entries of the log, of any kind.
    pub entries: u64,
    /// Partitions that had some.
    pub partitions: u64,
    /// Fences, late copies included.
    pub fences: u64,
    /// Epochs that had a fence.
    pub epochs: u64,
    /// Records that count.
    pub valid: u64,
    /// Records of an epoch that was over.
    pub void: u64,
    /// Second copies.
    pub duplicates: u64,
    /// Orders placed.
    pub orders: u64,
    /// Items created.
    pub items: u64,
    /// Idempotency keys.
    pub keys: u64,
}

impl Counts {
    /// Adds what was counted within a partition.
    pub(crate) fn add(&mut self, of: &Self) {
        self.entries += of.entries;
        self.fences += of.fences;
        self.valid += of.valid;
        self.void += of.void;
    }
}

/// The verdict of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Which one.
    pub check: Check,
    /// What holds if it is ok.
    pub says: &'static str,
    /// Whether it holds.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How many things were looked at.
    pub looked_at: u64,
    /// How many differ.
    pub broken: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// Whether a check holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It does.
    Ok,
    /// It does not.
    Broken,
    /// It was not looked at.
    NotChecked {
        /// Why.
        because: &'static str,
    },
}

/// One place where a check is broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The SKU, order, record, key or partition.
    pub about: String,
    /// The entry since which it is so, or, of a gate or a read model, the newest one that the log's
    /// side comes from; where one can be named.
    #[serde(serialize_with = "as_text")]
    pub since: Option<Place>,
    /// What was found, in a sentence.
    pub found: String,
    /// What to do about it.
    pub mend: &'static str,
}

fn as_text<S: serde::Serializer>(place: &Option<Place>, serializer: S) -> Result<S::Ok, S::Error> {
    place.map(|place| place.to_string()).serialize(serializer)
}

/// Collects what is found on the way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// By the check's number.
    of: [Found; Check::ALL.len()],
}

#[derive(Debug, Clone, Default)]
struct Found {
    looked_at: u64,
    broken: u64,
    not_checked: Option<&'static str>,
    differences: Vec<Difference>,
}

impl Findings {
    /// One more thing was looked at.
    pub(crate) fn looked(&mut self, check: Check) {
        self.looked_at(check, 1);
    }

    /// So many more things were looked at.
    pub(crate) fn looked_at(&mut self, check: Check, things: u64) {
        self.of[check as usize].looked_at += things;
    }

    /// What another part of the log showed comes behind what is here.
    pub(crate) fn add(&mut self, more: &Self) {
        for (of, more) in self.of.iter_mut().zip(&more.of) {
            of.looked_at += more.looked_at;
            of.broken += more.broken;
            of.not_checked = of.not_checked.or(more.not_checked);
            let room = DIFFERENCES_KEPT - of.differences.len();
            let differences = more.differences.iter().take(room);
            of.differences.extend(differences.cloned());
        }
    }

    /// A check is broken.
    pub(crate) fn broken(
        &mut self,
        check: Check,
        about: impl Into<String>,
        since: impl Into<Option<Place>>,
        found: impl Into<String>,
    ) {
        let of = &mut self.of[check as usize];
        of.broken += 1;
        if of.differences.len() < DIFFERENCES_KEPT {
            of.differences.push(Difference {
                about: about.into(),
                since: since.into(),
                found: found.into(),
                mend: check.mend(),
            });
        }
    }

    /// A check could not be made.
    pub(crate) fn not_checked(&mut self, check: Check, because: &'static str) {
        self.of[check as usize].not_checked = Some(because);
    }

    pub(crate) fn report(mut self, counts: Counts, differences_max: usize) -> Report {
        let checks = Check::ALL.map(|check| {
            let mut found = std::mem::take(&mut self.of[check as usize]);
            found.differences.truncate(differences_max);
            CheckReport {
                check,
                says: check.says(),
                outcome: match found.not_checked {
                    _ if found.broken > 0 => Outcome::Broken,
                    Some(because) => Outcome::NotChecked { because },
                    None => Outcome::Ok,
                },
                looked_at: found.looked_at,
                broken: found.broken,
                differences: found.differences,
            }
        });
        Report {
            ok: checks.iter().all(|check| check.broken == 0),
            counts,
            checks: checks.into(),
        }
    }
}

impl Report {
    /// The verdict of one check.
    pub fn of(&self, check: Check) -> Option<&CheckReport> {
        self.checks.iter().find(|report| report.check == check)
    }

    /// The checks that are broken.
    pub fn broken(&self) -> impl Iterator<Item = &CheckReport> {
        self.checks.iter().filter(|report| report.broken > 0)
    }
}

impl fmt::Display for Report {
    /// A table of the checks, then every kept difference with what mends it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts {
            entries,
            partitions,
            fences,
            epochs,
            valid,
            void,
            duplicates,
            orders,
            items,
            keys,
        } = self.counts;
        writeln!(
            f,
            "{entries} entries in {partitions} partitions: {valid} valid records, {void} void, \
             {duplicates} duplicates, {fences} fences of {epochs} epochs"
        )?;
        writeln!(
            f,
            "{orders} orders, {items} items, {keys} idempotency keys\n"
        )?;
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        for check in self.broken() {
            writeln!(f, "\n{}: {} broken", check.check.name(), check.broken)?;
            for difference in &check.differences {
                writeln!(f, "  {difference}")?;
            }
            let more = check.broken - check.differences.len() as u64;
            if more > 0 {
                writeln!(f, "  … and {more} more")?;
            }
            writeln!(f, "  To mend it: {}", check.check.mend())?;
        }
        let verdict = if self.ok {
            "\nEvery promise that was checked holds."
        } else {
            "\nA PROMISE IS BROKEN."
        };
        writeln!(f, "{verdict}")
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, count) = match &self.outcome {
            Outcome::Ok => ("ok", self.looked_at.to_string()),
            Outcome::Broken => ("BROKEN", format!("{} of {}", self.broken, self.looked_at)),
            Outcome::NotChecked { .. } => ("-", "-".to_owned()),
        };
        let name = self.check.name();
        write!(f, "{name:<13} {verdict:<7} {count:>14}  {}", self.says)?;
        match &self.outcome {
            Outcome::NotChecked { because } => write!(f, " — not checked: {because}"),
            Outcome::Ok | Outcome::Broken => Ok(()),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.about)?;
        if let Some(since) = self.since {
            write!(f, ", since {since}")?;
        }
        write!(f, ": {}", self.found)
    }
}
