//! `holdfast audit` finds what was planted: in the gate, in the rows, in the log. Each time it
//! finds that and nothing else, names it, says what mends it, and ends with exit code 1.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use event_log::kafka::{KafkaLog, KafkaSettings, Replication};
use event_log::sqlite::{SqliteLog, SqliteSettings};
use event_log::{Entry, EventLog};
use futures::future::join_all;
use migrations::Database;
use record::{Partition, RecordId, Topic};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::harness::{
    Server, Services, System, buy, customers, eventually, holdfast, in_time, run_with, signal,
};

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

/// Appends what no server would, and returns where it stands.
async fn forge(system: &System, like: &Value, change: impl FnOnce(&mut Value)) -> String {
    let mut record = like["record"].clone();
    record["id"] = json!(Uuid::now_v7());
    change(&mut record);
    let text = |field: &str| record[field].as_str().unwrap().to_owned();
    let payload = format!(
        r#"{{"format":"001","id":"{}","epoch":"{}","version":"{}","type":"{}","aggregate":"{}","body":{}}}"#,
        text("id"),
        text("epoch"),
        text("version"),
        text("type"),
        text("aggregate"),
        record["body"]
    );
    let log: Box<dyn EventLog> = match &system.services {
        None => Box::new(SqliteLog::open(system.data(), SqliteSettings::default()).unwrap()),
        Some(services) => {
            let settings = KafkaSettings {
                brokers: services.kafka.clone(),
                topic_prefix: format!("{}.", services.name),
                replication: Replication::SingleBroker,
                ..KafkaSettings::default()
            };
            Box::new(KafkaLog::open(settings).await.unwrap())
        }
    };
    let topic = match like["topic"].as_str().unwrap() {
        "orders" => Topic::Orders,
        _ => Topic::Inventory,
    };
    let number = log.layout().partition_of(topic, &text("aggregate")).number;
    let entry = Entry {
        partition: Partition { topic, number },
        key: text("aggregate"),
        payload: Some(payload.into()),
        id: RecordId(text("id").parse().unwrap()),
    };
    let offset = log.append_one(entry).await.unwrap().unwrap();
    format!("{}/{number}@{offset}", topic.as_str())
}

