//! F1 to F3: nodes that are killed or paused, at any moment and at named ones, and clients that
//! hang up.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::Rng;

use super::Row;
use crate::harness::fresh_key;
use crate::load::PLENTY;
use crate::redis::ask;
use crate::scene::Scene;
use crate::shop::Role;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) const ROWS: &[Row] = &[
    row!(
        "F1.a",
        "a command-api killed at any moment, three times",
        f01_killed_at_any_moment
    ),
    row!("F1.b", "killed before the decision", f01_killed_at_a_point).at("commit.prepared=kill"),
    row!(
        "F1.c",
        "killed after the decision, before the append",
        f01_killed_at_a_point
    )
    .at("commit.decided=kill")
    .in_short(),
    row!(
        "F1.d",
        "killed when its append is acknowledged",
        f01_killed_at_a_point
    )
    .at("commit.appended=kill"),
    row!(
        "F1.e",
        "killed after the read-back, before the answer",
        f01_killed_at_a_point
    )
    .at("commit.read-back=kill"),
    row!(
        "F1.f",
        "killed after the answer, before settling",
        f01_killed_at_a_point
    )
    .at("commit.answered=kill"),
    row!("F1.g", "killed after settling", f01_killed_at_a_point).at("commit.settled=kill"),
    row!("F1.h", "both command-api killed at once", f01_both_killed),
    row!(
        "F2.a",
        "paused before the decision while Redis is rebuilt",
        f02_paused_over_a_rebuild
    )
    .at("commit.prepared=stop"),
    row!(
        "F2.b",
        "paused after the decision while Redis is rebuilt",
        f02_paused_over_a_rebuild
    )
    .at("commit.decided=stop")
    .in_short(),
    row!(
        "F2.c",
        "paused after the append while Redis is rebuilt",
        f02_paused_over_a_rebuild
    )
    .at("commit.appended=stop"),
    row!(
        "F2.d",
        "paused after the read-back while Redis is rebuilt",
        f02_paused_over_a_rebuild
    )
    .at("commit.read-back=stop"),
    row!(
        "F2.e",
        "paused before settling while Redis is rebuilt",
        f02_paused_over_a_rebuild
    )
    .at("commit.answered=stop"),
    row!(
        "F2.f",
        "paused at any moment, five times",
        f02_paused_at_any_moment
    ),
    row!(
        "F2.g",
        "paused after the decision for a minute while Redis is rebuilt",
        f02_paused_for_a_minute
    )
    .at("commit.decided=stop"),
    row!(
        "F3.a",
        "sixty clients hang up while their orders run",
        f03_clients_hang_up
    )
    .in_short(),
];

async fn f01_killed_at_any_moment(scene: &mut Scene<'_>) {
    scene.begins();
    for turn in 0..3 {
        let role = Role::CommandApi(turn % 2);
        scene.shop.node(role).kill().await;
        scene.load.accepts(10).await;
        scene.shop.restart(role).await;
        scene.load.accepts(10).await;
    }
    scene.is_over();
}

/// The other node answers, and completes what the dead one had begun, before it is back.
async fn f01_killed_at_a_point(scene: &mut Scene<'_>) {
    scene.shop.arm();
    let dead = scene.shop.struck().await;
    scene.is_over();
    scene.load.accepts(40).await;
    scene.shop.restart(dead).await;
}

async fn f01_both_killed(scene: &mut Scene<'_>) {
    scene.begins();
    for role in [Role::CommandApi(0), Role::CommandApi(1)] {
        scene.shop.node(role).kill().await;
    }
    for role in [Role::CommandApi(0), Role::CommandApi(1)] {
        scene.shop.restart(role).await;
    }
    scene.is_over();
}

async fn f02_paused_over_a_rebuild(scene: &mut Scene<'_>) {
    scene.shop.arm();
    let paused = scene.shop.struck().await;
    scene.begins();
    ask(&scene.shop.redis[0], &["FLUSHALL"]).await;
    scene.load.accepts(20).await;
    scene.shop.node(paused).signal("-CONT");
    scene.is_over();
}

/// Longer than any of its own deadlines: its clients were told nothing, its claims are old.
async fn f02_paused_for_a_minute(scene: &mut Scene<'_>) {
    scene.shop.arm();
    let paused = scene.shop.struck().await;
    scene.begins();
    let goes_on = Instant::now() + MINUTE;
    ask(&scene.shop.redis[0], &["FLUSHALL"]).await;
    scene.load.accepts(20).await;
    tokio::time::sleep_until(goes_on.into()).await;
    scene.shop.node(paused).signal("-CONT");
    scene.is_over();
}

async fn f02_paused_at_any_moment(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..5 {
        let role = Role::CommandApi(scene.draws.random_range(0..2));
        scene.shop.node(role).signal("-STOP");
        scene.load.accepts(10).await;
        scene.shop.node(role).signal("-CONT");
        scene.load.accepts(5).await;
    }
    scene.is_over();
}

/// They ask much later what became of it. An order that had not come to a node when its client hung
/// up was never sent, so it is done again until one was placed.
async fn f03_clients_hang_up(scene: &mut Scene<'_>) {
    scene.begins();
    let mut placed = 0;
    for _ in 0..20 {
        let orders = scene.hang_up(60, PLENTY).await;
        scene.is_over();
        scene.load.accepts(20).await;
        let worker = scene.load.worker();
        for (key, hung_up) in orders {
            let was_placed = worker.finds_placed(&key, &[(PLENTY, 1)]).await;
            placed += usize::from(hung_up && was_placed);
        }
        if placed > 0 {
            return;
        }
    }
    scene.expect(false, "no order was placed whose client had hung up");
}

impl Scene<'_> {
    /// So many clients order and hang up after some milliseconds; their keys, and whether they were
    /// still waiting then.
    pub(super) async fn hang_up(&mut self, clients: usize, sku: &str) -> Vec<(String, bool)> {
        let mut orders = vec![];
        for _ in 0..clients {
            let key = fresh_key();
            let patience = Duration::from_millis(self.draws.random_range(1..40));
            let call = self.load.customers[0].order_call(&key, sku, 1).send();
            orders.push(async move {
                // Whatever came of it, nobody hears it.
                let hung_up = tokio::time::timeout(patience, call).await.is_err();
                (key, hung_up)
            });
        }
        join_all(orders).await
    }
}
