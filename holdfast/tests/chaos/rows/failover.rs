//! F6: the replica is promoted while the old master goes on serving; there and back with writes
//! that were not replicated.

use std::time::Duration;

use super::Row;
use crate::harness::eventually;
use crate::redis::ask;
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row!(
        "F6.a",
        "the replica promoted while the old master serves the other node",
        f06_two_masters
    ),
    row!(
        "F6.b",
        "failed over and back, writes in between not replicated",
        f06_there_and_back
    )
    .in_short(),
    row!(
        "F6.c",
        "the master dies, the replica takes over",
        f06_master_dies
    ),
    row!(
        "F6.d",
        "the master is demoted under the nodes for 3 s",
        f06_demoted
    ),
];

impl Scene<'_> {
    async fn promote(&self, number: usize) {
        ask(&self.shop.redis[number], &["REPLICAOF", "NO", "ONE"]).await;
    }

    /// Waits until the first of them has all that the second has, and nothing else.
    async fn demote(&self, number: usize, master: usize) {
        let port = self.shop.redis[master].port.to_string();
        ask(&self.shop.redis[number], &["REPLICAOF", "127.0.0.1", &port]).await;
        eventually("the replica follows", async || {
            let said = ask(&self.shop.redis[number], &["INFO", "replication"]).await;
            said.contains("master_link_status:up").then_some(())
        })
        .await;
    }

    /// The replica takes over, and the master becomes its replica.
    pub(super) async fn fail_over(&mut self) {
        self.promote(1).await;
        self.all_go_to(1);
        self.demote(0, 1).await;
        self.shop.replica_is_master();
    }

    /// How many commands a master remembers by their keys: it grows with each that it accepts.
    async fn decided(&self, number: usize, epoch: u64) -> u32 {
        let keys = self.shop.key_of(epoch, "keys");
        let decided = ask(&self.shop.redis[number], &["HLEN", &keys]).await;
        decided.parse().unwrap()
    }

    fn all_go_to(&self, number: usize) {
        for door in &self.shop.redis_doors {
            door.lead_to(self.shop.redis[number].port);
        }
    }
}

/// What was promoted decides nothing in its old master's epoch: the other node rebuilds it in a new
/// one. The old master goes on in its own until its node hears of that.
async fn f06_two_masters(scene: &mut Scene<'_>) {
    let old = scene.shop.epoch_of(0).await;
    scene.begins();
    scene.promote(1).await;
    scene.shop.redis_doors[1].lead_to(scene.shop.redis[1].port);
    let before = scene.decided(0, old).await;
    let new = eventually("what was promoted is rebuilt", async || {
        let now = scene.shop.epoch_of(1).await;
        (now > old).then_some(now)
    })
    .await;
    let rebuilt = scene.decided(1, new).await;
    scene.load.accepts(20).await;
    let (in_old, in_new) = (scene.decided(0, old).await, scene.decided(1, new).await);
    scene.expect(in_old > before, "the old master decided nothing any more");
    scene.expect(in_new > rebuilt, "what was promoted decided nothing");
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.all_go_to(1);
    scene.demote(0, 1).await;
    scene.shop.replica_is_master();
    scene.is_over();
}

/// The nodes stay with the first, which loses what it decided since the second was promoted, and
/// keeps its scripts.
async fn f06_there_and_back(scene: &mut Scene<'_>) {
    scene.promote(1).await;
    scene.load.accepts(20).await;
    scene.begins();
    scene.demote(0, 1).await;
    scene.promote(0).await;
    scene.is_over();
}

async fn f06_master_dies(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.redis[0].kill();
    scene.promote(1).await;
    scene.all_go_to(1);
    scene.is_over();
    scene.load.accepts(20).await;
    scene.shop.redis[0].restart().await;
    scene.demote(0, 1).await;
    scene.shop.replica_is_master();
}

async fn f06_demoted(scene: &mut Scene<'_>) {
    scene.begins();
    scene.promote(1).await;
    scene.demote(0, 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.all_go_to(1);
    scene.shop.replica_is_master();
    scene.is_over();
}
