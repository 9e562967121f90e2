//! Scenarios about what clients ask for.

use super::{NO_FAULTS, PLANNED, Scenario, scenario};
use crate::commands::{After, Command, Kind, cancel, kind, lines, order, supply};
use crate::state::Faults;

/// Commands of every kind, beside an epoch change.
pub(super) fn commands() -> Vec<Scenario> {
    let update = |sku| kind(Kind::Reprice { sku });
    vec![
        Scenario {
            completes: true,
            faults: Faults {
                produce: 1,
                ..PLANNED
            },
            ..scenario(
                "order",
                "two orders of the last unit, a produce that times out, completion, an epoch change",
                vec![order(0, 1).key(0), order(0, 1).key(1)],
            )
        },
        Scenario {
            faults: Faults {
                settle: 1,
                produce: 1,
                ..PLANNED
            },
            ..scenario(
                "cancel",
                "an order, its cancellation, another order of the unit, a settle and a produce that \
                 time out, an epoch change",
                vec![order(0, 1), cancel(0), order(0, 1)],
            )
        },
        Scenario {
            stock: [Some(0), None],
            faults: Faults {
                call: 1,
                settle: 1,
                ..PLANNED
            },
            ..scenario(
                "supply",
                "supply without a key, an order of it, a call and a settle that time out, an epoch \
                 change",
                vec![supply(0, 1), order(0, 1), supply(0, -1)],
            )
        },
        Scenario {
            faults: PLANNED,
            ..scenario(
                "chain",
                "an order and two cancellations of it, that see each other pending, an epoch change",
                vec![
                    order(0, 1),
                    cancel(0).after(After::Begun(0)),
                    cancel(0).after(After::Begun(0)),
                ],
            )
        },
        Scenario {
            stock: [Some(3), Some(1)],
            partitions: 2,
            faults: PLANNED,
            ..scenario(
                "lines",
                "an order with two lines of one SKU, others of two SKUs, a cancellation, an epoch \
                 change, two partitions",
                vec![
                    lines([(0, 2), (0, 2)]),
                    lines([(0, 1), (1, 1)]),
                    lines([(0, 1), (1, 1)]),
                    cancel(1),
                ],
            )
        },
        Scenario {
            batches: true,
            faults: PLANNED,
            ..scenario(
                "batch",
                "two orders of the last unit and a third, decided in one call or alone",
                vec![order(0, 1).key(0), order(0, 1).key(1), order(0, 1).key(0)],
            )
        },
        Scenario {
            stock: [None, None],
            completes: true,
            faults: PLANNED,
            ..scenario(
                "item",
                "an item is created, supplied and ordered by who sees it only pending, completion, \
                 an epoch change",
                vec![kind(Kind::Create { sku: 0 }), supply(0, 1), order(0, 1)],
            )
        },
        Scenario {
            stock: [None, None],
            completes: true,
            faults: PLANNED,
            ..scenario(
                "new-item",
                "an item is created and its price changed while that is pending, completion, an epoch \
                 change",
                vec![kind(Kind::Create { sku: 0 }), update(0)],
            )
        },
        Scenario {
            faults: PLANNED,
            ..scenario(
                "predecessors",
                "an item's price changes three times while the changes before are pending, an epoch \
                 change",
                vec![update(0), update(0), update(0)],
            )
        },
        Scenario {
            terms: true,
            stock: [Some(2), None],
            partitions: 2,
            faults: PLANNED,
            ..scenario(
                "terms",
                "an item's price changes and it is discontinued, beside orders of it, an epoch change",
                vec![
                    update(0),
                    order(0, 1),
                    kind(Kind::Discontinue { sku: 0 }),
                    order(0, 1).after(After::Answered(2)),
                ],
            )
        },
        Scenario {
            partitions: 2,
            spreads: true,
            faults: PLANNED,
            ..scenario(
                "spread",
                "an order on one partition, its cancellation, another order on the other one, an \
                 epoch change",
                vec![order(0, 1), cancel(0), order(0, 1)],
            )
        },
        Scenario {
            partitions: 2,
            spreads: true,
            faults: PLANNED,
            ..scenario(
                "claims",
                "an e-mail address is claimed, given up and claimed by another, a log-in, an epoch \
                 change",
                vec![
                    kind(Kind::Register),
                    kind(Kind::GiveUp { user: 0 }),
                    kind(Kind::Register),
                    kind(Kind::LogIn { user: 0 }),
                ],
            )
        },
    ]
}

/// Retries, refusals and generations.
pub(super) fn keys() -> Vec<Scenario> {
    vec![
        Scenario {
            stock: [Some(2), None],
            completes: true,
            faults: Faults { call: 1, ..PLANNED },
            ..scenario(
                "retry",
                "an order and its retry, stock for both, a call that times out, completion, an epoch \
                 change",
                vec![order(0, 1).key(0), order(0, 1).key(0)],
            )
        },
        Scenario {
            stock: [Some(2), None],
            completes: true,
            faults: PLANNED,
            ..scenario(
                "key-reused",
                "an order, another one under its key, and its retry, completion, an epoch change",
                vec![order(0, 1).key(0), order(0, 2).key(0), order(0, 1).key(0)],
            )
        },
        Scenario {
            stock: [Some(0), None],
            stale_sets: true,
            faults: Faults { call: 1, ..PLANNED },
            ..scenario(
                "refusal",
                "an order that is paused, its retry, supply that comes too late, stale sets, a call \
                 that times out, an epoch change",
                vec![order(0, 1).key(0), order(0, 1).key(0), supply(0, 1)],
            )
        },
        Scenario {
            stock: [Some(0), None],
            faults: Faults {
                generation: 3,
                ..NO_FAULTS
            },
            recoveries: 0,
            ..scenario(
                "generations",
                "an order that is paused and two retries, supply that comes too late, three \
                 generations",
                vec![
                    order(0, 1).key(0),
                    order(0, 1).key(0),
                    order(0, 1).key(0),
                    supply(0, 1),
                ],
            )
        },
        Scenario {
            faults: PLANNED,
            ..scenario(
                "unknown-order",
                "a cancellation and its retry reach nodes before their order does, an epoch change",
                vec![
                    order(0, 1),
                    cancel(0).key(1).after(After::Nothing),
                    cancel(0).key(1).after(After::Nothing),
                ],
            )
        },
        Scenario {
            recoveries: 0,
            ..scenario(
                "facts",
                "an order, its cancellation, another that is refused, and the retry of that",
                facts(),
            )
        },
        Scenario {
            faults: PLANNED,
            ..scenario("facts-and-change", "the same, and an epoch change", facts())
        },
        Scenario {
            completes: true,
            faults: PLANNED,
            ..scenario(
                "late-waiter",
                "an order, its retry and its cancellation by other nodes, completion, an epoch change",
                vec![
                    order(0, 1).key(0),
                    order(0, 1).key(0),
                    cancel(0).after(After::Begun(0)),
                ],
            )
        },
    ]
}

fn facts() -> Vec<Command> {
    vec![order(0, 1), cancel(0), cancel(0).key(2), cancel(0).key(2)]
}
