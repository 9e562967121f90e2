//! `holdfast audit` and `holdfast log`, beside running servers; what `sale` and `bench` leave.

use std::path::Path;
use std::process::Stdio;

use migrations::Database;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::harness::{PASSWORD, Services, System, eventually, holdfast, in_time, run_with, signal};

/// The command that audits everything that a system has.
fn audit(system: &System) -> Command {
    let mut command = system.tool("audit");
    if let Some(services) = &system.services {
        command.args(services.redis_arguments());
    }
    command.arg("--json");
    command
}

/// The command that shows the log of a system.
fn log(system: &System) -> Command {
    let mut command = holdfast();
    command.args(["log", "--data"]).arg(system.data());
    if let Some(services) = &system.services {
        command.args(services.kafka_arguments());
    }
    command
}

fn outcome(report: &str, check: &str) -> String {
    let report: Value = serde_json::from_str(report).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|found| found["check"] == check).unwrap();
    found["outcome"].as_str().unwrap().to_owned()
}

async fn the_tools_tell_what_happened(system: System, gate: &str) {
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 5).await;
    let placed = kim.order("LAMP", 2).await.is(201);
    kim.cancel(&placed.id()).await.is(200);
    kim.order("LAMP", 1).await.is(201);

    // Both are compared in a quiet moment: what was decided has to be settled and shown first.
    let report = eventually("gate and read models are compared", async || {
        let audited = run_with(audit(&system), "").await.succeeded();
        let said = ["gate", "read-models"].map(|check| outcome(&audited.stdout, check));
        (said == [gate, "ok"]).then_some(audited.stdout)
    })
    .await;
    for check in ["complete", "stock", "balance", "returns"] {
        assert_eq!(outcome(&report, check), "ok", "{check}: {report}");
    }

    let mut of_order = log(&system);
    of_order.args(["--order", &placed.id()]);
    let shown = run_with(of_order, "").await.succeeded().stdout;
    // A record that another node completes may stand twice.
    let once = |line: &&str| !line.contains("DUPLICATE");
    let lines: Vec<_> = shown.lines().filter(once).collect();
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].contains("placed 2 × LAMP"), "{shown}");
    assert!(
        lines[1].contains("cancelled, 2 × LAMP given back"),
        "{shown}"
    );

    let mut of_item = log(&system);
    of_item.args(["--sku", "LAMP", "--json"]);
    let shown = run_with(of_item, "").await.succeeded().stdout;
    let marks = shown.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["mark"].as_str().unwrap().to_owned()
    });
    let marks: Vec<_> = marks.filter(|mark| mark != "duplicate").collect();
    assert_eq!(marks, ["valid"; 5], "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tools_tell_what_happened_embedded() {
    the_tools_tell_what_happened(System::embedded().await, "not-checked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tools_tell_what_happened_on_services() {
    the_tools_tell_what_happened(System::distributed().await, "ok").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_changed_by_hand_makes_the_audit_fail() {
    let system = System::embedded().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 5).await;
    let received = admin.receive("LAMP", 1).await.is(201);
    kim.get("/v1/inventory/LAMP", &received.token).await.is(200);
    let rows = Database::sqlite_writer(&system.data().join("read-models.sqlite"));
    rows.execute("UPDATE inventory SET supplied = 7")
        .await
        .unwrap();
    let audited = run_with(audit(&system), "").await;
    assert_eq!(audited.status.code(), Some(1), "{audited:?}");
    assert_eq!(outcome(&audited.stdout, "read-models"), "broken");
    assert_eq!(outcome(&audited.stdout, "stock"), "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audit_that_cannot_run_says_so_by_its_own_exit_code() {
    let nothing = tempfile::tempdir().unwrap();
    let mut command = holdfast();
    command.args(["audit", "--data"]).arg(nothing.path());
    let audited = run_with(command, "").await;
    assert_eq!(audited.status.code(), Some(2), "{audited:?}");
    assert!(audited.stderr.contains("There is no log at"), "{audited:?}");
}

/// A mistyped prefix, say. Topics that a tool had made would look like a log the next time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_that_only_look_make_no_log() {
    let services = Services::shared().await;
    let nothing = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        for (tool, code) in [("log", 1), ("replay", 1), ("audit", 2)] {
            let mut command = holdfast();
            command.args([tool, "--data"]).arg(nothing.path());
            command.args(services.kafka_arguments());
            if tool != "log" {
                command.args(services.mysql_arguments());
            }
            let ended = run_with(command, "").await;
            assert_eq!(ended.status.code(), Some(code), "{tool}: {ended:?}");
            assert!(ended.stderr.contains("There is no log here"), "{ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_closes_the_pipe_ends_the_log_quietly() {
    let system = System::embedded().await;
    let mut command = log(&system);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut process = command.spawn().unwrap();
    drop(process.stdout.take());
    let ended = process.wait_with_output().await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

/// A command that keeps its files here.
fn quiet(mut command: Command, directory: &Path) -> Child {
    command.env("TMPDIR", directory).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

async fn stopped_by(mut process: Child, name: &str) -> Option<i32> {
    signal(process.id().unwrap(), name);
    let ended = in_time("it ends", process.wait()).await;
    ended.unwrap().code()
}

/// A file of a server that a command has started in a directory of its own.
fn is_there(directory: &Path, file: &str) -> Option<()> {
    let mut folders = std::fs::read_dir(directory).unwrap();
    let found = folders.any(|folder| folder.unwrap().path().join(file).exists());
    found.then_some(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_that_is_stopped_leaves_nothing_on_sale() {
    let system = System::embedded().await;
    let (admin, directory) = (system.admin().await, tempfile::tempdir().unwrap());
    for (before, name) in [(0, "-TERM"), (1, "-INT")] {
        let mut command = holdfast();
        command.args(["sale", "--buyers", "100000", "--yes", "--server"]);
        command.arg(system.command_apis[0].address());
        command.env("HOLDFAST_ADMIN_EMAIL", "admin@shop.example");
        command.env("HOLDFAST_ADMIN_PASSWORD", PASSWORD);
        let sale = quiet(command, directory.path());
        let statuses = async || {
            let items = admin.list("/v1/inventory").await;
            let status = |item: &Value| item["status"].as_str().unwrap().to_owned();
            items.iter().map(status).collect::<Vec<_>>()
        };
        eventually("it is on sale", async || {
            let statuses = statuses().await;
            let active = statuses.iter().filter(|status| *status == "active");
            (statuses.len() > before && active.count() == 1).then_some(())
        })
        .await;
        assert_eq!(stopped_by(sale, name).await, Some(1), "{name}");
        eventually("it is on sale no more", async || {
            let statuses = statuses().await;
            statuses.iter().all(|it| it == "discontinued").then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_of_its_own_that_is_stopped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = holdfast();
    command.args(["sale", "--buyers", "100000"]);
    let sale = quiet(command, directory.path());
    let there = async || is_there(directory.path(), "serve.log");
    eventually("its server starts", there).await;
    assert_eq!(stopped_by(sale, "-TERM").await, Some(1));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// While its servers start, and while it measures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_benchmark_that_is_stopped_leaves_nothing() {
    let services = Services::shared().await;
    let rows = Database::mysql(&services.mysql, 1).unwrap();
    let databases = async || {
        let sql = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name LIKE \
                   'holdfast_scratch_%'";
        rows.select(sql, &[]).await.unwrap()[0].integer(0).unwrap()
    };
    let before = databases().await;
    for (file, name) in [
        ("command-api.log", "-TERM"),
        ("projectors.log", "-INT"),
        ("query-api.log", "-TERM"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = holdfast();
        command.args(["bench", "--seconds", "60", "--connections", "2"]);
        command.args(services.all_arguments());
        let bench = quiet(command, directory.path());
        let there = async || is_there(directory.path(), file);
        eventually("its server starts", there).await;
        assert!(databases().await > before);
        assert_eq!(stopped_by(bench, name).await, Some(1), "{file} {name}");
        assert_eq!(databases().await, before, "{file} {name}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
