//! Scenarios about what Redis, Kafka and recoveries do.

use super::{NO_FAULTS, PLANNED, Scenario, scenario};
use crate::claims::Signs;
use crate::commands::{After, Kind, cancel, kind, order, supply};
use crate::state::Faults;

/// What Redis does.
pub(super) fn redis() -> Vec<Scenario> {
    let orders = || vec![order(0, 1).key(0), order(0, 1).key(0), order(0, 1)];
    let replica = |name, text, commands| Scenario {
        has_replica: true,
        reads_anywhere: true,
        ..scenario(name, text, commands)
    };
    vec![
        Scenario {
            faults: Faults {
                replicate: 1,
                restart: 1,
                restart_older: 1,
                ..NO_FAULTS
            },
            ..replica(
                "restart",
                "an order, its retry, another one; Redis restarts whole and with an older file",
                orders(),
            )
        },
        Scenario {
            faults: Faults {
                replicate: 1,
                promote: 1,
                ..NO_FAULTS
            },
            ..replica(
                "failover",
                "an order, its retry, another one; the replica takes over with lost writes",
                orders(),
            )
        },
        Scenario {
            faults: Faults {
                replicate: 2,
                demote: 2,
                ..NO_FAULTS
            },
            ..replica(
                "failback",
                "an order, its retry, another one; the master is demoted and promoted again",
                orders(),
            )
        },
        Scenario {
            faults: Faults {
                replicate: 2,
                promote: 1,
                ..NO_FAULTS
            },
            ..replica(
                "replica-reads",
                "a registration and a log-in that may read on the replica, which takes over",
                vec![
                    kind(Kind::Register),
                    kind(Kind::LogIn { user: 0 }).after(After::Answered(0)),
                ],
            )
        },
        Scenario {
            faults: Faults {
                replicate: 1,
                split: 1,
                ..NO_FAULTS
            },
            ..replica(
                "split",
                "an order, its cancellation, another one; two masters serve at once",
                vec![order(0, 1).key(0), cancel(0), order(0, 1).key(2)],
            )
        },
        Scenario {
            recoveries: 2,
            faults: Faults {
                flush: 1,
                restart_empty: 1,
                ..NO_FAULTS
            },
            ..scenario(
                "flush",
                "an order and its retry; Redis is flushed and restarts empty, two recoveries",
                vec![order(0, 1).key(0), order(0, 1).key(0)],
            )
        },
        Scenario {
            faults: Faults {
                lose_value: 1,
                ..NO_FAULTS
            },
            ..scenario(
                "damage",
                "an order, its cancellation, another one; a SKU's value is deleted",
                vec![order(0, 1), cancel(0), order(0, 1).key(2)],
            )
        },
    ]
}

/// What recoveries do to each other.
pub(super) fn recovery() -> Vec<Scenario> {
    let two = Faults {
        planned: 2,
        ..NO_FAULTS
    };
    vec![
        Scenario {
            partitions: 2,
            faults: PLANNED,
            ..scenario(
                "two-partitions",
                "orders and supply on two partitions, an epoch change",
                vec![order(0, 1).key(0), order(0, 1).key(0), supply(0, 1)],
            )
        },
        Scenario {
            recoveries: 2,
            faults: two,
            ..scenario(
                "recoveries",
                "an order and its retry, two epoch changes at once",
                vec![order(0, 1).key(0), order(0, 1).key(0)],
            )
        },
        Scenario {
            recoveries: 2,
            faults: two,
            ..scenario(
                "overtaken",
                "an order, its retry and another order, two epoch changes at once",
                vec![order(0, 1).key(0), order(0, 1).key(0), order(0, 1)],
            )
        },
        Scenario {
            recoveries: 2,
            faults: Faults { rebuild: 1, ..two },
            ..scenario(
                "lost-replies",
                "an order and its retry, two epoch changes at once, a call of theirs without an answer",
                vec![order(0, 1).key(0), order(0, 1).key(0)],
            )
        },
        Scenario {
            has_replica: true,
            faults: Faults {
                replicate: 1,
                promote: 1,
                ..PLANNED
            },
            ..scenario(
                "failover-in-recovery",
                "an order and its retry, an epoch change, a failover at any of its steps",
                vec![order(0, 1).key(0), order(0, 1).key(0)],
            )
        },
        Scenario {
            recoveries: 2,
            partitions: 2,
            old_node: Some(1),
            faults: two,
            ..scenario(
                "interface",
                "orders; a new node recovers with a topic that an old node does not know, and the old \
                 one recovers too",
                vec![order(0, 1).key(0), order(0, 1).key(1)],
            )
        },
    ]
}

