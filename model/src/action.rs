//! Every step that can be taken, and how people read it.

use std::fmt;

use crate::commands::{name, sku_name};
use crate::state::ATTEMPTS;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Begin {
        task: usize,
        server: usize,
        epoch: u8,
    },
    Load {
        task: usize,
        server: usize,
    },
    Decide {
        task: usize,
        server: usize,
    },
    DecideTogether {
        tasks: [usize; 2],
        server: usize,
    },
    CallTimesOut {
        task: usize,
    },
    LateCall {
        task: usize,
        server: usize,
    },
    Scan {
        task: usize,
        server: usize,
        record: usize,
    },
    Before {
        task: usize,
    },
    Append {
        task: usize,
    },
    ProduceTimesOut {
        task: usize,
    },
    Land {
        floating: usize,
    },
    ReadBack {
        task: usize,
    },
    Settle {
        task: usize,
        server: usize,
    },
    SettleTimesOut {
        task: usize,
    },
    LateSettle {
        task: usize,
        server: usize,
    },
    Look {
        recovery: usize,
    },
    Claim {
        recovery: usize,
        server: usize,
    },
    ClaimTimesOut {
        recovery: usize,
    },
    Fence {
        recovery: usize,
        partition: usize,
    },
    FenceTimesOut {
        recovery: usize,
        partition: usize,
    },
    Clear {
        recovery: usize,
        server: usize,
    },
    Identify {
        recovery: usize,
        server: usize,
    },
    Mark {
        recovery: usize,
        server: usize,
    },
    Rebuild {
        recovery: usize,
        server: usize,
        part: usize,
    },
    RebuildTimesOut {
        recovery: usize,
        part: usize,
    },
    LateRebuild {
        recovery: usize,
        server: usize,
        part: usize,
    },
    LoadScripts {
        recovery: usize,
        server: usize,
    },
    Publish {
        recovery: usize,
        server: usize,
    },
    PublishTimesOut {
        recovery: usize,
    },
    LatePublish {
        recovery: usize,
        server: usize,
    },
    Fault(Fault),
}

/// What happens to the services, and what only mutants do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Replicate,
    Promote,
    Split,
    Demote,
    Restart,
    RestartOlder,
    RestartEmpty,
    Flush,
    LoseValue {
        sku: usize,
    },
    NextGeneration,
    LeaderGoes {
        partition: usize,
    },
    /// Only the mutant that releases by time-out.
    Release {
        record: usize,
    },
    /// Only the mutant that prunes in an open epoch.
    Prune,
}

const PARTS: [&str; 2] = ["the SKUs' values", "versions, keys and claims"];

fn node(task: usize) -> String {
    if task < ATTEMPTS {
        format!("node {}", name(task))
    } else {
        "the completer".to_owned()
    }
}

