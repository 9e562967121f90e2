//! Claims that lead to nothing: what they cost, and what they must not keep from happening. They and
//! their fences stay in the log for ever.

use std::sync::Arc;
use std::time::Duration;

use command_api::epoch::EpochState;
use event_log::{Entry, EventLog};
use personal_data::Secrets;
use record::epochs::EpochEntry;
use record::{Partition, RecordId};
use simulation::gate::cluster::Cluster;
use simulation::link::Link;
use simulation::log::broker::Broker;
use simulation::log::connection::Connection;
use simulation::node::Site;
use simulation::plan::Plan;
use simulation::versions::Version;
use simulation::world::World;
use uuid::Uuid;

fn site() -> Site {
    let world = World::new(1, Plan::quiet());
    Site {
        cluster: Cluster::new(&world),
        broker: Broker::new(&world),
        secrets: Arc::new(Secrets::generate()),
        snapshots: None,
        world,
    }
}

/// Redis is lost, and has no room for what it is to be rebuilt from.
#[tokio::test(start_paused = true)]
async fn a_node_whose_claims_lead_to_nothing_claims_ever_less_often() {
    let site = site();
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
    let mut state = node.commands.committer().keeper().state();
    let open = state.wait_for(|state| matches!(state, EpochState::Open(_)));
    let open = tokio::time::timeout(Duration::from_secs(60), open).await;
    assert!(open.is_ok(), "it goes on trying");
}

/// Whoever claimed died before its first fence, so the open epoch serves on.
#[tokio::test(start_paused = true)]
async fn a_claim_of_a_dead_node_keeps_nobody_from_changing_the_epoch() {
    let site = site();
    let node = site.start("node", Version::Today, 0).unwrap();
    let keeper = node.commands.committer().keeper();
    let open = keeper.open().await.unwrap().number();
    let mut claim = entries(&site).remove(0);
    if let EpochEntry::Claim { id, node, .. } = &mut claim {
        (*id, *node) = (Uuid::from_u128(1), Uuid::from_u128(2));
    }
    let dead = Connection::new(&site.broker, &Link::new(&site.world, "dead"));
    let entry = Entry {
        partition: Partition::EPOCHS,
        key: "epochs".to_owned(),
        payload: Some(claim.encode().into()),
        id: RecordId(Uuid::from_u128(3)),
    };
    dead.append_one(entry).await.unwrap();
    let changed = keeper.change_epoch("the operator asked for it").await;
    assert!(changed.unwrap().epoch > open);
}

fn claims(site: &Site) -> usize {
    let entries = entries(site);
    let claims = entries.iter();
    claims
        .filter(|entry| matches!(entry, EpochEntry::Claim { .. }))
        .count()
}

/// What the topic of epochs has.
fn entries(site: &Site) -> Vec<EpochEntry> {
    let landed = site.broker.landed();
    let epochs = landed
        .iter()
        .filter(|(_, position, _)| position.partition == Partition::EPOCHS);
    let entries = epochs.map(|(_, _, raw)| EpochEntry::decode(&raw.payload).expect("an entry"));
    entries.collect()
}
