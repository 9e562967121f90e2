//! A team of projectors: the real ones over this run's log and store.

use std::sync::Arc;

use event_log::EventLog;
use migrations::Database;
use migrations::foreign::ForeignDatabase;
use projectors::{Projectors, ReadModels};
use tokio_util::sync::CancellationToken;

use crate::link::Link;
use crate::log::broker::Broker;
use crate::log::connection::Connection;
use crate::replays;
use crate::store::{Store, StoreConnection};
use crate::world::World;

/// One life of a team.
#[derive(Debug)]
pub struct Team {
    /// How it hangs in the world.
    pub link: Arc<Link>,
    /// The projectors.
    pub projectors: Projectors,
    log: Arc<dyn EventLog>,
    read_models: ReadModels,
}

impl Team {
    /// Starts a team.
    pub fn start(world: &Arc<World>, broker: &Arc<Broker>, store: &Arc<Store>, name: &str) -> Self {
        let link = Link::new(world, name);
        let log: Arc<dyn EventLog> = Connection::new(broker, &link);
        let connection: Arc<dyn ForeignDatabase> = StoreConnection::new(store, &link);
        let read_models = ReadModels::new(Database::Foreign(connection));
        let tasks = world.plan.projector_tasks;
        world.say(name, "starts");
        let (for_them, theirs) = (Arc::clone(&log), read_models.clone());
        Self {
            link,
            projectors: Projectors::start(for_them, theirs, tasks, CancellationToken::new()),
            log,
            read_models,
        }
    }

    /// Replays the read models in this process.
    pub fn replay(&self) -> impl Future<Output = replays::Outcome> + use<> {
        let (log, read_models) = (Arc::clone(&self.log), self.read_models.clone());
        async move { projectors::replay(log, &read_models, |_| ()).await }
    }
}
