//! F7: recoveries that end or pause between any two of their steps, that meet each other, and that
//! begin with many commands in flight; and planned changes of the epoch.

use tokio::task::JoinSet;

use super::Row;
use crate::checks::Asked;
use crate::door::Passing;
use crate::harness::eventually;
use crate::redis::ask;
use crate::scene::Scene;
use crate::shop::Role;

const THOUSAND: u32 = 1000;

/// Where a planned change is interrupted: claimed and nothing else, fenced, begun, written.
const OF_A_CHANGE: [&str; 4] = [
    "recovery.claimed",
    "recovery.fenced",
    "recovery.marked",
    "recovery.rebuilt",
];

pub(super) const ROWS: &[Row] = &[
    row!(
        "F7.a",
        "the recovering node killed after its claim",
        f07_node_killed
    )
    .at("recovery.claimed=kill")
    .answers_within(45),
    row!(
        "F7.b",
        "killed when it has read its claim back",
        f07_node_killed
    )
    .at("recovery.claim-read-back=kill")
    .answers_within(45),
    row!("F7.c", "killed with some fences written", f07_node_killed)
        .at("recovery.one-fence=kill")
        .answers_within(45),
    row!(
        "F7.d",
        "killed when all fences are written",
        f07_node_killed
    )
    .at("recovery.fenced=kill")
    .answers_within(45),
    row!("F7.e", "killed after the fold", f07_node_killed)
        .at("recovery.folded=kill")
        .answers_within(45),
    row!(
        "F7.f",
        "killed when older epochs are deleted",
        f07_node_killed
    )
    .at("recovery.deleted=kill")
    .answers_within(45),
    row!("F7.g", "killed when its marker is written", f07_node_killed)
        .at("recovery.marked=kill")
        .answers_within(45),
    row!(
        "F7.h",
        "killed in the middle of the rebuild",
        f07_node_killed
    )
    .at("recovery.piece-written=kill")
    .answers_within(45)
    .in_short(),
    row!("F7.i", "killed before it publishes", f07_node_killed)
        .at("recovery.rebuilt=kill")
        .answers_within(45),
    row!(
        "F7.j",
        "killed after it published, before Opened",
        f07_node_killed
    )
    .at("recovery.published=kill")
    .answers_within(45),
    row!(
        "F7.k",
        "both nodes killed, one after the other, in their rebuilds",
        f07_both_killed
    )
    .at("recovery.piece-written=kill")
    .answers_within(60),
    row!(
        "F7.l",
        "Redis killed before the marker is written",
        f07_redis_killed
    )
    .at("recovery.deleted=stop")
    .answers_within(45),
    row!(
        "F7.m",
        "Redis killed in the middle of the rebuild",
        f07_redis_killed
    )
    .at("recovery.piece-written=stop")
    .answers_within(45),
    row!(
        "F7.n",
        "Redis killed before the rebuild is published",
        f07_redis_killed
    )
    .at("recovery.rebuilt=stop")
    .answers_within(45),
    row!(
        "F7.o",
        "Redis killed right after the rebuild is published",
        f07_redis_killed
    )
    .at("recovery.published=stop")
    .answers_within(45),
    row!(
        "F7.p",
        "paused after its fences, overtaken, goes on",
        f07_overtaken
    )
    .at("recovery.fenced=stop")
    .answers_within(45),
    row!(
        "F7.q",
        "paused before the marker, overtaken, goes on",
        f07_overtaken
    )
    .at("recovery.deleted=stop")
    .answers_within(45),
    row!(
        "F7.r",
        "paused before it publishes, overtaken, goes on",
        f07_overtaken
    )
    .at("recovery.rebuilt=stop")
    .answers_within(45),
    row!(
        "F7.s",
        "flushed with a thousand orders decided and not yet appended",
        f07_many_in_flight
    ),
    row!(
        "F7.t",
        "the epoch changed as planned, four times",
        f07_planned
    ),
    row!(
        "F7.u",
        "flushed while a planned change is under way, four times",
        f07_planned_and_flushed
    ),
];

