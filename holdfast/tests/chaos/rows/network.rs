//! F4: what lies between a node and Redis: replies that are lost, connections that are half open,
//! slow or cut.

use std::time::Duration;

use super::Row;
use crate::door::Passing;
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row!(
        "F4.a",
        "Redis runs the calls, their replies are lost for 3 s",
        f04_replies_are_lost
    )
    .in_short(),
    row!(
        "F4.b",
        "connections to Redis are silent for 4 s, then all comes late",
        f04_half_open
    ),
    row!(
        "F4.c",
        "connections to Redis are silent for 4 s, then cut",
        f04_silent_and_cut
    ),
    row!("F4.d", "connections to Redis are cut thirty times", f04_cut),
    row!("F4.e", "Redis is 300 ms away", f04_slow),
    row!(
        "F4.f",
        "one node alone is cut off from Redis for 5 s",
        f04_one_node_cut_off
    ),
];

impl Scene<'_> {
    fn doors_of_redis(&self, passing: Passing) {
        for door in &self.shop.redis_doors {
            door.set(passing);
        }
    }
}

async fn f04_replies_are_lost(scene: &mut Scene<'_>) {
    scene.begins();
    scene.doors_of_redis(Passing::RepliesLost);
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.doors_of_redis(Passing::Open);
    scene.is_over();
    let is_call = |asked: &[u8]| asked.windows(7).any(|word| word == b"EVALSHA");
    let doors = scene.shop.redis_doors.iter();
    let lost: usize = doors.map(|door| door.swallowed(is_call)).sum();
    scene.expect(lost > 0, "no call ran whose reply was lost");
}

async fn f04_half_open(scene: &mut Scene<'_>) {
    scene.begins();
    scene.doors_of_redis(Passing::Held);
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.doors_of_redis(Passing::Open);
    scene.is_over();
}

async fn f04_silent_and_cut(scene: &mut Scene<'_>) {
    scene.begins();
    scene.doors_of_redis(Passing::Held);
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.doors_of_redis(Passing::Closed);
    scene.doors_of_redis(Passing::Open);
    scene.is_over();
}

async fn f04_cut(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..30 {
        scene.shop.redis_doors.iter().for_each(|door| door.slam());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    scene.is_over();
}

async fn f04_slow(scene: &mut Scene<'_>) {
    scene.begins();
    scene.doors_of_redis(Passing::Slow(Duration::from_millis(150)));
    scene.load.accepts(20).await;
    scene.doors_of_redis(Passing::Open);
    scene.is_over();
}

async fn f04_one_node_cut_off(scene: &mut Scene<'_>) {
    scene.begins();
    scene.shop.redis_doors[0].set(Passing::Closed);
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.shop.redis_doors[0].set(Passing::Open);
    scene.is_over();
}