/// An order that takes so many lamps, as the body of a record.
fn an_order(record: &mut Value, id: Uuid, quantity: i64) {
    record["aggregate"] = json!(id);
    record["version"] = json!(format!("{:020}", 1));
    let body = &mut record["body"];
    body.as_object_mut().unwrap().remove("key");
    let event = &mut body["events"][0];
    event["id"] = json!(id);
    let total = json!({"amount": 1999 * quantity, "currency": "EUR"});
    event["lines"][0]["quantity"] = json!(quantity);
    event["lines"][0]["total"] = total.clone();
    event["total"] = total;
    body["movements"][0]["quantity"] = json!(-quantity);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_counter_that_was_changed_by_one_in_redis_is_found() {
    let redis = Server::redis().await;
    let services = Services {
        redis: format!("redis://{}", redis.address()),
        ..Services::shared().await
    };
    let name = services.name.clone();
    let system = System::distributed_on(services).await;
    a_shop(&system).await;
    let epoch = redis.ask(&["HGET", &format!("{{{name}}}:current"), "epoch"]);
    let items = format!("{{{name}}}:{epoch}:items");
    let value = redis.ask(&["HGET", &items, "LAMP"]);
    let more = format!("4{}", value.strip_prefix('3').unwrap());
    redis.ask(&["HSET", &items, "LAMP", &more]);
    let entries = entries(&system).await;
    let newest = place(newest(&entries, "order-cancelled"));
    let found = "The gate has 4 available of 5 supplied, the log 3 of 5.";
    finds(audit(&system), &[["gate", "sku LAMP", &newest, found]]).await;

    // An order that the gate forgot could be cancelled by nobody.
    redis.ask(&["HSET", &items, "LAMP", &value]);
    let placed = self::newest(&entries[..], "order-placed")["record"]["aggregate"].clone();
    let live = entries.iter().find(|entry| {
        let record = &entry["record"];
        record["body"]["events"][0]["type"] == "order-placed" && record["aggregate"] != placed
    });
    let live = live.unwrap();
    let id = live["record"]["aggregate"].as_str().unwrap();
    let aggregates = format!("{{{name}}}:{epoch}:aggregates");
    assert_eq!(
        redis.ask(&["HDEL", &aggregates, &format!("orders:{id}")]),
        ":1"
    );
    let about = format!("order {id}");
    let found = "It is placed in the log, but the gate does not know it.";
    finds(audit(&system), &[["gate", &about, &place(live), found]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_changed_in_mysql_are_found() {
    let system = System::distributed().await;
    a_shop(&system).await;
    let entries = entries(&system).await;
    let mysql = &system.services.as_ref().unwrap().mysql;
    let rows = Database::mysql(mysql, 1).unwrap();
    let moved = place(newest(&entries, "order-cancelled"));
    for (change, back, found) in [
        (
            "UPDATE inventory SET held = held + 1",
            "UPDATE inventory SET held = held - 1",
            "The row says 5 supplied, 3 held, 0 sold; the log 5, 2, 0.",
        ),
        (
            "UPDATE inventory_movements SET quantity = quantity + 1 WHERE reason = 'received'",
            "UPDATE inventory_movements SET quantity = quantity - 1 WHERE reason = 'received'",
            "Its ledger has 4 entries that move 4, the log 4 that move 3.",
        ),
    ] {
        rows.execute(change).await.unwrap();
        finds(
            audit(&system),
            &[["read-models", "sku LAMP", &moved, found]],
        )
        .await;
        rows.execute(back).await.unwrap();
    }
    let registered = newest(&entries, "user-registered");
    let id = registered["record"]["aggregate"].as_str().unwrap();
    let sql = format!(
        "UPDATE users SET role = 'admin' WHERE id = x'{}'",
        id.replace('-', "")
    );
    rows.execute(sqlx::AssertSqlSafe(sql)).await.unwrap();
    let session = place(newest(&entries, "session-started"));
    let about = format!("user {id}");
    let found = "The row says admin";
    finds(audit(&system), &[["read-models", &about, &session, found]]).await;
}

async fn a_forged_oversell_is_found(mut system: System) {
    a_shop(&system).await;
    let entries = entries(&system).await;
    stop(&mut system).await;
    let like = newest(&entries, "order-placed");
    let order = Uuid::now_v7();
    let place = forge(&system, like, |record| an_order(record, order, 4)).await;
    let found = "1 more were taken than supplied";
    let command = system.tool("audit");
    finds(command, &[["stock", "sku LAMP", &place, found]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_order_that_oversells_is_found_embedded() {
    a_forged_oversell_is_found(System::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_order_that_oversells_is_found_on_services() {
    a_forged_oversell_is_found(System::distributed().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_records_are_found_one_after_the_other() {
    let mut system = System::embedded().await;
    a_shop(&system).await;
    let entries = entries(&system).await;
    stop(&mut system).await;
    let (placed, moved) = (
        newest(&entries, "order-placed"),
        newest(&entries, "stock-moved"),
    );

    let gap = forge(&system, moved, |record| {
        record["version"] = json!(format!("{:020}", 9));
        record["body"].as_object_mut().unwrap().remove("key");
    })
    .await;
    let gap = ["versions", "sku LAMP", &gap, "Version 9 follows version 2"];
    finds(audit(&system), &[gap]).await;

    let order = Uuid::now_v7();
    let again = forge(&system, placed, |record| {
        let key = record["body"]["key"].clone();
        an_order(record, order, 1);
        record["body"]["key"] = key;
    })
    .await;
    let key = placed["record"]["body"]["key"]["key"].as_str().unwrap();
    let key = format!("key {key}");
    let twice = ["keys", &*key, &again, &place(placed)];
    finds(audit(&system), &[gap, twice]).await;

    let order = Uuid::now_v7();
    let other = forge(&system, placed, |record| {
        an_order(record, order, 2);
        record["body"]["movements"][0]["quantity"] = json!(-1);
    })
    .await;
    let about = format!("order {order}");
    let moves = ["movements", &*about, &other, "but it states"];
    let balance = ["balance", "sku LAMP", "", "held and 0 sold"];
    finds(audit(&system), &[gap, twice, moves, balance]).await;
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

/// Orders and cancellations go on while it looks: what is under way is no difference.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_shop_is_never_called_broken() {
    let system = System::distributed().await;
    let (admin, customers) = (system.admin().await, customers(&system).await);
    for sku in ["LAMP", "DESK"] {
        admin.stock(sku, 40).await;
    }
    let looked = AtomicBool::new(false);
    let shopping = async {
        while !looked.load(Ordering::Relaxed) {
            let placed = buy(&customers, 20, "LAMP").placed().await;
            let again = buy(&customers, 5, "DESK");
            join_all(placed.iter().map(|order| admin.cancel(order))).await;
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

/// `audit --follow`, line by line.
struct Following {
    process: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl Following {
    fn start(system: &System) -> Self {
        let mut command = audit(system);
        command.args(["--follow", "--interval", "1", "--metrics", "127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next line that has these words.
    async fn says(&mut self, words: &str) -> String {
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(words) {
                    return line;
                }
            }
            panic!("it ended without saying {words:?}")
        };
        in_time(words, reading).await
    }

    async fn stopped_by(mut self, name: &str) -> Option<i32> {
        signal(self.process.id().unwrap(), name);
        in_time("it ends", self.process.wait())
            .await
            .unwrap()
            .code()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_tells_what_changes_and_serves_it_as_metrics() {
    let system = System::embedded().await;
    a_shop(&system).await;
    let mut following = Following::start(&system);
    let address = following.says("Metrics are at ").await;
    let address = address.rsplit(' ').next().unwrap().to_owned();
    following.says("every promise that was checked holds").await;
    let metrics = async |wanted: &str| {
        eventually("the metrics show it", async || {
            let text = reqwest::get(&address).await.ok()?.text().await.ok()?;
            text.contains(wanted).then_some(text)
        })
        .await
    };
    let text = metrics(r#"holdfast_audit_differences{check="read-models"} 0"#).await;
    assert!(
        text.contains("holdfast_audit_last_ok_timestamp_seconds "),
        "{text}"
    );
    assert!(text.contains("holdfast_audit_lag_entries "), "{text}");

    let rows = Database::sqlite_writer(&system.data().join("read-models.sqlite"));
    rows.execute("UPDATE inventory SET supplied = 7")
        .await
        .unwrap();
    let line = following
        .says("BROKEN  read-models: sku LAMP, since ")
        .await;
    assert!(line.contains("The row says 7 supplied"), "{line}");
    assert!(
        line.contains("To mend it: Rebuild the read models"),
        "{line}"
    );
    metrics(r#"holdfast_audit_differences{check="read-models"} 1"#).await;
    rows.execute("UPDATE inventory SET supplied = 5")
        .await
        .unwrap();
    following.says("gone    read-models: sku LAMP").await;
    assert_eq!(following.stopped_by("-TERM").await, Some(1));

    let mut following = Following::start(&system);
    following.says("every promise that was checked holds").await;
    assert_eq!(following.stopped_by("-INT").await, Some(0));
}
