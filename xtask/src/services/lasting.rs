//! Services that stay until they are stopped: `up`, `status` and `down` without a Docker engine.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::install;
use super::process::{Lifetime, Service, command_line, is_alive, stop};
use super::{Addresses, listens, start};

/// Kafka writes out what it has and leaves its quorum before it ends.
const END_TIME_MAX: Duration = Duration::from_secs(30);

/// What `up` writes and `down` reads, as `state.json` in the services' directory.
#[derive(Serialize, Deserialize)]
struct State {
    processes: Vec<Recorded>,
}

#[derive(Serialize, Deserialize)]
struct Recorded {
    name: String,
    pid: u32,
    port: u16,
}

impl Recorded {
    /// A process id is used again by the system: only a process that names our directory is ours.
    fn is_ours(&self, dir: &Path) -> bool {
        let dir = dir.to_string_lossy();
        is_alive(self.pid) && command_line(self.pid).is_some_and(|line| line.contains(dir.as_ref()))
    }
}

/// Starts everything in `dir`, or nothing: what was started when something fails is stopped again.
pub(crate) fn up(dir: &Path, addresses: &Addresses) -> Result<()> {
    if read_state(dir)?.is_some_and(|state| state.processes.iter().any(|p| p.is_ours(dir))) {
        bail!(
            "Services are running from {} already: `cargo xtask down` stops them.",
            dir.display()
        );
    }
    addresses.ensure_free()?;
    ensure_same_cluster(dir, addresses.kafka_nodes.len())?;
    let tools = install::tools()?;
    let mut started = Vec::new();
    let outcome = start(&tools, dir, addresses, Lifetime::Lasting, &mut started)
        .and_then(|()| write_state(dir, &started, addresses));
    if outcome.is_err() {
        started.iter_mut().for_each(Service::kill);
    }
    outcome
}

/// The nodes of a cluster are written in its data: one node cannot become three, nor the other way
/// round.
fn ensure_same_cluster(dir: &Path, kafka_nodes: usize) -> Result<()> {
    let existing = (1..)
        .take_while(|id| dir.join(format!("kafka-{id}")).is_dir())
        .count();
    if existing != 0 && existing != kafka_nodes {
        bail!(
            "The data in {} is of a Kafka with {existing} node(s): start as many, or delete it with \
             `cargo xtask down --purge`.",
            dir.display()
        );
    }
    Ok(())
}

/// Stops what `up` started in `dir`.
pub(crate) fn down(dir: &Path) -> Result<()> {
    let Some(state) = read_state(dir)? else {
        println!("Nothing was started from {}.", dir.display());
        return Ok(());
    };
    let (ours, ended): (Vec<&Recorded>, Vec<_>) = state
        .processes
        .iter()
        .partition(|process| process.is_ours(dir));
    let pids: Vec<u32> = ours.iter().map(|process| process.pid).collect();
    stop(&pids, END_TIME_MAX);
    ours.iter()
        .for_each(|process| println!("{} is stopped.", process.name));
    ended
        .iter()
        .for_each(|process| println!("{} was not running any more.", process.name));
    fs::remove_file(state_file(dir)).context("The state file cannot be deleted.")
}

/// Deletes the data of the services, but nothing else that may lie in `dir`.
pub(crate) fn purge(dir: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "redis" || name == "mysql" || name.starts_with("kafka-") {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("{} cannot be deleted.", entry.path().display()))?;
        }
    }
    println!("The data in {} is deleted.", dir.display());
    Ok(())
}

/// Prints a line per service; whether all of them run and accept connections.
pub(crate) fn status(dir: &Path) -> Result<bool> {
    let Some(state) = read_state(dir)? else {
        println!("Nothing was started from {}.", dir.display());
        return Ok(false);
    };
    let mut all_run = true;
    for process in &state.processes {
        let Recorded { name, pid, port } = process;
        let says = match (process.is_ours(dir), listens(*port)) {
            (true, true) => "running",
            (true, false) => "running, but accepts no connections",
            (false, _) => "ended",
        };
        all_run &= says == "running";
        println!("{name:<8} 127.0.0.1:{port:<6} pid {pid:<8} {says}");
    }
    Ok(all_run)
}

fn write_state(dir: &Path, started: &[Service], addresses: &Addresses) -> Result<()> {
    let kafka = addresses.kafka_nodes.iter().map(|node| node.port);
    let ports = [addresses.redis_port, addresses.mysql_port]
        .into_iter()
        .chain(kafka);
    let processes = started
        .iter()
        .zip(ports)
        .map(|(service, port)| Recorded {
            name: service.name.clone(),
            pid: service.child.id(),
            port,
        })
        .collect();
    let text = serde_json::to_string_pretty(&State { processes })?;
    fs::write(state_file(dir), text).context("The state file cannot be written.")
}

fn read_state(dir: &Path) -> Result<Option<State>> {
    let file = state_file(dir);
    let Ok(text) = fs::read_to_string(&file) else {
        return Ok(None);
    };
    let state = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} cannot be read: end the services by hand and delete it.",
            file.display()
        )
    })?;
    Ok(Some(state))
}

fn state_file(dir: &Path) -> PathBuf {
    dir.join("state.json")
}