/// Tails, leaders, pruning.
pub(super) fn rest() -> Vec<Scenario> {
    vec![
        Scenario {
            positions: true,
            stock: [Some(2), None],
            recoveries: 2,
            faults: Faults {
                fence: 1,
                planned: 2,
                ..NO_FAULTS
            },
            ..scenario(
                "positions",
                "an order, tails that start late, a fence that lands twice, two epoch changes",
                vec![order(0, 1), order(0, 1)],
            )
        },
        Scenario {
            positions: true,
            completes: true,
            faults: PLANNED,
            ..scenario(
                "late-start",
                "an order that another node completes, tails that start late, an epoch change",
                vec![order(0, 1), order(0, 1)],
            )
        },
        Scenario {
            faults: Faults {
                claim: 1,
                fence: 1,
                produce: 1,
                ..PLANNED
            },
            ..scenario(
                "fences",
                "an order and its retry, a claim, a fence and a record that land late or twice, an epoch change",
                vec![order(0, 1).key(0), order(0, 1).key(0)],
            )
        },
        Scenario {
            faults: Faults {
                produce: 2,
                leader: 1,
                ..PLANNED
            },
            ..scenario(
                "leader",
                "an order, records on too few replicas, a leader that goes, an epoch change",
                vec![order(0, 1)],
            )
        },
        Scenario {
            prunes: true,
            stock: [Some(2), None],
            recoveries: 2,
            faults: Faults {
                call: 1,
                planned: 2,
                ..NO_FAULTS
            },
            ..scenario(
                "prune",
                "an order, its cancellation, the same key again after it was pruned",
                vec![
                    order(0, 1).key(0),
                    cancel(0),
                    order(0, 1).key(0).after(After::Epoch(2)),
                ],
            )
        },
        Scenario {
            prunes: true,
            stock: [Some(0), None],
            faults: PLANNED,
            ..scenario(
                "prune-items",
                "an item is discontinued, and somebody creates its SKU again",
                vec![
                    kind(Kind::Discontinue { sku: 0 }),
                    kind(Kind::Create { sku: 0 }),
                ],
            )
        },
        Scenario {
            claims: Some(Signs::MayBeLost),
            ..scenario(
                "duel",
                "two sides of a split that claim in turn, signs of life that get lost",
                Vec::new(),
            )
        },
        Scenario {
            claims: Some(Signs::Arrive),
            ..scenario(
                "signs",
                "two sides of a split, signs of life that arrive",
                Vec::new(),
            )
        },
        Scenario {
            recoveries: 2,
            full: true,
            partitions: 2,
            spreads: true,
            faults: Faults {
                planned: 2,
                produce: 1,
                ..NO_FAULTS
            },
            ..scenario(
                "spread-wide",
                "an order, its cancellation, another order, on two partitions, two epoch changes, a \
                 produce that times out",
                vec![order(0, 1), cancel(0), order(0, 1)],
            )
        },
        Scenario {
            recoveries: 2,
            full: true,
            faults: Faults {
                planned: 2,
                call: 1,
                settle: 1,
                ..NO_FAULTS
            },
            ..scenario(
                "retry-wide",
                "an order and its retry, two epoch changes, calls that time out",
                vec![order(0, 1).key(0), order(0, 1).key(0)],
            )
        },
    ]
}
