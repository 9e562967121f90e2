//! F12: the disk of the embedded log is full. A limit on the size of files stands in for it: a write
//! fails in its middle, as on a full disk, and room is made without a restart.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use futures::future::join_all;
use tempfile::TempDir;
use tokio::process::Command;

use super::Row;
use crate::checks::Asked;
use crate::harness::process::{holdfast, run_with};
use crate::harness::{Api, Client, Ended, Node, PASSWORD, eventually, fresh_key};
use crate::load::Load;
use crate::scene::Scene;
use crate::shop::ADMIN;

pub(super) const ROWS: &[Row] = &[row!(
    "F12.c",
    "the disk of the embedded log is full, then there is room again",
    f12_disk_full
)];

/// Bytes that the longest file may still grow.
const ROOM: u64 = 40_000;

/// The load leaves the shop on services, which is whole, and goes to an embedded one.
async fn f12_disk_full(scene: &mut Scene<'_>) {
    scene.close_shop().await;
    let embedded = Embedded::start().await;
    scene.load = Load::begin(&embedded.visitor(), 1).await;
    scene.load.accepts(40).await;

    scene.begins();
    let begun = Instant::now();
    embedded
        .limit(&(embedded.longest_file() + ROOM).to_string())
        .await;
    eventually("the disk is full", async || {
        (scene.load.ledger.unanswered_since(begun) >= 20).then_some(())
    })
    .await;
    // A checkpoint makes room in the log's own file, which would be written from its start again.
    embedded.limit("0").await;
    let keys: Vec<_> = (0..10).map(|_| fresh_key()).collect();
    let customer = scene.load.customers[0].clone();
    let order = |key: &String| customer.send(customer.order_call(key, "LAMP-1", 1));
    let orders = join_all(keys.iter().map(order)).await;
    let all_told = orders.iter().all(|answer| answer.status == 503);
    scene.expect(all_told, &format!("a full disk is answered {orders:?}"));
    embedded.limit("unlimited").await;
    scene.is_over();
    let worker = scene.load.worker();
    for key in keys {
        worker.order_with_key(&key, &[("LAMP-1", 1)]).await;
    }

    scene.come_right_at(&embedded).await;
    let said = embedded.node.said();
    scene.said_elsewhere.push(("serve".to_owned(), said));
}

/// An embedded shop.
struct Embedded {
    node: Node,
    api: Api,
    data: TempDir,
}

impl Embedded {
    /// Its server is told of a failed write, and not killed for it.
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let program = holdfast();
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(program.as_std().get_program())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .env("HOLDFAST_ADMIN_EMAIL", ADMIN)
            .env("HOLDFAST_ADMIN_PASSWORD", PASSWORD)
            .kill_on_drop(true);
        let node = Node::start_as(command).await;
        let api = Api::default();
        api.set(vec![node.address().to_owned()], node.address().to_owned());
        Self { node, api, data }
    }

    /// How large its files may become.
    async fn limit(&self, bytes: &str) {
        let pid = self.node.process.id().unwrap().to_string();
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &pid, &format!("--fsize={bytes}:")]);
        let output = prlimit.stdin(Stdio::null()).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    fn longest_file(&self) -> u64 {
        let folder: &Path = self.data.path();
        let files = std::fs::read_dir(folder).unwrap();
        let lengths = files.map(|file| file.unwrap().metadata().unwrap().len());
        lengths.max().unwrap_or_default()
    }
}

impl Asked for Embedded {
    const COMPARED: &'static [&'static str] = &["read-models"];

    fn visitor(&self) -> Client {
        Client::new(self.api.clone())
    }

    async fn tool(&self, name: &str) -> Ended {
        let mut command = holdfast();
        command.arg(name).arg("--data").arg(self.data.path());
        run_with(command, "").await
    }
}
