//! THE COMMIT PROTOCOL, MODEL-CHECKED: every schedule of a few commands, recoveries and faults is
//! tried, and every rule of the protocol is left out once to see which promise it keeps.
//!
//! In: the rules of the protocol ([`rules`]) and small scenarios ([`scenario`]). Out: for each
//! scenario, that the promises hold in every state within its bounds; for each mutant, the shortest
//! history that breaks one. The model is written from PROTOCOL.md and shares no code
//! with the program, so that a rule that was misread here or there shows as a difference.
//!
//! # What is modelled
//! - **Nodes** that die or pause at any instruction: each command, completion and recovery is a task
//!   on a node of its own, and one that takes no further step is a dead or paused node ([`state`]).
//! - **Redis**: masters and replicas with the data of each epoch, scripts and replication ids; a
//!   restart, also with an older file, a flush, a failover with lost writes, a failback, two masters
//!   at once, a lost value ([`faults`]); the scripts themselves ([`gate`]).
//! - **Kafka**: partitions of records and fences, produces that land later, twice or never, leaders
//!   that go with what stood on too few replicas ([`log`], [`commit`]).
//! - **Messages**: any call of decide, settle, rebuild or publish may be lost, repeated or late.
//! - **Commands** of every kind, with and without keys, on two SKUs and two partitions, alone or in
//!   one call ([`commands`]), and their steps ([`task`], [`commit`]); **recoveries** ([`recovery`]).
//!
//! # What is asked of every state
//! S1 to S5, and that the system can be put in order again from there ([`promises`]). (S5 of attempts
//! in every epoch; where two masters serve at once, in the same or an earlier one.)
//!
//! # Abstractions, each argued where it stands
//! A reply arrives in the step in which the call runs; a fence or predecessor is read back in the
//! step in which it lands; tails have no position, for what they find is decided by the log's order;
//! a copy that would be a duplicate to everyone is not written. No other reduction is used.
//!
//! # What is not modelled
//! Time, but for claims: back-off, bounds on waiting. Bytes: sizes, encodings, script errors, memory
//! limits. Bounds: four commands, three epochs, two recoveries, two servers, and each scenario's own
//! budget of faults.
//!
//! # What has no mutant
//! The model keeps these always, or knows nothing of them, so it does not show what they are for:
//! - Decide: the order of its checks, but that the key comes first; the terms version compared of a
//!   refusal, too; the fingerprint of a remembered refusal; a compare-and-set of stock; the same ids
//!   when a call is repeated (other ids are what M32 leaves out); epoch, hashes and generation taken
//!   together (a generation taken later is what M38 leaves out); a bound on tries.
//! - A command that changes nothing; a record that the broker refuses for good; how many calls of a
//!   command "unavailable" speaks of, but of decide's.
//! - Settle: sent at once where others wait for it, and the answer that waits for it; before the
//!   successor is appended. Completion: only what two scans found.
//! - Claims: never on a replica; the base of the numbers; that a living epoch resets the wait;
//!   `Opened`, but that claims without it lengthen the wait; the look at all claims before an open
//!   epoch is adopted.
//! - A request that waits for an epoch: here it begins with one.
//! - Rebuilds: from snapshots; room in Redis; taking back what an overtaken one wrote; gate data that
//!   cannot be read, but a missing value.
//! - The retention of keys, and pruning by it: here a cancelled order's key is past it.
//! - Projectors, but that a checkpoint holds the highest fence.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod action;
mod answer;
mod claims;
mod commands;
mod commit;
mod explore;
mod faults;
mod gate;
mod history;
mod log;
mod promises;
mod protocol;
mod recovery;
mod report;
mod rules;
mod scenario;
mod state;
mod task;

#[derive(Parser)]
#[command(about = "Explores the commit protocol and its mutants")]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every scenario, then every mutant
    All {
        /// The larger scenarios too
        #[arg(long)]
        full: bool,
        /// Under each mutant its shortest history
        #[arg(long)]
        histories: bool,
    },
    /// One mutant and its shortest history
    Rule {
        /// Such as M01
        id: String,
        /// In another scenario than its own
        #[arg(long)]
        scenario: Option<String>,
        /// The shortest history that breaks this promise, such as S1
        #[arg(long)]
        promise: Option<String>,
    },
    /// One scenario of the whole protocol
    Scenario {
        /// Its name
        name: String,
    },
    /// What there is
    List,
}

fn main() -> ExitCode {
    let holds = match Cli::parse().what {
        What::All { full, histories } => Ok(report::all(full, histories)),
        What::Rule {
            id,
            scenario,
            promise,
        } => report::rule(&id, scenario.as_deref(), promise.as_deref()),
        What::Scenario { name } => report::scenario(&name),
        What::List => {
            report::list();
            Ok(true)
        }
    };
    match holds {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("model: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promises::Promise;
    use crate::rules::{ROWS, Rule};

    fn broken_without(rule: Rule) -> Option<Promise> {
        let row = ROWS.iter().find(|row| row.rule == rule).unwrap();
        let explored = report::explore_row(row).unwrap();
        explored.broken.map(|it| it.promise)
    }

    #[test]
    fn the_promises_hold_in_the_smallest_scenarios() {
        for name in ["spread", "flush", "leader", "interface"] {
            let explored = explore::explore(&report::find(name).unwrap(), &[]);
            assert!(explored.finished && explored.broken.is_none(), "{name}");
        }
    }

    #[test]
    fn answering_before_the_read_back_loses_an_acknowledged_order() {
        assert_eq!(broken_without(Rule::ReadsBack), Some(Promise::NothingLost));
    }

    #[test]
    fn stock_freed_when_a_cancellation_is_decided_is_oversold() {
        assert_eq!(
            broken_without(Rule::FreesAtSettle),
            Some(Promise::NeverOversold)
        );
    }

    #[test]
    fn settling_before_the_read_back_oversells() {
        assert_eq!(
            broken_without(Rule::SettlesAfterReadBack),
            Some(Promise::NeverOversold)
        );
    }

    #[test]
    fn a_recovery_without_fences_breaks_a_promise() {
        assert!(broken_without(Rule::Fences).is_some());
    }

    #[test]
    fn a_release_by_time_out_breaks_a_promise() {
        assert!(broken_without(Rule::NothingReleasedByTimeOut).is_some());
    }

    #[test]
    fn every_row_has_its_number_and_a_scenario_that_is_always_explored() {
        for (number, row) in ROWS.iter().enumerate() {
            assert_eq!(row.id, format!("M{:02}", number + 1));
            assert!(!report::find(row.scenario).unwrap().full, "{}", row.id);
        }
    }
}
