//! Everything at once, at random: any process is killed or paused, Redis is flushed, doors are
//! shut, brokers and MySQL stumble.

use std::time::Duration;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::Row;
use crate::door::Passing;
use crate::redis::ask;
use crate::scene::Scene;
use crate::shop::Role;

pub(super) const ROWS: &[Row] = &[row!(
    "F0.a",
    "fifteen faults of any kind, one after the other, at random",
    f00_storm
)
.answers_within(30)];

const ROLES: [Role; 5] = [
    Role::CommandApi(0),
    Role::CommandApi(1),
    Role::Projectors(0),
    Role::Projectors(1),
    Role::QueryApi,
];

async fn f00_storm(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..15 {
        let time = Duration::from_millis(scene.draws.random_range(50..1500));
        let role = *ROLES.choose(&mut scene.draws).unwrap();
        match scene.draws.random_range(0..8) {
            0 | 1 => {
                scene.shop.node(role).kill().await;
                tokio::time::sleep(time / 4).await;
                scene.shop.restart(role).await;
            }
            2 => {
                scene.shop.node(role).signal("-STOP");
                tokio::time::sleep(time).await;
                scene.shop.node(role).signal("-CONT");
            }
            3 => drop(ask(&scene.shop.redis[0], &["FLUSHALL"]).await),
            4 => {
                let door = &scene.shop.redis_doors[scene.draws.random_range(0..2)];
                door.set(Passing::RepliesLost);
                tokio::time::sleep(time).await;
                door.set(Passing::Open);
            }
            5 => {
                let node = scene.draws.random_range(0..3);
                scene.stage.kafka[node].pause();
                tokio::time::sleep(time).await;
                scene.stage.kafka[node].go_on();
            }
            6 => {
                scene.stage.mysql_door.set(Passing::RepliesLost);
                tokio::time::sleep(time).await;
                scene.stage.mysql_door.set(Passing::Open);
            }
            _ => {
                scene.stage.kafka_doors.iter().for_each(|door| door.slam());
                tokio::time::sleep(time / 4).await;
            }
        }
    }
    scene.is_over();
}