/// What is lost at the other points: Redis alone, and Redis together with the recovering node.
pub(super) const MORE_LOST: &[Row] = &[
    row!("F7.x", "Redis killed after the claim", f07_redis_killed)
        .at("recovery.claimed=stop")
        .answers_within(45),
    row!(
        "F7.y",
        "Redis killed when the claim is read back",
        f07_redis_killed
    )
    .at("recovery.claim-read-back=stop")
    .answers_within(45),
    row!(
        "F7.z",
        "Redis killed with some fences written",
        f07_redis_killed
    )
    .at("recovery.one-fence=stop")
    .answers_within(45),
    row!(
        "F7.aa",
        "Redis killed when all fences are written",
        f07_redis_killed
    )
    .at("recovery.fenced=stop")
    .answers_within(45),
    row!("F7.ab", "Redis killed after the fold", f07_redis_killed)
        .at("recovery.folded=stop")
        .answers_within(45),
    row!(
        "F7.ac",
        "Redis killed when the marker is written",
        f07_redis_killed
    )
    .at("recovery.marked=stop")
    .answers_within(45),
    row!(
        "F7.ad",
        "the recovering node and Redis killed when all fences are written",
        f07_node_and_redis_killed
    )
    .at("recovery.fenced=stop")
    .answers_within(45),
    row!(
        "F7.ae",
        "the recovering node and Redis killed in the middle of the rebuild",
        f07_node_and_redis_killed
    )
    .at("recovery.piece-written=stop")
    .answers_within(45),
    row!(
        "F7.af",
        "the recovering node and Redis killed before the rebuild is published",
        f07_node_and_redis_killed
    )
    .at("recovery.rebuilt=stop")
    .answers_within(45),
];

impl Scene<'_> {
    async fn flush(&self) {
        ask(&self.shop.redis[0], &["FLUSHALL"]).await;
    }
}

async fn f07_node_killed(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.arm();
    scene.flush().await;
    let dead = scene.shop.struck().await;
    scene.is_over();
    scene.load.accepts(20).await;
    scene.shop.restart(dead).await;
}

async fn f07_both_killed(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.arm();
    scene.flush().await;
    let first = scene.shop.struck().await;
    scene.shop.arm();
    let other = match first {
        Role::CommandApi(0) => Role::CommandApi(1),
        _ => Role::CommandApi(0),
    };
    scene.shop.node(other).ended().await;
    scene.shop.restart(first).await;
    scene.shop.restart(other).await;
    scene.is_over();
}

async fn f07_redis_killed(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.arm();
    scene.flush().await;
    let recovering = scene.shop.struck().await;
    scene.shop.redis[0].kill();
    scene.shop.redis[0].restart().await;
    scene.shop.node(recovering).signal("-CONT");
    scene.is_over();
}

/// At one moment: neither sees that the other is gone. The other node recovers alone.
async fn f07_node_and_redis_killed(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.arm();
    scene.flush().await;
    let recovering = scene.shop.struck().await;
    scene.shop.redis[0].kill();
    scene.shop.node(recovering).kill().await;
    scene.shop.redis[0].restart().await;
    scene.is_over();
    scene.load.accepts(20).await;
    scene.shop.restart(recovering).await;
}

/// The other node takes over from one that shows no life, and that one must not undo it.
async fn f07_overtaken(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.arm();
    scene.flush().await;
    let paused = scene.shop.struck().await;
    scene.load.accepts(20).await;
    scene.shop.node(paused).signal("-CONT");
    scene.is_over();
}

/// All of them wait for Kafka, which gets what was said to it when Redis has lost everything.
async fn f07_many_in_flight(scene: &mut Scene<'_>) {
    scene.load.supply("LAMP-1", THOUSAND).await;
    scene.begins();
    scene.doors_of_kafka(Passing::Held);
    let worker = scene.load.patient_worker();
    // A set, so that they end with the row however that ends.
    let mut orders = JoinSet::new();
    for _ in 0..THOUSAND {
        let worker = worker.clone();
        orders.spawn(async move { worker.order(&[("LAMP-1", 1)]).await });
    }
    let pending = scene.shop.gate_key("pending").await;
    eventually("a thousand orders are decided", async || {
        let decided = ask(&scene.shop.redis[0], &["HLEN", &pending]).await;
        (decided.parse::<u32>().unwrap() >= THOUSAND).then_some(())
    })
    .await;
    scene.flush().await;
    scene.doors_of_kafka(Passing::Open);
    scene.is_over();
    let placed = orders.join_all().await.iter().all(Option::is_some);
    scene.expect(placed, "an order with stock for it was refused");
}

/// Nothing is lost by it, so every change has to come about.
async fn f07_planned(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..4 {
        let changed = scene.shop.tool("epoch change").await;
        assert!(changed.status.success(), "{changed:?}");
        scene.load.accepts(5).await;
    }
    scene.is_over();
}

/// Whether the change comes about or is given up for the recovery, there is one epoch afterwards.
/// Who changes it stands still while Redis is flushed.
async fn f07_planned_and_flushed(scene: &mut Scene<'_>) {
    scene.begins();
    for point in OF_A_CHANGE {
        let change = scene.shop.change_epoch_up_to(point).await;
        scene.flush().await;
        change.goes_on_to_its_end().await;
        scene.load.accepts(5).await;
    }
    scene.is_over();
}
