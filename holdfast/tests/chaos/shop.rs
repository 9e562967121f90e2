//! One row's shop: two `command-api`, two `projectors` and a `query-api`, with a Redis and its
//! replica of its own, and topics and a database of its own on the stage's services.
//!
//! Each `command-api` reaches Redis through a door of its own, so that two of them can be led to
//! two masters.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::checks::Asked;
use crate::door::Door;
use crate::harness::process::{holdfast, run_with};
use crate::harness::{
    Api, Client, Ended, Node, PASSWORD, Server, Services, eventually, in_time, signal,
};
use crate::stage::Stage;

/// Whom `command-api` makes the administrator.
pub(crate) const ADMIN: &str = "admin@shop.example";

/// A snapshot is made after so few records that most rows find one, and looked for every second.
const SNAPSHOT_RECORDS: &str = "30";
/// As always, and in whose way a projector was.
const PROJECTORS_LOG: &str = "info,librdkafka=warn,sqlx=warn,projectors=debug";

/// What a process of the shop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The write side, by its number.
    CommandApi(usize),
    /// The projectors, by their number.
    Projectors(usize),
    /// The read side.
    QueryApi,
}

impl Role {
    pub(crate) fn name(self) -> String {
        match self {
            Self::CommandApi(number) => format!("command-api-{number}"),
            Self::Projectors(number) => format!("projectors-{number}"),
            Self::QueryApi => "query-api".to_owned(),
        }
    }
}

/// A running shop. Dropped, its processes are killed and its data is gone.
pub(crate) struct Shop {
    pub(crate) command_apis: Vec<Node>,
    pub(crate) projectors: Vec<Node>,
    pub(crate) query_api: Node,
    /// The master, and its replica.
    pub(crate) redis: [Server; 2],
    /// One before each `command-api`.
    pub(crate) redis_doors: [Door; 2],
    pub(crate) services: Services,
    pub(crate) api: Api,
    data: TempDir,
    failpoint: &'static str,
    /// What processes said that have ended.
    earlier: Vec<(String, String)>,
}

impl Shop {
    /// Opens a shop whose processes have this failpoint.
    pub(crate) async fn open(stage: &Stage, failpoint: &'static str) -> Self {
        let redis = [crate::redis::start().await, crate::redis::start().await];
        let replicate = format!("REPLICAOF 127.0.0.1 {}", redis[0].port);
        redis[1].command(&replicate);
        until_replicated(&redis[1]).await;
        let doors = [Door::to(redis[0].port).await, Door::to(redis[0].port).await];
        let url = format!("redis://{}", redis[0].address());
        let services = Services::of(&url, &stage.brokers(), &stage.mysql_url()).await;
        let data = tempfile::tempdir().unwrap();
        let api = Api::default();
        let started = Started {
            services: &services,
            doors: &doors,
            data: data.path(),
            failpoint,
        };
        let start = |role| started.start(role);
        // The first makes the topics and the keys that the others find.
        let first = start(Role::CommandApi(0)).await;
        let (second, read, one, two) = tokio::join!(
            start(Role::CommandApi(1)),
            start(Role::QueryApi),
            start(Role::Projectors(0)),
            start(Role::Projectors(1)),
        );
        let shop = Self {
            command_apis: vec![first, second],
            projectors: vec![one, two],
            query_api: read,
            redis,
            redis_doors: doors,
            services,
            api,
            data,
            failpoint,
            earlier: vec![],
        };
        shop.publish();
        shop.ready().await;
        shop
    }

    /// Tells every client where the processes listen now.
    pub(crate) fn publish(&self) {
        let address = |node: &Node| node.address().to_owned();
        let writes = self.command_apis.iter().map(address).collect();
        self.api.set(writes, self.query_api.address().to_owned());
    }

    /// One of its processes.
    pub(crate) fn node(&mut self, role: Role) -> &mut Node {
        match role {
            Role::CommandApi(number) => &mut self.command_apis[number],
            Role::Projectors(number) => &mut self.projectors[number],
            Role::QueryApi => &mut self.query_api,
        }
    }

