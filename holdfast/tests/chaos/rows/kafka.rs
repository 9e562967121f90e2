//! F8: a leader is killed, paused, silent; records land though nobody is told, or producers are told
//! what makes them fail for good; topics are changed under the service.

use std::time::Duration;

use super::Row;
use crate::door::Passing;
use crate::harness::eventually;
use crate::scene::{Afterwards, Scene};
use crate::shop::Role;

pub(super) const ROWS: &[Row] = &[
    row!(
        "F8.a",
        "the leader of a partition of orders killed, restarted later",
        f08_leader_killed
    )
    .in_short(),
    row!("F8.b", "the leader paused for 6 s", f08_leader_paused),
    row!(
        "F8.c",
        "two of three nodes killed and restarted",
        f08_two_killed
    )
    .answers_within(60),
    row!(
        "F8.d",
        "records land, and no broker's reply arrives for 5 s",
        f08_replies_lost
    ),
    row!(
        "F8.e",
        "no reply for 18 s: appends time out though they landed",
        f08_timed_out_but_landed
    )
    .answers_within(45),
    row!(
        "F8.f",
        "connections to all brokers silent for 4 s",
        f08_half_open
    ),
    row!("F8.g", "connections to all brokers cut ten times", f08_cut),
    row!(
        "F8.h",
        "retention of orders set to an hour, and back",
        f08_retention_changed
    ),
    row!(
        "F8.i",
        "a partition added to orders: said and refused, for good",
        f08_partition_added
    ),
    row!(
        "F8.j",
        "records land, and replies say OUT_OF_ORDER_SEQUENCE: producers fail for good",
        f08_fatal_errors
    ),
];

async fn f08_leader_killed(scene: &mut Scene<'_>) {
    let leader = scene.leader_of("orders", 0).await;
    scene.begins();
    scene.stage.kafka[leader].kill();
    scene.load.accepts(20).await;
    scene.stage.kafka[leader].restart().await;
    scene.is_over();
}

async fn f08_leader_paused(scene: &mut Scene<'_>) {
    let leader = scene.leader_of("orders", 0).await;
    scene.begins();
    scene.stage.kafka[leader].pause();
    tokio::time::sleep(Duration::from_secs(6)).await;
    scene.stage.kafka[leader].go_on();
    scene.is_over();
}

async fn f08_two_killed(scene: &mut Scene<'_>) {
    scene.begins();
    scene.stage.kafka[0].kill();
    scene.stage.kafka[1].kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let [first, second, ..] = &mut scene.stage.kafka[..] else {
        panic!("there are three")
    };
    tokio::join!(first.restart(), second.restart());
    scene.is_over();
}

impl Scene<'_> {
    pub(super) fn doors_of_kafka(&self, passing: Passing) {
        for door in &self.stage.kafka_doors {
            door.set(passing);
        }
    }

    /// Brokers do what they are asked to, and nobody hears it.
    async fn brokers_say_nothing_for(&mut self, time: Duration) {
        let before = self.acknowledgements_lost();
        self.brokers_for(Passing::RepliesLost, time).await;
        let after = self.acknowledgements_lost();
        self.expect(after > before, "no append was done whose reply was lost");
    }

    /// Replies to Kafka's request of number 0, Produce, that doors have swallowed.
    fn acknowledgements_lost(&self) -> usize {
        let is_produce = |asked: &[u8]| asked.get(4..6) == Some(&[0, 0]);
        let doors = self.stage.kafka_doors.iter();
        doors.map(|door| door.swallowed(is_produce)).sum()
    }

    async fn brokers_for(&mut self, passing: Passing, time: Duration) {
        self.begins();
        self.doors_of_kafka(passing);
        tokio::time::sleep(time).await;
        self.doors_of_kafka(Passing::Open);
        self.is_over();
    }
}

async fn f08_replies_lost(scene: &mut Scene<'_>) {
    scene.brokers_say_nothing_for(Duration::from_secs(5)).await;
}

async fn f08_timed_out_but_landed(scene: &mut Scene<'_>) {
    scene.brokers_say_nothing_for(Duration::from_secs(18)).await;
}

async fn f08_half_open(scene: &mut Scene<'_>) {
    scene
        .brokers_for(Passing::Held, Duration::from_secs(4))
        .await;
}

async fn f08_cut(scene: &mut Scene<'_>) {
    scene.begins();
    for _ in 0..10 {
        scene.stage.kafka_doors.iter().for_each(|door| door.slam());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    scene.is_over();
}

/// It is said in a sentence with the command that mends it, and that command does.
async fn f08_retention_changed(scene: &mut Scene<'_>) {
    let topic = scene.topic("orders");
    let words = format!(
        "--bootstrap-server {} --alter --entity-type topics --entity-name {topic} \
         --add-config retention.ms=3600000",
        scene.stage.brokers()
    );
    scene.begins();
    let words = words.split(' ').map(str::to_owned).collect();
    scene.configure_kafka(words).await;
    let said = scene
        .shop
        .unready(Role::CommandApi(0), "retention.ms")
        .await;
    let mends = said.split('`').nth(1).unwrap_or_default().to_owned();
    let words = mends.split(' ').skip(1).map(str::to_owned).collect();
    scene.configure_kafka(words).await;
    scene.is_over();
}

async fn f08_partition_added(scene: &mut Scene<'_>) {
    scene.begins();
    scene.set_partitions("orders", 4).await;
    for role in [Role::CommandApi(0), Role::CommandApi(1)] {
        scene
            .shop
            .unready(role, "has 4 partitions, but had 3")
            .await;
    }
    // What starts now has never seen the topic otherwise, and refuses by the claims.
    scene.shop.node(Role::CommandApi(0)).kill().await;
    let refused = scene.shop.refuses_to_start(Role::CommandApi(0)).await;
    scene.expect(
        refused.contains("partitions") || refused.contains("layout"),
        &format!("it does not say what is wrong: {refused}"),
    );
    scene.afterwards = Afterwards::Log;
}

/// What no healthy broker says is put into its replies. librdkafka can then no longer tell which of
/// its records stand in the log, and sends nothing any more: each node needs a new producer.
async fn f08_fatal_errors(scene: &mut Scene<'_>) {
    scene.begins();
    scene.doors_of_kafka(Passing::OutOfSequence);
    for role in [Role::CommandApi(0), Role::CommandApi(1)] {
        eventually("its producer is replaced", async || {
            let said = scene.shop.node(role).said();
            said.contains("the producer failed for good and was replaced")
                .then_some(())
        })
        .await;
    }
    scene.doors_of_kafka(Passing::Open);
    scene.is_over();
}

impl crate::shop::Shop {
    /// Waits until a process is unready and says this; all that it says.
    pub(crate) async fn unready(&mut self, role: Role, sentence: &str) -> String {
        let url = format!("{}/readyz", self.node(role).address());
        eventually(&format!("{role:?} says {sentence}"), async || {
            let answer = reqwest::get(&url).await.ok()?;
            let status = answer.status().as_u16();
            let said = answer.text().await.ok()?;
            (status == 503 && said.contains(sentence)).then_some(said)
        })
        .await
    }
}
