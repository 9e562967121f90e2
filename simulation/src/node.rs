//! An API node: the real commit path, keeper and completion over this run's gate and log.

use std::sync::Arc;
use std::time::Duration;

use command_api::clock::{Clock, Ids};
use command_api::commands::Commands;
use command_api::commands::passwords::Passwords;
use command_api::commands::users::Personal;
use command_api::commit::Committer;
use command_api::completion;
use command_api::gate::Gate;
use command_api::settings::Settings;
use command_api::work::Work;
use domain::money::Currency;
use event_log::EventLog;
use personal_data::Secrets;

use crate::gate::cluster::Cluster;
use crate::gate::connection;
use crate::link::Link;
use crate::log;
use crate::log::broker::Broker;
use crate::snapshots::Snapshots;
use crate::versions::Version;
use crate::world::{NodeClock, World};

/// What the nodes of a run share.
#[derive(Debug, Clone)]
pub struct Site {
    /// The world.
    pub world: Arc<World>,
    /// The gate's servers.
    pub cluster: Arc<Cluster>,
    /// The log.
    pub broker: Arc<Broker>,
    /// The shop's secrets.
    pub secrets: Arc<Secrets>,
    /// What the nodes keep of the gate, where they keep something.
    pub snapshots: Option<Arc<Snapshots>>,
}

/// One life of a node: a killed one is replaced by another.
#[derive(Debug)]
pub struct Node {
    /// How it hangs in the world.
    pub link: Arc<Link>,
    /// What clients ask of it.
    pub commands: Commands,
    /// Its clock.
    pub clock: Arc<NodeClock>,
}

impl Site {
    /// Starts a node that talks to one of the gate's servers.
    ///
    /// # Errors
    /// When the shop's currency cannot be read.
    pub fn start(&self, name: &str, version: Version, server: usize) -> anyhow::Result<Arc<Node>> {
        let link = Link::of(&self.world, name, version);
        link.turn_to(server);
        let gate: Arc<dyn Gate> = Arc::new(connection::Connection::new(&self.cluster, &link));
        let log: Arc<dyn EventLog> = log::connection::Connection::new(&self.broker, &link);
        let clock = NodeClock::new(&self.world);
        let ids: Arc<dyn Ids> = Arc::clone(&self.world) as Arc<dyn Ids>;
        let currency = Currency::parse("EUR").map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut settings = Settings::new(currency, self.secrets.check_value());
        settings.decide_batch_max = 8;
        settings.settle_batch_max = 8;
        settings.gate_retry = Duration::from_secs(6);
        settings.fold_tasks = self.world.plan.fold_tasks;
        settings.snapshots = self.snapshots.as_ref().map(|kept| kept.settings());
        settings.work = Work::AtOnce;
        let committer = Committer::new(
            gate,
            log,
            Arc::clone(&clock) as Arc<dyn Clock>,
            ids,
            settings,
        );
        completion::start(&committer);
        let personal = Personal {
            secrets: Arc::clone(&self.secrets),
            passwords: Passwords::that_protect_nothing(),
        };
        self.world
            .say(name, format!("starts, {version:?}'s program"));
        Ok(Arc::new(Node {
            link,
            commands: Commands::new(committer, personal),
            clock,
        }))
    }
}