    /// Lets the next process that comes to the failpoint suffer what it says.
    pub(crate) fn arm(&self) {
        std::fs::write(armed(self.data.path()), "").unwrap();
    }

    /// Sets the clock of a process wrong by this much.
    pub(crate) fn set_clock(&self, role: Role, seconds: i64) {
        std::fs::write(clock(self.data.path(), role), seconds.to_string()).unwrap();
    }

    /// Waits until a process has suffered what its failpoint says; which one that is.
    pub(crate) async fn struck(&mut self) -> Role {
        let roles: Vec<_> = self.nodes().map(|(role, _)| role).collect();
        let mut struck = None;
        eventually("a process came to its failpoint", async || {
            for role in &roles {
                if is_down(self.node(*role)) {
                    struck = Some(*role);
                }
            }
            struck
        })
        .await
    }

    /// Starts a process again whose last one has ended.
    pub(crate) async fn restart(&mut self, role: Role) {
        let new = self.started().start(role).await;
        let old = std::mem::replace(self.node(role), new);
        self.earlier.push((role.name(), old.said()));
        self.publish();
    }

    /// The replica is the master from now on, and the other way round.
    pub(crate) fn replica_is_master(&mut self) {
        self.redis.swap(0, 1);
        self.services.redis = format!("redis://{}", self.redis[0].address());
    }

    fn started(&self) -> Started<'_> {
        Started {
            services: &self.services,
            doors: &self.redis_doors,
            data: self.data.path(),
            failpoint: self.failpoint,
        }
    }

    /// Starts a process that refuses to; what it says.
    pub(crate) async fn refuses_to_start(&self, role: Role) -> String {
        let started = self.started();
        run_with(started.command(role), "")
            .await
            .refused()
            .to_owned()
    }

    /// Waits until every process says that it is ready.
    pub(crate) async fn ready(&self) {
        for (role, node) in self.nodes() {
            let url = format!("{}/readyz", node.address());
            eventually(&format!("{} is ready", role.name()), async || {
                let answer = reqwest::get(&url).await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
        }
    }

    fn nodes(&self) -> impl Iterator<Item = (Role, &Node)> {
        let writes = (0..).map(Role::CommandApi).zip(&self.command_apis);
        let projectors = (0..).map(Role::Projectors).zip(&self.projectors);
        writes
            .chain(projectors)
            .chain([(Role::QueryApi, &self.query_api)])
    }

    /// All that its processes have said so far, with the names of those who said it.
    pub(crate) fn said(&self) -> Vec<(String, String)> {
        let now = self.nodes().map(|(role, node)| (role.name(), node.said()));
        self.earlier.iter().cloned().chain(now).collect()
    }

    /// The snapshots that one of the `command-api` keeps, the newest first.
    pub(crate) fn snapshots(&self, number: usize) -> Vec<PathBuf> {
        let folder = snapshots(self.data.path(), Role::CommandApi(number));
        let files = std::fs::read_dir(folder).into_iter().flatten();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|it| it == "fold"));
        // Their names end with how far they go.
        files.sort_unstable();
        files.reverse();
        files
    }
}

impl Asked for Shop {
    const COMPARED: &'static [&'static str] = &["read-models", "gate"];

    fn visitor(&self) -> Client {
        Client::new(self.api.clone())
    }

    async fn tool(&self, name: &str) -> Ended {
        run_with(self.tool_command(name), "").await
    }
}

impl Shop {
    /// Also `epoch change`.
    fn tool_command(&self, name: &str) -> Command {
        let mut command = holdfast();
        command.args(name.split(' '));
        command.arg("--data").arg(self.data.path());
        command.args(kafka_arguments(&self.services));
        if ["replay", "audit"].contains(&name) {
            command.args(self.services.mysql_arguments());
        }
        if ["audit", "epoch change"].contains(&name) {
            command.args(self.services.redis_arguments());
        }
        if name == "epoch change" {
            // As the servers have it, by default.
            command.args(["--key-retention-hours", "168"]);
        }
        command
    }