fn redis(server: usize) -> char {
    ['A', 'B'][server]
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Begin {
                task,
                server,
                epoch,
            } => {
                write!(
                    f,
                    "{} takes epoch {epoch} of Redis {}",
                    node(task),
                    redis(server)
                )
            }
            Self::Load { task, server } => {
                write!(f, "{} loads on Redis {}", node(task), redis(server))
            }
            Self::Decide { task, server } => {
                write!(f, "{} decides on Redis {}", node(task), redis(server))
            }
            Self::DecideTogether {
                tasks: [one, other],
                server,
            } => write!(
                f,
                "{} and {} decide in one call on Redis {}",
                node(one),
                node(other),
                redis(server)
            ),
            Self::CallTimesOut { task } => {
                write!(
                    f,
                    "{}'s call of decide times out and stays under way",
                    node(task)
                )
            }
            Self::LateCall { task, server } => {
                write!(
                    f,
                    "a late call of {} runs on Redis {}",
                    node(task),
                    redis(server)
                )
            }
            Self::Scan { task, record, .. } => {
                write!(
                    f,
                    "{} finds the record of {} pending",
                    node(task),
                    name(record)
                )
            }
            Self::Before { task } => {
                write!(
                    f,
                    "{} puts a predecessor into the log and reads it back",
                    node(task)
                )
            }
            Self::Append { task } => write!(f, "{} appends, acknowledged", node(task)),
            Self::ProduceTimesOut { task } => {
                write!(f, "{}'s produce times out and stays under way", node(task))
            }
            Self::Land { .. } => f.write_str("a produce under way lands"),
            Self::ReadBack { task } => write!(f, "{} reads back", node(task)),
            Self::Settle { task, server } => {
                write!(f, "{} settles on Redis {}", node(task), redis(server))
            }
            Self::SettleTimesOut { task } => {
                write!(
                    f,
                    "{}'s call of settle times out and stays under way",
                    node(task)
                )
            }
            Self::LateSettle { task, server } => {
                write!(
                    f,
                    "a late settle of {} runs on Redis {}",
                    node(task),
                    redis(server)
                )
            }
            Self::Look { recovery } => {
                write!(f, "recovery {recovery} looks at the earlier claims")
            }
            Self::Claim { recovery, server } => {
                write!(f, "recovery {recovery} claims, for Redis {}", redis(server))
            }
            Self::ClaimTimesOut { recovery } => {
                write!(
                    f,
                    "recovery {recovery}'s claim lands, but it does not learn of it"
                )
            }
            Self::Fence {
                recovery,
                partition,
            } => {
                write!(f, "recovery {recovery} fences partition {partition}")
            }
            Self::FenceTimesOut {
                recovery,
                partition,
            } => write!(
                f,
                "recovery {recovery}'s fence of partition {partition} times out and stays under way"
            ),
            Self::Clear { recovery, server } => {
                write!(
                    f,
                    "recovery {recovery} deletes lower epochs on Redis {}",
                    redis(server)
                )
            }
            Self::Identify { recovery, server } => {
                write!(
                    f,
                    "recovery {recovery} reads the replid of Redis {}",
                    redis(server)
                )
            }
            Self::Mark { recovery, server } => {
                write!(
                    f,
                    "recovery {recovery} writes its marker on Redis {}",
                    redis(server)
                )
            }
            Self::Rebuild {
                recovery,
                server,
                part,
            } => write!(
                f,
                "recovery {recovery} writes {} on Redis {}",
                PARTS[part],
                redis(server)
            ),
            Self::RebuildTimesOut { recovery, part } => write!(
                f,
                "recovery {recovery}'s call with {} times out and stays under way",
                PARTS[part]
            ),
            Self::LateRebuild {
                recovery,
                server,
                part,
            } => write!(
                f,
                "a late call of recovery {recovery} writes {} on Redis {}",
                PARTS[part],
                redis(server)
            ),
            Self::LoadScripts { recovery, server } => {
                write!(
                    f,
                    "recovery {recovery} loads its scripts on Redis {}",
                    redis(server)
                )
            }
            Self::Publish { recovery, server } => {
                write!(
                    f,
                    "recovery {recovery} publishes on Redis {}",
                    redis(server)
                )
            }
            Self::PublishTimesOut { recovery } => {
                write!(
                    f,
                    "recovery {recovery}'s publish times out and stays under way"
                )
            }
            Self::LatePublish { recovery, server } => write!(
                f,
                "a late publish of recovery {recovery} runs on Redis {}",
                redis(server)
            ),
            Self::Fault(fault) => write!(f, "{fault}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replicate => f.write_str("the replica takes over what its master has"),
            Self::Promote => f.write_str("the master dies, the replica is promoted"),
            Self::Split => f.write_str("the replica is promoted, the old master goes on"),
            Self::Demote => f.write_str("the replica is promoted, the old master is demoted"),
            Self::Restart => f.write_str("Redis restarts with its data whole"),
            Self::RestartOlder => f.write_str("Redis restarts with an older file"),
            Self::RestartEmpty => f.write_str("Redis restarts empty"),
            Self::Flush => f.write_str("Redis is flushed"),
            Self::LoseValue { sku } => write!(f, "the value of {} is deleted", sku_name(*sku)),
            Self::NextGeneration => f.write_str("a generation of refusals is full"),
            Self::LeaderGoes { partition } => write!(
                f,
                "the leader of partition {partition} goes with what stood on too few replicas"
            ),
            Self::Release { record } => {
                write!(
                    f,
                    "the pending record of {} is released by time-out",
                    name(*record)
                )
            }
            Self::Prune => f.write_str("finished orders are pruned in the open epoch"),
        }
    }
}
