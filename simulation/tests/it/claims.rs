//! What a recovery costs that cannot end: claims and fences stay in the log for ever.

use std::sync::Arc;
use std::time::Duration;

use personal_data::Secrets;
use record::Partition;
use record::epochs::EpochEntry;
use simulation::gate::cluster::Cluster;
use simulation::log::broker::Broker;
use simulation::node::Site;
use simulation::plan::Plan;
use simulation::versions::Version;
use simulation::world::World;

/// Redis is lost, and has no room for what it is to be rebuilt from.
#[tokio::test(start_paused = true)]
async fn a_node_whose_claims_lead_to_nothing_claims_ever_less_often() {
    let world = World::new(1, Plan::quiet());
    let site = Site {
        cluster: Cluster::new(&world),
        broker: Broker::new(&world),
        secrets: Arc::new(Secrets::generate()),
        snapshots: None,
        world,
    };
    site.cluster.servers.lock()[0].full = true;
    let node = site.start("node", Version::Today, 0).unwrap();
    let minutes = |minutes: u64| tokio::time::sleep(Duration::from_secs(60 * minutes));
    minutes(10).await;
    let early = claims(&site);
    minutes(10).await;
    let late = claims(&site) - early;
    // At first every quarter of a second, then every eight.
    assert!((1..=600 / 8).contains(&late), "{early}, then {late}");

    site.cluster.servers.lock()[0].full = false;
    let open = node.commands.committer().keeper().open();
    tokio::time::timeout(Duration::from_secs(60), open)
        .await
        .expect("it goes on trying")
        .unwrap();
}

fn claims(site: &Site) -> usize {
    let landed = site.broker.landed();
    let epochs = landed
        .iter()
        .filter(|(_, position, _)| position.partition == Partition::EPOCHS);
    let entries = epochs.map(|(_, _, raw)| EpochEntry::decode(&raw.payload).expect("an entry"));
    entries
        .filter(|entry| matches!(entry, EpochEntry::Claim { .. }))
        .count()
}