    /// Begins a planned change of the epoch, and returns when it stands still at this point.
    pub(crate) async fn change_epoch_up_to(&self, point: &str) -> Stopped {
        self.arm();
        let mut command = self.tool_command("epoch change");
        let stop = format!("{point}=return(stop@{})", armed(self.data.path()).display());
        let piped = command
            .env("FAILPOINTS", stop)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let process = piped.spawn().unwrap();
        let pid = process.id().expect("it runs");
        eventually(&format!("the change came to {point}"), async || {
            is_stopped(pid).then_some(())
        })
        .await;
        Stopped(process)
    }
}

/// A tool that stands still. Dropped, it is killed.
pub(crate) struct Stopped(Child);

impl Stopped {
    /// Lets it go on, however it ends.
    pub(crate) async fn goes_on_to_its_end(self) {
        signal(self.0.id().expect("it runs"), "-CONT");
        let ended = in_time("the tool has ended", self.0.wait_with_output()).await;
        ended.unwrap();
    }
}

/// What a process is started with.
struct Started<'a> {
    services: &'a Services,
    doors: &'a [Door; 2],
    data: &'a Path,
    failpoint: &'static str,
}

impl Started<'_> {
    async fn start(&self, role: Role) -> Node {
        Node::start_as(self.command(role)).await
    }

    fn command(&self, role: Role) -> Command {
        let mut command = holdfast();
        match role {
            Role::CommandApi(number) => {
                command.arg("command-api");
                self.of_api(&mut command);
                let door = self.doors[number].address();
                command.args(["--redis", &format!("redis://{door}")]);
                command.args(["--redis-namespace", &self.services.name]);
                command.args(kafka_arguments(self.services));
                command.args(["--snapshot-records", SNAPSHOT_RECORDS, "--snapshot-dir"]);
                command.arg(snapshots(self.data, role));
                command.env("HOLDFAST_ADMIN_EMAIL", ADMIN);
                command.env("HOLDFAST_ADMIN_PASSWORD", PASSWORD);
            }
            Role::Projectors(_) => {
                command.arg("projectors");
                command.args(kafka_arguments(self.services));
                command.args(self.services.mysql_arguments());
                command.env("HOLDFAST_LOG", PROJECTORS_LOG);
            }
            Role::QueryApi => {
                command.arg("query-api");
                self.of_api(&mut command);
                command.args(self.services.mysql_arguments());
            }
        }
        let clock = clock(self.data, role);
        let mut failpoints = format!("snapshots=return(1);clock=return({})", clock.display());
        if let Some((point, action)) = self.failpoint.split_once('=') {
            let armed = armed(self.data);
            write!(failpoints, ";{point}=return({action}@{})", armed.display()).unwrap();
        }
        command
            .args(["--listen", "127.0.0.1:0"])
            .env("FAILPOINTS", failpoints);
        command
    }

    fn of_api(&self, command: &mut Command) {
        command.arg("--data").arg(self.data);
    }
}

/// Whether it runs no instructions: it has ended, or is stopped.
fn is_down(node: &mut Node) -> bool {
    if !matches!(node.process.try_wait(), Ok(None)) {
        return true;
    }
    is_stopped(node.process.id().expect("it runs"))
}

fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state is the first word after the name, which stands in parentheses.
    let state = stat.rsplit(") ").next();
    state.is_some_and(|state| state.starts_with('T'))
}

fn armed(data: &Path) -> PathBuf {
    data.join("armed")
}

fn clock(data: &Path, role: Role) -> PathBuf {
    data.join(format!("clock-{}", role.name()))
}

fn snapshots(data: &Path, role: Role) -> PathBuf {
    data.join(format!("snapshots-{}", role.name()))
}

fn kafka_arguments(services: &Services) -> Vec<String> {
    let mut arguments = services.kafka_arguments();
    arguments.retain(|argument| argument != "--kafka-single-broker");
    arguments
}

/// Waits until a replica has all that its master had.
async fn until_replicated(replica: &Server) {
    eventually("the replica follows", async || {
        let role = crate::redis::ask(replica, &["INFO", "replication"]).await;
        role.contains("master_link_status:up").then_some(())
    })
    .await;
}
