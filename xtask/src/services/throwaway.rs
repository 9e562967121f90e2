//! Services for one run of tests: ports and directories of their own, gone when the run ends.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process;

use anyhow::{Context, Result};

use super::install::Tools;
use super::kafka::Node;
use super::process::{Lifetime, Service, is_alive};
use super::{Addresses, start};

/// Below the range from which Linux takes the ports of outgoing connections and of listeners on
/// port 0, so that neither takes a port between our look at it and the service's start.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const DIR_PREFIX: &str = "holdfast-services-";

/// Running services; they are killed, and their directory deleted, when this is dropped.
pub(crate) struct Throwaway {
    dir: PathBuf,
    addresses: Addresses,
    services: Vec<Service>,
}

impl Throwaway {
    /// Starts one Redis, one MySQL and the given number of Kafka nodes.
    pub(crate) fn start(tools: &Tools, kafka_nodes: usize) -> Result<Self> {
        sweep();
        let dir = env::temp_dir().join(format!("{DIR_PREFIX}{}", process::id()));
        // An earlier process of the same id may have been killed and left its own.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).with_context(|| format!("Cannot create {}.", dir.display()))?;
        let mut ports = free_ports();
        let mut port = || ports.next().context("No port below 32000 is free.");
        let addresses = Addresses {
            redis_port: port()?,
            mysql_port: port()?,
            kafka_nodes: (0..kafka_nodes)
                .map(|_| {
                    Ok(Node {
                        port: port()?,
                        controller_port: port()?,
                    })
                })
                .collect::<Result<_>>()?,
        };
        let mut this = Self {
            dir,
            addresses,
            services: Vec::new(),
        };
        start(
            tools,
            &this.dir,
            &this.addresses,
            Lifetime::Throwaway,
            &mut this.services,
        )?;
        Ok(this)
    }

    /// What tests read. A variable that is set already is left alone: its service is the user's own
    /// choice.
    pub(crate) fn variables(&self, tools: &Tools) -> Vec<(&'static str, OsString)> {
        let services: [(&str, OsString); 4] = [
            ("HOLDFAST_TEST_REDIS", self.addresses.redis().into()),
            ("HOLDFAST_TEST_KAFKA", self.addresses.kafka().into()),
            ("HOLDFAST_TEST_MYSQL", self.addresses.mysql().into()),
            ("HOLDFAST_TEST_SERVICES_DIR", self.dir.clone().into()),
        ];
        let is_unset = |name: &str| env::var_os(name).is_none_or(|value| value.is_empty());
        let all = services.into_iter().chain(tools.variables());
        all.filter(|(name, _)| is_unset(name)).collect()
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        self.services.iter_mut().for_each(Service::kill);
        // A leftover is deleted by the next run's sweep.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Deletes the directories of runs that were killed before they could do it themselves.
fn sweep() {
    let Ok(entries) = fs::read_dir(env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(DIR_PREFIX)?.parse().ok());
        if pid.is_some_and(|pid: u32| !is_alive(pid)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Free ports, from a place that differs from run to run, so that two runs at once look in
/// different places.
fn free_ports() -> impl Iterator<Item = u16> {
    let start = process::id().wrapping_mul(97) % u32::from(PORTS.end - PORTS.start);
    PORTS
        .cycle()
        .skip(start as usize)
        .take(PORTS.len())
        .filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_offered_once() {
        let mut ports: Vec<u16> = free_ports().take(8).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
    }
}
