//! Redis, Kafka and MySQL as processes of this machine, or as containers where there is a Docker
//! engine.
//!
//! This is the only place of the project that installs or starts a service. Everything listens on
//! the loopback interface, in directories of its own; services that the machine runs otherwise are
//! never touched.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use self::install::Tools;
use self::kafka::Node;
use self::process::{Lifetime, Service};

pub(crate) mod docker;
pub(crate) mod install;
pub(crate) mod kafka;
pub(crate) mod lasting;
mod mysql;
pub(crate) mod process;
mod redis;
pub(crate) mod throwaway;

/// Where the services listen.
pub(crate) struct Addresses {
    pub(crate) redis_port: u16,
    pub(crate) kafka_nodes: Vec<Node>,
    pub(crate) mysql_port: u16,
}

impl Addresses {
    /// The URL of Redis.
    pub(crate) fn redis(&self) -> String {
        format!("redis://127.0.0.1:{}", self.redis_port)
    }

    /// The bootstrap servers of Kafka.
    pub(crate) fn kafka(&self) -> String {
        let brokers: Vec<String> = self
            .kafka_nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port))
            .collect();
        brokers.join(",")
    }

    /// The URL of the MySQL server, without a database.
    pub(crate) fn mysql(&self) -> String {
        format!("mysql://holdfast:holdfast@127.0.0.1:{}", self.mysql_port)
    }

    /// Refuses to start where something listens already.
    pub(crate) fn ensure_free(&self) -> Result<()> {
        let named = [
            ("Redis", self.redis_port, "--redis-port"),
            ("MySQL", self.mysql_port, "--mysql-port"),
        ];
        let kafka = self
            .kafka_nodes
            .iter()
            .flat_map(|node| [node.port, node.controller_port]);
        for (name, port, flag) in named
            .into_iter()
            .chain(kafka.map(|port| ("Kafka", port, "--kafka-port")))
        {
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
                bail!(
                    "Port {port} is taken: stop what listens there, or choose another for {name} with {flag}."
                );
            }
        }
        Ok(())
    }
}

/// Starts all services, then waits until each answers. What was started is in `started` also when
/// this fails.
pub(crate) fn start(
    tools: &Tools,
    dir: &Path,
    addresses: &Addresses,
    lifetime: Lifetime,
    started: &mut Vec<Service>,
) -> Result<()> {
    let room = |name: &str| {
        let room = dir.join(name);
        fs::create_dir_all(&room)
            .with_context(|| format!("Cannot create {}: choose another --dir.", room.display()))?;
        Ok::<_, anyhow::Error>(room)
    };
    started.push(redis::start(
        tools,
        &room("redis")?,
        addresses.redis_port,
        lifetime,
    )?);
    started.push(mysql::start(
        tools,
        &room("mysql")?,
        addresses.mysql_port,
        lifetime,
    )?);
    started.extend(kafka::start(tools, dir, &addresses.kafka_nodes, lifetime)?);
    started.iter_mut().try_for_each(Service::wait)
}

/// Whether something accepts connections on a port of the loopback interface.
pub(crate) fn listens(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
}
