//! Kafka: one KRaft node, or three for tests in which a leader dies.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

use super::install::Tools;
use super::process::{Lifetime, Service};

/// The two ports of a node. Both must stay the same over a restart: the quorum's voters are named
/// by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// Where clients connect.
    pub(crate) port: u16,
    /// Where the nodes of the quorum connect.
    pub(crate) controller_port: u16,
}

/// Starts one node per element, all of one cluster.
pub(crate) fn start(
    tools: &Tools,
    dir: &Path,
    nodes: &[Node],
    lifetime: Lifetime,
) -> Result<Vec<Service>> {
    let cluster_id = new_cluster_id()?;
    (1..)
        .zip(nodes)
        .map(|(id, _)| start_node(tools, dir, nodes, id, lifetime, &cluster_id))
        .collect()
}

fn start_node(
    tools: &Tools,
    dir: &Path,
    nodes: &[Node],
    id: usize,
    lifetime: Lifetime,
    cluster_id: &str,
) -> Result<Service> {
    let node_dir = dir.join(format!("kafka-{id}"));
    fs::create_dir_all(&node_dir)
        .with_context(|| format!("Cannot create {}.", node_dir.display()))?;
    fs::write(
        node_dir.join("server.properties"),
        properties(&node_dir, nodes, id),
    )?;
    let logging = node_dir.join("log4j2.properties");
    fs::write(&logging, include_str!("../../kafka/log4j2.properties"))?;

    let mut command = Command::new("sh");
    command
        .args(["-c", include_str!("kafka.sh"), "kafka"])
        .env("JAVA", &tools.java)
        .env("LIBS", &tools.kafka_libs)
        .env("NODE_DIR", &node_dir)
        .env("LOGGING", logging)
        .env("CLUSTER_ID", cluster_id)
        .env("JAVA_OPTIONS", java_options(lifetime));
    let log = node_dir.join("log");
    let answers = move || {
        fs::read(&log)
            .is_ok_and(|text| String::from_utf8_lossy(&text).contains("Kafka Server started"))
    };
    let name = if nodes.len() == 1 {
        "Kafka".to_owned()
    } else {
        format!("Kafka {id}")
    };
    Service::start(&name, &node_dir, lifetime, &mut command, answers)
}

/// Tests want a quick start in little memory; services that stay are also measured, and get the
/// whole compiler.
fn java_options(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::Throwaway => "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        Lifetime::Lasting => "-Xmx512m",
    }
}

/// The cleaner's buffer is 128 MiB by default, half of a test's heap; ours compacts one small
/// topic.
fn properties(node_dir: &Path, nodes: &[Node], id: usize) -> String {
    let Node {
        port,
        controller_port,
    } = nodes[id - 1];
    let voters: Vec<String> = (1..)
        .zip(nodes)
        .map(|(id, node)| format!("{id}@127.0.0.1:{}", node.controller_port))
        .collect();
    let voters = voters.join(",");
    let replicas = nodes.len();
    let in_sync_min = if replicas == 1 { 1 } else { replicas - 1 };
    let data = node_dir.join("data");
    let data = data.display();
    format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync_min}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync_min}
log.cleaner.dedupe.buffer.size=16777216
"
    )
}

/// A cluster id is 16 bytes in URL-safe Base64. The time in hexadecimal digits is valid Base64
/// already; the closing `A` keeps the unused bits of the last character zero.
fn new_cluster_id() -> Result<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("The clock is before 1970.")?;
    let unique = now.as_nanos() ^ (u128::from(std::process::id()) << 48);
    Ok(format!("{:021x}A", unique & ((1 << 84) - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_nodes_know_each_other_and_tolerate_the_loss_of_one() {
        let nodes: Vec<Node> = (0..3)
            .map(|n| Node {
                port: 9092 + n,
                controller_port: 9102 + n,
            })
            .collect();
        let text = properties(Path::new("kafka-2"), &nodes, 2);
        assert!(text.contains("voters=1@127.0.0.1:9102,2@127.0.0.1:9103,3@127.0.0.1:9104"));
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:9093,CONTROLLER://127.0.0.1:9103"));
        assert!(text.contains("\nmin.insync.replicas=2\n"));
    }

    #[test]
    fn a_cluster_id_is_22_characters_of_base64() {
        let id = new_cluster_id().unwrap();
        assert_eq!(id.len(), 22);
        assert!(id.ends_with('A'));
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
