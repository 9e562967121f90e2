//! What runs at a moment: nodes, projectors, and since when two masters serve.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;

use crate::gate::cluster::Cluster;
use crate::link::{Life, Link};
use crate::log::broker::Broker;
use crate::node::{Node, Site};
use crate::replays::{self, Replays};
use crate::store::Store;
use crate::team::Team;
use crate::versions::Version;
use crate::world::World;

/// Everything that runs.
#[derive(Debug)]
pub struct Running {
    /// What nodes share.
    pub site: Site,
    /// The read models' store.
    pub store: Arc<Store>,
    nodes: Mutex<Vec<Arc<Node>>>,
    team: Mutex<Team>,
    others: Mutex<Vec<Team>>,
    /// Replays of the read models.
    pub replays: Replays,
    splits: Mutex<Vec<(Duration, Option<Duration>)>>,
    lives: Mutex<usize>,
}

impl Running {
    /// Starts the nodes and the projectors.
    ///
    /// # Errors
    /// A mistake of the simulation.
    pub fn start(site: Site, store: Arc<Store>) -> Result<Arc<Self>> {
        let mut nodes = Vec::new();
        for number in 0..site.world.plan.nodes {
            nodes.push(site.start(&format!("node-{number}"), Version::Today, 0)?);
        }
        let team = Team::start(&site.world, &site.broker, &store, "projector");
        Ok(Arc::new(Self {
            site,
            store,
            nodes: Mutex::new(nodes),
            team: Mutex::new(team),
            others: Mutex::default(),
            replays: Replays::default(),
            splits: Mutex::default(),
            lives: Mutex::new(0),
        }))
    }

    /// The world.
    pub fn world(&self) -> &Arc<World> {
        &self.site.world
    }

    /// The gate's servers.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.site.cluster
    }

    /// The log.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.site.broker
    }

    /// The nodes of this moment.
    pub fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.lock().clone()
    }

    /// The node that a client's request happens to reach.
    pub fn any_node(&self) -> Arc<Node> {
        let nodes = self.nodes.lock();
        Arc::clone(&nodes[self.world().pick(nodes.len())])
    }

    fn next_life(&self) -> usize {
        let mut lives = self.lives.lock();
        *lives += 1;
        *lives
    }

    /// Kills a node, if it is not gone yet.
    pub fn kill_node(&self, index: usize) {
        let node = Arc::clone(&self.nodes.lock()[index]);
        if node.link.life() != Life::Gone {
            self.world().say(&node.link.name, "is killed");
            node.link.set(Life::Gone);
        }
    }

    /// Starts a node of the same version in the place of one that is gone.
    ///
    /// # Errors
    /// A mistake of the simulation.
    pub fn replace_node(&self, index: usize) -> Result<()> {
        let version = self.nodes.lock()[index].link.version;
        self.replace_node_by(index, version)
    }

    /// Starts a node in the place of one that is gone.
    ///
    /// # Errors
    /// A mistake of the simulation.
    pub fn replace_node_by(&self, index: usize, version: Version) -> Result<()> {
        let (life, server) = {
            let nodes = self.nodes.lock();
            (nodes[index].link.life(), nodes[index].link.server())
        };
        if life == Life::Gone {
            let name = format!("node-{index}.{}", self.next_life());
            let node = self.site.start(&name, version, server)?;
            self.nodes.lock()[index] = node;
        }
        Ok(())
    }

    /// Lets the projectors run, pause, or be gone and replaced.
    pub fn projectors(&self, life: Life) {
        let mut team = self.team.lock();
        self.world().say(&team.link.name, format!("{life:?}"));
        team.link.set(life);
        if life == Life::Gone {
            let name = format!("proj.{}", self.next_life());
            *team = Team::start(self.world(), self.broker(), &self.store, &name);
        }
    }

    /// Starts a team in the place of one that is gone.
    pub fn replace_projectors(&self, gone: &Arc<Link>) {
        if Arc::ptr_eq(&self.team.lock().link, gone) {
            self.projectors(Life::Gone);
        }
    }

    /// A replay in the process of the projectors.
    pub fn replay(&self) -> (Arc<Link>, impl Future<Output = replays::Outcome> + use<>) {
        let team = self.team.lock();
        (Arc::clone(&team.link), team.replay())
    }

    /// Starts a second team over the same store.
    pub fn add_projectors(&self) {
        let name = format!("proj.{}", self.next_life());
        let team = Team::start(self.world(), self.broker(), &self.store, &name);
        self.others.lock().push(team);
    }

    /// Ends the second teams.
    pub fn end_other_projectors(&self) {
        for team in self.others.lock().drain(..) {
            team.link.set(Life::Gone);
        }
    }

    /// Waits until the projectors have what is in the log.
    ///
    /// # Errors
    /// Why they never will, or not within this time.
    pub async fn projectors_caught_up(&self, within: Duration) -> Result<(), String> {
        let world = self.world();
        let deadline = world.elapsed() + within;
        loop {
            let behind = self.behind();
            if behind.is_empty() {
                return Ok(());
            }
            if world.elapsed() > deadline {
                return Err(format!("the projectors are behind in {behind:?}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Partitions whose checkpoint is not at their end.
    fn behind(&self) -> Vec<String> {
        let sql = "SELECT topic, partition_number, next_offset FROM checkpoints";
        let rows = self.store.read(sql).unwrap_or_default();
        let mut behind = Vec::new();
        for partition in self.broker().layout.partitions_of_record() {
            let end = self.broker().extent(partition).end;
            let at = rows.iter().find_map(|row| match &row[..] {
                [
                    rusqlite::types::Value::Text(topic),
                    rusqlite::types::Value::Integer(number),
                    rusqlite::types::Value::Integer(next),
                ] if topic == partition.topic.as_str()
                    && *number == i64::from(partition.number) =>
                {
                    u64::try_from(*next).ok()
                }
                _ => None,
            });
            if at != Some(end) {
                behind.push(format!("{partition} ({at:?} of {end})"));
            }
        }
        behind
    }

    /// Looks whether two masters serve, and remembers it.
    pub fn note_split(&self) {
        let now = self.world().elapsed();
        let split = self.cluster().is_split();
        let mut splits = self.splits.lock();
        match (splits.last_mut(), split) {
            (Some((_, end @ None)), false) => *end = Some(now),
            (Some((_, None)), true) => {}
            (_, true) => splits.push((now, None)),
            (_, false) => {}
        }
    }

    /// Whether two masters serve now.
    pub fn is_split(&self) -> bool {
        self.cluster().is_split()
    }

    /// Whether two masters served at some moment since then.
    pub fn was_split_since(&self, since: Duration) -> bool {
        let splits = self.splits.lock();
        splits
            .iter()
            .any(|(_, end)| end.is_none_or(|end| end >= since))
    }
}
