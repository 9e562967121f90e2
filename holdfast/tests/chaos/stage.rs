//! The services that all rows share: three Kafka nodes and a MariaDB, each behind a door. Started
//! once, for they take a while; whatever a row does to them, the next finds them whole.

use std::fmt::Write as _;

use futures::future::join_all;
use tempfile::TempDir;

use crate::door::{Door, Passing};
use crate::harness::servers::{free_port, java, succeed};
use crate::harness::{Server, in_time};

/// How many nodes keep each record.
const KAFKA_NODES: usize = 3;

/// The services, running.
pub(crate) struct Stage {
    pub(crate) kafka: Vec<Server>,
    /// One before each node: the address that clients are told.
    pub(crate) kafka_doors: Vec<Door>,
    pub(crate) mysql: Server,
    pub(crate) mysql_door: Door,
}

impl Stage {
    /// Starts everything.
    pub(crate) async fn start() -> Self {
        let (mysql, (kafka, kafka_doors)) =
            tokio::join!(Server::mariadb("holdfast"), start_kafka());
        let mysql_door = Door::to(mysql.port).await;
        Self {
            kafka,
            kafka_doors,
            mysql,
            mysql_door,
        }
    }

    /// The bootstrap servers.
    pub(crate) fn brokers(&self) -> String {
        let addresses: Vec<_> = self.kafka_doors.iter().map(Door::address).collect();
        addresses.join(",")
    }

    /// MySQL behind its door, without a database.
    pub(crate) fn mysql_url(&self) -> String {
        format!("mysql://holdfast:holdfast@{}", self.mysql_door.address())
    }

    /// Makes whole what a row that stopped half-way may have left broken.
    pub(crate) async fn mend(&mut self) {
        for door in self.kafka_doors.iter().chain([&self.mysql_door]) {
            door.set(Passing::Open);
        }
        for server in self.kafka.iter_mut().chain([&mut self.mysql]) {
            match server.process.try_wait() {
                Ok(None) => server.go_on(),
                _ => server.restart().await,
            }
        }
    }
}

/// Nodes that are brokers and controllers at once. Clients reach them through doors, they each
/// other directly.
async fn start_kafka() -> (Vec<Server>, Vec<Door>) {
    let ports: Vec<[u16; 3]> = (0..KAFKA_NODES)
        .map(|_| [free_port(), free_port(), free_port()])
        .collect();
    let mut doors = Vec::new();
    for [clients, ..] in &ports {
        doors.push(Door::to(*clients).await);
    }
    let nodes = (0..KAFKA_NODES).map(|index| {
        let directory = tempfile::tempdir().unwrap();
        let properties = properties(&directory, index, &ports, doors[index].port());
        let settings = directory.path().join("server.properties");
        std::fs::write(&settings, properties).unwrap();
        let mut format = java("kafka.tools.StorageTool");
        format.args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c"]);
        succeed(format.arg(&settings));
        let mut command = java("kafka.Kafka");
        command.arg(settings);
        Server::start(directory, ports[index][0], command)
    });
    let nodes = in_time("the Kafka nodes have found each other", join_all(nodes)).await;
    (nodes, doors)
}

/// A dead node is noticed after three seconds, not nine, so that a row takes no minute.
fn properties(directory: &TempDir, index: usize, ports: &[[u16; 3]], door: u16) -> String {
    let mut voters = String::new();
    for (id, [_, _, controller]) in (1..).zip(ports) {
        let comma = if id == 1 { "" } else { "," };
        write!(voters, "{comma}{id}@127.0.0.1:{controller}").unwrap();
    }
    let [clients, nodes, controller] = ports[index];
    let data = directory.path().join("data");
    format!(
        "process.roles=broker,controller
node.id={}
controller.quorum.voters={voters}
listeners=CLIENTS://127.0.0.1:{clients},NODES://127.0.0.1:{nodes},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{door},NODES://127.0.0.1:{nodes}
inter.broker.listener.name=NODES
controller.listener.names=CONTROLLER
listener.security.protocol.map=CLIENTS:PLAINTEXT,NODES:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
offsets.topic.num.partitions=1
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
replica.lag.time.max.ms=5000
log.cleaner.dedupe.buffer.size=16777216
",
        index + 1,
        data.display()
    )
}
