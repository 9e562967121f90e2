//! `holdfast audit` finds what was planted: in the gate, in the rows, in the log. Each time it
//! finds that and nothing else, names it, says what mends it, and ends with exit code 1.

mod follow;
mod gate;
mod log;
mod rows;

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::harness::{Client, System, buy, customers, holdfast, run_with};

/// The command that audits everything that a system has.
fn audit(system: &System) -> Command {
    let mut command = system.tool("audit");
    if let Some(services) = &system.services {
        command.args(services.redis_arguments());
    }
    command
}

/// Everything that is broken in a report: the check, what about, since when, what was found.
fn broken(report: &Value) -> Vec<[String; 4]> {
    let mut broken = vec![];
    for check in report["checks"].as_array().unwrap() {
        for difference in check["differences"].as_array().unwrap_or(&vec![]) {
            assert_ne!(difference["mend"], "", "{difference}");
            let fields = [
                &check["check"],
                &difference["about"],
                &difference["since"],
                &difference["found"],
            ];
            broken.push(fields.map(|field| field.as_str().unwrap_or_default().to_owned()));
        }
    }
    broken
}

/// Audits and expects exactly these differences: check, what about, since where, words.
async fn finds(command: Command, expected: &[[&str; 4]]) {
    let mut command = command;
    let audited = run_with(command_with_json(&mut command), "").await;
    let report: Value = serde_json::from_str(&audited.stdout).unwrap();
    let found = broken(&report);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found[..3], expected[..3], "{found:#?}");
        assert!(found[3].contains(expected[3]), "{found:#?}");
    }
    assert_eq!(audited.status.code(), Some(1), "{audited:?}");
}

fn command_with_json(command: &mut Command) -> Command {
    command.arg("--json");
    std::mem::replace(command, holdfast())
}

/// A lamp of which five came; an order of two and one of one that was cancelled.
async fn a_shop(system: &System) {
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 5).await;
    kim.order("LAMP", 2).await.is(201);
    let cancelled = kim.order("LAMP", 1).await.is(201).id();
    kim.cancel(&cancelled).await.is(200);
    system.shows(&admin, "LAMP", 3, 2).await;
    system.agrees().await;
}

/// What stands in a log of which nothing is void.
async fn entries(system: &System) -> Vec<Value> {
    let mut command = holdfast();
    command.args(["log", "--json", "--data"]).arg(system.data());
    if let Some(services) = &system.services {
        command.args(services.kafka_arguments());
    }
    let shown = run_with(command, "").await.succeeded().stdout;
    let lines = shown.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn place(entry: &Value) -> String {
    let topic = entry["topic"].as_str().unwrap();
    format!("{topic}/{}@{}", entry["partition"], entry["offset"])
}

/// The newest entry of a topic and type of event.
fn newest<'a>(entries: &'a [Value], event: &str) -> &'a Value {
    let mut newest = entries.iter().rev();
    newest
        .find(|entry| entry["record"]["body"]["events"][0]["type"] == event)
        .unwrap()
}

/// Stops everything, so that a record can be written past it.
async fn stop(system: &mut System) {
    for node in &mut system.command_apis {
        node.kill().await;
    }
    for node in &mut system.projectors {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_order_that_is_missing_is_found() {
    let system = System::embedded().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 5).await;
    let placed = kim.order("LAMP", 2).await.is(201);
    system.shows(&admin, "LAMP", 3, 2).await;
    let list = tempfile::NamedTempFile::new().unwrap();
    let write = |lines: &[&str]| std::fs::write(list.path(), lines.join("\n")).unwrap();
    let with_list = || {
        let mut command = audit(&system);
        command.arg("--acknowledged").arg(list.path());
        command
    };
    let location = format!("/v1/orders/{}", placed.id());
    let sound = [
        "# as clients were told",
        &placed.id(),
        &location,
        &placed.token,
    ];
    write(&sound);
    run_with(with_list(), "").await.succeeded();
    let lost = Uuid::now_v7();
    write(&[&placed.id(), &format!("/v1/orders/{lost}")]);
    let about = format!("order {lost}");
    let found = "It was acknowledged, but 0 valid records stand in the log.";
    finds(with_list(), &[["acknowledged", &about, "", found]]).await;
    write(&[&placed.id(), "no-token"]);
    let refused = run_with(with_list(), "").await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("line 2 of"), "{refused:?}");
}

/// Customers come, order and cancel, prices and roles change, and an item comes and goes while it
/// looks: what is under way is no difference, and neither is what rests on what came while it
/// looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_shop_is_never_called_broken() {
    let system = System::distributed().await;
    let (admin, customers) = (system.admin().await, customers(&system).await);
    for sku in ["LAMP", "DESK"] {
        admin.stock(sku, 40).await;
    }
    let clerk = customers[0].get("/v1/sessions/current", "").await.is(200);
    let role = format!("/v1/users/{}/role", clerk.body["user_id"].as_str().unwrap());
    let done = async |method: Method, path: &str, body: Value| {
        let call = |admin: &Client| admin.call(method.clone(), path).json(&body);
        let answer = admin.send_until_known(call).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    };
    let (mut price, looked) = (1999, AtomicBool::new(false));
    let shopping = async {
        while !looked.load(Ordering::Relaxed) {
            price += 1;
            let item = json!({"name": "Lamp", "price": {"amount": price, "currency": "EUR"}});
            done(Method::PUT, "/v1/inventory/LAMP", item.clone()).await;
            let placed = buy(&customers, 20, "LAMP").placed().await;
            let new = system.customer().await.order("DESK", 1).await;
            assert!([201, 409].contains(&new.status), "{new:?}");
            let again = buy(&customers, 5, "DESK");
            let coming_and_going = async {
                done(Method::PUT, "/v1/inventory/VASE", item).await;
                done(Method::PUT, &role, json!({"role": "staff"})).await;
                done(Method::DELETE, "/v1/inventory/VASE", Value::Null).await;
                done(Method::PUT, &role, json!({"role": "customer"})).await;
            };
            let cancelling = join_all(placed.iter().map(|order| admin.cancel(order)));
            tokio::join!(coming_and_going, cancelling);
            again.placed().await;
        }
    };
    let looking = async {
        for _ in 0..3 {
            run_with(audit(&system), "").await.succeeded();
        }
        looked.store(true, Ordering::Relaxed);
    };
    tokio::join!(shopping, looking);
    system.agrees().await;
}
