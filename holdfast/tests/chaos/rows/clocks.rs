//! F12: clocks jump by hours, and the log's disk is full.

use super::Row;
use crate::scene::Scene;
use crate::shop::Role;

const HOUR: i64 = 3600;

pub(super) const ROWS: &[Row] = &[
    row!(
        "F12.a",
        "clocks of the two nodes jump apart by hours, and back",
        f12_clocks_jump
    )
    .in_short(),
    row!(
        "F12.b",
        "clocks jump by hours and Redis is flushed each time",
        f12_clocks_jump_and_redis_is_flushed
    ),
];

async fn f12_clocks_jump(scene: &mut Scene<'_>) {
    scene.begins();
    for (first, second) in [(7, -7), (-26, 26), (5, 5), (0, 0)] {
        scene.shop.set_clock(Role::CommandApi(0), first * HOUR);
        scene.shop.set_clock(Role::CommandApi(1), second * HOUR);
        scene.load.accepts(15).await;
    }
    scene.is_over();
}

async fn f12_clocks_jump_and_redis_is_flushed(scene: &mut Scene<'_>) {
    scene.begins();
    for hours in [30, -30, 0] {
        scene.shop.set_clock(Role::CommandApi(0), hours * HOUR);
        scene.load.accepts(15).await;
        crate::redis::ask(&scene.shop.redis[0], &["FLUSHALL"]).await;
        scene.load.accepts(15).await;
    }
    scene.is_over();
}
