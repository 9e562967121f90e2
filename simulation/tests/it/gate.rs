//! The contract of gates, kept by the simulated one.

use std::sync::Arc;

use command_api::gate::Gate;
use simulation::gate::cluster::Cluster;
use simulation::gate::connection::Connection;
use simulation::link::Link;
use simulation::plan::Plan;
use simulation::world::World;

fn open(entries_per_generation: u64) -> Arc<dyn Gate> {
    let mut plan = Plan::quiet();
    plan.entries_per_generation = entries_per_generation;
    let world = World::new(1, plan);
    let (cluster, link) = (Cluster::new(&world), Link::new(&world, "node"));
    Arc::new(Connection::new(&cluster, &link))
}

command_api::conformance_of_gate!(open);
