//! A whole shop: its processes, its data, its administrator.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use super::process::{holdfast, run_with};
use super::{Api, Client, Ended, Node, Services, eventually};

const ADMIN: &str = "admin@shop.example";
pub(crate) const PASSWORD: &str = "correct horse";

/// A shop of a test's own. Dropped, its processes are killed and its data is gone.
pub(crate) struct System {
    /// The write side, or everything in one process.
    pub(crate) command_apis: Vec<Node>,
    pub(crate) projectors: Vec<Node>,
    pub(crate) query_api: Option<Node>,
    /// `None` is embedded.
    pub(crate) services: Option<Services>,
    pub(crate) api: Api,
    data: TempDir,
    settings: Vec<(&'static str, &'static str)>,
}

impl System {
    /// One process, one directory.
    pub(crate) async fn embedded() -> Self {
        Self::embedded_with(&[]).await
    }

    /// One process with these variables.
    pub(crate) async fn embedded_with(settings: &[(&'static str, &'static str)]) -> Self {
        Self::start(tempfile::tempdir().unwrap(), None, settings).await
    }

    /// Two `command-api`, a `projectors` and a `query-api` on the services that tests share.
    pub(crate) async fn distributed() -> Self {
        Self::distributed_on(Services::shared().await).await
    }

    /// The same on other services.
    pub(crate) async fn distributed_on(services: Services) -> Self {
        Self::distributed_with(services, &[]).await
    }

    /// The same with these variables.
    pub(crate) async fn distributed_with(
        services: Services,
        settings: &[(&'static str, &'static str)],
    ) -> Self {
        Self::start(tempfile::tempdir().unwrap(), Some(services), settings).await
    }

    /// One process in a directory that has a shop already.
    pub(crate) async fn embedded_in(data: TempDir) -> Self {
        Self::start(data, None, &[]).await
    }

    async fn start(
        data: TempDir,
        services: Option<Services>,
        settings: &[(&'static str, &'static str)],
    ) -> Self {
        let command_apis = if services.is_some() { 2 } else { 1 };
        let mut system = Self {
            command_apis: vec![],
            projectors: vec![],
            query_api: None,
            services,
            api: Api::default(),
            data,
            settings: settings.to_vec(),
        };
        for _ in 0..command_apis {
            let node = system.start_command_api().await;
            system.command_apis.push(node);
        }
        if system.services.is_some() {
            let node = system.start_projectors().await;
            system.projectors.push(node);
            system.query_api = Some(system.start_query_api().await);
        }
        system.publish();
        system.ready().await;
        system
    }

    /// The directory of the data, or of the keys alone.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// Starts one more write side, or the embedded whole.
    pub(crate) async fn start_command_api(&self) -> Node {
        let mut command = self.command(if self.services.is_some() {
            "command-api"
        } else {
            "serve"
        });
        if let Some(services) = &self.services {
            command
                .args(services.redis_arguments())
                .args(services.kafka_arguments());
        }
        Node::start_as(command).await
    }

    /// Starts every write side again; they were killed.
    pub(crate) async fn restart_command_apis(&mut self) {
        for index in 0..self.command_apis.len() {
            self.command_apis[index] = self.start_command_api().await;
        }
        self.publish();
        self.ready().await;
    }

    /// Starts one more `projectors`.
    pub(crate) async fn start_projectors(&self) -> Node {
        let services = self.services.as_ref().expect("a distributed system");
        let mut arguments = vec!["projectors".to_owned()];
        arguments.extend(services.kafka_arguments());
        arguments.extend(services.mysql_arguments());
        Node::start(&arguments).await
    }

    async fn start_query_api(&self) -> Node {
        let services = self.services.as_ref().expect("a distributed system");
        let mut command = self.command("query-api");
        command.args(services.mysql_arguments());
        Node::start_as(command).await
    }

    fn command(&self, name: &str) -> Command {
        let mut command = holdfast();
        command
            .arg(name)
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(self.data())
            .env("HOLDFAST_ADMIN_PASSWORD", PASSWORD)
            .envs(self.settings.iter().copied());
        if name != "query-api" {
            command.env("HOLDFAST_ADMIN_EMAIL", ADMIN);
        }
        command
    }

    /// A tool (`replay`, `audit`) that finds this shop's log and read models.
    pub(crate) fn tool(&self, name: &str) -> Command {
        let mut command = holdfast();
        command.arg(name).arg("--data").arg(self.data());
        if let Some(services) = &self.services {
            command
                .args(services.kafka_arguments())
                .args(services.mysql_arguments());
        }
        command
    }

    /// `user create`, which finds this shop's gate and log, with this on its stdin.
    pub(crate) async fn create_user(&self, email: &str, role: &str, stdin: &str) -> Ended {
        let mut command = holdfast();
        command.args(["user", "create", "--email", email, "--role", role, "--data"]);
        command.arg(self.data());
        if let Some(services) = &self.services {
            command
                .args(services.redis_arguments())
                .args(services.kafka_arguments());
        }
        run_with(command, stdin).await
    }

    /// Waits until the read models show this much available and held of a SKU.
    pub(crate) async fn shows(&self, client: &Client, sku: &str, available: i64, held: i64) {
        let path = format!("/v1/inventory/{sku}");
        eventually("the read models have caught up", async || {
            let item = client.get(&path, "").await;
            let same = item.status == 200
                && (item.number("available"), item.number("held")) == (available, held);
            same.then_some(())
        })
        .await;
    }

    /// The audit, a second reading of the raw log, finds every promise kept: log, read models and,
    /// where it can be asked, gate agree.
    pub(crate) async fn agrees(&self) {
        let mut compared = vec!["read-models"];
        compared.extend(self.services.as_ref().map(|_| "gate"));
        eventually(
            "nothing is under way, so that all is compared",
            async || {
                let mut audit = self.tool("audit");
                if let Some(services) = &self.services {
                    audit.args(services.redis_arguments());
                }
                let report = run_with(audit, "").await.succeeded().stdout;
                let holds = |name: &&str| {
                    let mut lines = report.lines().map(str::split_whitespace);
                    lines.any(|mut words| words.next() == Some(*name) && words.next() == Some("ok"))
                };
                compared.iter().all(holds).then_some(())
            },
        )
        .await;
    }

    /// Tells every client where the processes listen now.
    pub(crate) fn publish(&self) {
        let address = |node: &Node| node.address().to_owned();
        let writes: Vec<_> = self.command_apis.iter().map(address).collect();
        let reads = self.query_api.as_ref().map_or(writes[0].clone(), address);
        self.api.set(writes, reads);
    }

    /// Waits until every process says that it is ready.
    pub(crate) async fn ready(&self) {
        let nodes = self.command_apis.iter().chain(&self.projectors);
        for node in nodes.chain(&self.query_api) {
            let url = format!("{}/readyz", node.address());
            eventually("ready", async || {
                let answer = reqwest::get(&url).await.ok()?;
                answer.status().is_success().then_some(())
            })
            .await;
        }
    }

    /// Somebody without a token.
    pub(crate) fn visitor(&self) -> Client {
        Client::new(self.api.clone())
    }

    /// The administrator.
    pub(crate) async fn admin(&self) -> Client {
        self.visitor().log_in(ADMIN, PASSWORD).await
    }

    /// A new customer.
    pub(crate) async fn customer(&self) -> Client {
        let email = format!("{}@shop.example", uuid::Uuid::new_v4().simple());
        self.visitor().joins(&email, PASSWORD).await
    }
}
