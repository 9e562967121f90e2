//! F9: projectors that are killed before and after a commit, paused with a transaction open, run
//! twice; and records that cannot be read.

use std::time::Duration;

use rand::Rng;
use record::envelope::FORMAT;
use record::{AggregateType, Envelope, RecordId};
use uuid::Uuid;

use super::Row;
use crate::checks::Asked;
use crate::harness::eventually;
use crate::load::HOT;
use crate::scene::{Afterwards, Scene};
use crate::shop::Role;

pub(super) const ROWS: &[Row] = &[
    row!(
        "F9.a",
        "projectors killed with rows written, before COMMIT",
        f09_killed_at_a_point
    )
    .at("projector.rows-written=kill")
    .in_short(),
    row!(
        "F9.b",
        "projectors killed right after COMMIT",
        f09_killed_at_a_point
    )
    .at("projector.committed=kill"),
    row!(
        "F9.c",
        "one of two owners paused for 4 s right after a COMMIT, then goes on",
        f09_one_of_two_paused
    )
    .at("projector.committed=stop"),
    row!(
        "F9.d",
        "one of two owners paused for 4 s in an open transaction",
        f09_paused_in_its_transaction
    )
    .at("projector.rows-written=stop"),
    row!(
        "F9.e",
        "both projectors killed at any moment, four times",
        f09_killed_at_any_moment
    ),
    row!(
        "F9.f",
        "a record of a newer format: its partition stops and says so",
        f09_newer_format
    ),
    row!(
        "F9.g",
        "a record that nobody can read: everything that reads it stops and says so",
        f09_unreadable
    ),
    row!(
        "F9.h",
        "the read models replayed beside running projectors, three times",
        f09_replayed
    ),
];

async fn f09_killed_at_a_point(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..3 {
        scene.shop.arm();
        let dead = scene.shop.struck().await;
        scene.load.accepts(10).await;
        scene.shop.restart(dead).await;
    }
    scene.is_over();
}

/// It owned what it has just committed. The other goes on with it, so that the first, when it goes
/// on too, finds itself overtaken and begins anew.
async fn f09_one_of_two_paused(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.arm();
    let paused = scene.shop.struck().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let before = overtaken(scene, paused);
    scene.shop.node(paused).signal("-CONT");
    scene.is_over();
    eventually("who was paused is overtaken", async || {
        (overtaken(scene, paused) > before).then_some(())
    })
    .await;
}

/// How often a projector found that another had gone on with its partition.
fn overtaken(scene: &mut Scene<'_>, role: Role) -> usize {
    let said = scene.shop.node(role).said();
    said.matches("another projector went on with").count()
}

async fn f09_paused_in_its_transaction(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.arm();
    let paused = scene.shop.struck().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.shop.node(paused).signal("-CONT");
    scene.is_over();
}

async fn f09_killed_at_any_moment(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..4 {
        for role in [Role::Projectors(0), Role::Projectors(1)] {
            let moment = scene.draws.random_range(0..700);
            tokio::time::sleep(Duration::from_millis(moment)).await;
            scene.shop.node(role).kill().await;
            scene.shop.restart(role).await;
        }
    }
    scene.is_over();
}

/// Commands go on, for the envelope can be read; the partition's rows stand still, the others'
/// do not.
async fn f09_newer_format(scene: &mut Scene<'_>) {
    scene.begins();
    let id = Uuid::now_v7();
    let envelope = Envelope {
        format: FORMAT + 1,
        id: RecordId(id),
        epoch: scene.shop.epoch_of(0).await,
        aggregate_type: AggregateType::Orders,
        aggregate_id: id.to_string(),
        version: 1,
    };
    let payload = envelope.encode("{}");
    scene.forge("orders", 0, &id.to_string(), &payload).await;
    for role in [Role::Projectors(0), Role::Projectors(1)] {
        scene.shop.unready(role, "orders/0").await;
    }
    // Orders of other partitions still come to be seen.
    let worker = scene.load.worker();
    let mut placed = vec![];
    while placed.len() < 6 {
        placed.extend(worker.order(&[("LAMP-1", 1)]).await);
    }
    let customer = scene.load.customers[0].clone();
    eventually("orders of other partitions are shown", async || {
        for order in &placed {
            let path = format!("/v1/orders/{order}");
            if customer.get(&path, "").await.status == 200 {
                return Some(());
            }
        }
        None
    })
    .await;
    scene.afterwards = Afterwards::Commands;
}

/// No order is acknowledged that could stand behind what nobody can read.
async fn f09_unreadable(scene: &mut Scene<'_>) {
    scene.begins();
    for partition in 0..3 {
        scene.forge("orders", partition, "", b"what is this?").await;
    }
    for role in [Role::Projectors(0), Role::Projectors(1)] {
        scene.shop.unready(role, "orders/0").await;
    }
    for role in [Role::CommandApi(0), Role::CommandApi(1)] {
        scene.shop.unready(role, "orders/").await;
    }
    let customer = &scene.load.customers[0];
    let answer = customer.order_once(HOT, 1).await;
    scene.expect(answer.status == 503, &format!("it was answered {answer:?}"));
    let audit = scene.shop.tool("audit").await;
    // It looked and found it; 2 would be that it could not look.
    let told = audit.status.code() == Some(1);
    scene.expect(told, &format!("the audit finds nothing: {audit:?}"));
    scene.afterwards = Afterwards::Log;
}

/// The live tables stand still while they are compared, so every replay finds the same rows.
async fn f09_replayed(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..3 {
        let replay = scene.shop.tool("replay").await;
        let same = replay.status.success() && replay.stdout.contains("Parity: ");
        assert!(same, "{replay:?}");
        scene.load.accepts(5).await;
    }
    scene.is_over();
}
