//! A partition without a leader: what goes to others is served.

use std::sync::Arc;
use std::time::Duration;

use personal_data::Secrets;
use record::{Partition, Topic};
use simulation::books::{Answer, Wish};
use simulation::gate::cluster::Cluster;
use simulation::log::broker::Broker;
use simulation::node::Site;
use simulation::plan::Plan;
use simulation::shop::{ask, request, sku};
use simulation::versions::Version;
use simulation::world::World;

#[tokio::test(start_paused = true)]
async fn orders_that_nobody_takes_in_keep_no_other_command_from_being_served() {
    let mut plan = Plan::quiet();
    plan.partitions = 2;
    let world = World::new(1, plan);
    let site = Site {
        cluster: Cluster::new(&world),
        broker: Broker::new(&world),
        secrets: Arc::new(Secrets::generate()),
        snapshots: None,
        world,
    };
    let node = site.start("node", Version::Today, 0).unwrap();
    node.commands.committer().keeper().open().await.unwrap();
    let put = |price| Wish::Put { sku: sku(0), price };
    let receive = Wish::Move {
        sku: sku(0),
        units: 100_000,
    };
    let order = Wish::Place {
        lines: vec![(sku(0), 1)],
    };
    let asked = async |wish| {
        ask(&node, request(&site.world, None, "f"), &wish)
            .await
            .unwrap()
    };
    assert!(matches!(asked(put(5)).await, Answer::Done { .. }));
    assert!(matches!(asked(receive).await, Answer::Done { .. }));

    let (topic, number) = (Topic::Orders, 0);
    site.broker
        .set_leaderless(Partition { topic, number }, true);
    for _ in 0..50 {
        for _ in 0..60 {
            let (node, world, order) = (Arc::clone(&node), Arc::clone(&site.world), order.clone());
            tokio::spawn(async move { ask(&node, request(&world, None, "f"), &order).await });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Half of 3 000 orders now wait for their partition.
    assert!(matches!(asked(put(6)).await, Answer::Done { .. }));
}
