//! F12: the disk of the embedded log is full. A limit on the size of files stands in for it: a write
//! fails in its middle, as on a full disk, and room is made without a restart.

use std::path::Path;
use std::process::Stdio;

use futures::future::join_all;
use tokio::process::Command;

use super::Row;
use crate::harness::process::{holdfast, run_with};
use crate::harness::{Api, Client, Node, PASSWORD, eventually, fresh_key};
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[row!(
    "F12.c",
    "the disk of the embedded log is full, then there is room again",
    f12_disk_full
)];

/// Bytes that the longest file may still grow.
const ROOM: u64 = 40_000;

async fn f12_disk_full(scene: &mut Scene<'_>) {
    let measured = scene.come_right().await;
    let data = tempfile::tempdir().unwrap();
    let node = serve(data.path()).await;
    let api = Api::default();
    api.set(vec![node.address().to_owned()], node.address().to_owned());
    let admin = Client::new(api.clone());
    let admin = admin.log_in("admin@shop.example", PASSWORD).await;
    admin.stock("LAMP", 500).await;
    let pid = node.process.id().unwrap();

    limit(pid, &(longest_file(data.path()) + ROOM).to_string()).await;
    let mut keys = vec![];
    let full = loop {
        let key = fresh_key();
        let answer = admin.send(admin.order_call(&key, "LAMP", 1)).await;
        keys.push(key);
        if answer.status != 201 || keys.len() > 300 {
            break answer;
        }
    };
    let more = (0..10).map(|_| admin.order("LAMP", 1));
    let more = join_all(more).await;
    let all_told = more.iter().chain([&full]).all(|it| it.status == 503);
    scene.expect(
        all_told,
        &format!("a full disk is answered {full:?}, {more:?}"),
    );

    limit(pid, "unlimited").await;
    let known = keys
        .iter()
        .map(|key| admin.order_until_known(key, "LAMP", 1));
    let known = join_all(known).await;
    let placed = known.iter().filter(|answer| answer.status == 201).count();
    scene.expect(
        placed == keys.len(),
        "an order with stock for it was refused",
    );
    let (mut ids, orders) = (
        known.iter().map(|it| it.id()).collect::<Vec<_>>(),
        keys.len(),
    );
    ids.sort_unstable();
    ids.dedup();
    scene.expect(ids.len() == orders, "one order has two keys");
    eventually("the audit finds nothing wrong", async || {
        let mut audit = holdfast();
        audit.arg("audit").arg("--data").arg(data.path());
        run_with(audit, "").await.status.success().then_some(())
    })
    .await;
    scene.measured = Some(measured);
}

/// An embedded server that is told of a failed write, and not killed for it.
async fn serve(data: &Path) -> Node {
    let program = holdfast();
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(program.as_std().get_program())
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .env("HOLDFAST_ADMIN_EMAIL", "admin@shop.example")
        .env("HOLDFAST_ADMIN_PASSWORD", PASSWORD)
        .kill_on_drop(true);
    Node::start_as(command).await
}

/// How large the files of a process may become.
async fn limit(pid: u32, bytes: &str) {
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--pid", &pid.to_string(), &format!("--fsize={bytes}:")]);
    let output = prlimit.stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn longest_file(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    let lengths = files.map(|file| file.unwrap().metadata().unwrap().len());
    lengths.max().unwrap_or_default()
}
