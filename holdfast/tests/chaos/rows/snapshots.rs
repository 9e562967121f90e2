//! F7: recoveries that begin with a snapshot. Those of other rows do too where one was made in time:
//! the table says how many.

use std::fs;

use super::Row;
use crate::harness::eventually;
use crate::recoveries::Recoveries;
use crate::redis::ask;
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row!(
        "F7.v",
        "flushed after snapshots were made",
        f07_out_of_a_snapshot
    ),
    row!(
        "F7.w",
        "flushed with the newest snapshots cut off: the older ones are used",
        f07_newest_snapshot_cut_off
    ),
];

impl Scene<'_> {
    /// Waits until both nodes have so many snapshots.
    async fn snapshots_are_made(&self, count: usize) {
        eventually("snapshots are made", async || {
            let made = |number| self.shop.snapshots(number).len() >= count;
            (made(0) && made(1)).then_some(())
        })
        .await;
    }

    /// Flushes Redis and waits until the gate is whole again; what the recovery was.
    async fn flush_and_recover(&mut self) -> Recoveries {
        let before = Recoveries::of(&self.shop.said());
        ask(&self.shop.redis[0], &["FLUSHALL"]).await;
        self.is_over();
        let now = eventually("the gate is rebuilt", async || {
            let now = Recoveries::of(&self.shop.said());
            (now.all > before.all).then_some(now)
        })
        .await;
        self.load.accepts(20).await;
        Recoveries {
            all: now.all - before.all,
            with_snapshot: now.with_snapshot - before.with_snapshot,
            passed_over: now.passed_over - before.passed_over,
        }
    }
}

async fn f07_out_of_a_snapshot(scene: &mut Scene<'_>) {
    scene.snapshots_are_made(1).await;
    scene.begins();
    let recovery = scene.flush_and_recover().await;
    scene.expect(
        recovery.with_snapshot > 0 && recovery.passed_over == 0,
        &format!("it did not begin with a snapshot: {recovery:?}"),
    );
}

/// A node that makes a new one meanwhile has nothing to pass over; then it is done again.
async fn f07_newest_snapshot_cut_off(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..5 {
        scene.snapshots_are_made(2).await;
        for number in [0, 1] {
            let newest = scene.shop.snapshots(number).swap_remove(0);
            let file = fs::OpenOptions::new().write(true).open(newest).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(length * 2 / 3).unwrap();
        }
        let recovery = scene.flush_and_recover().await;
        if recovery.passed_over > 0 && recovery.with_snapshot > 0 {
            return;
        }
    }
    scene.expect(false, "no recovery passed over a damaged snapshot");
}
