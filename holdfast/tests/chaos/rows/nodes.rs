//! F1 to F3: nodes that are killed or paused, at any moment and at named ones.

use futures::FutureExt;

use super::Row;
use crate::scene::Scene;
use crate::shop::Role;

pub(super) const ROWS: &[Row] = &[Row::new(
    "F1.a",
    "a command-api killed at some moment, three times",
    |scene| f01_killed_at_some_moment(scene).boxed_local(),
)
.in_short()];

async fn f01_killed_at_some_moment(scene: &mut Scene<'_>) {
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
