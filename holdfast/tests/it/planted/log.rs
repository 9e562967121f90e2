//! What was written into the log past the commit path.

use event_log::sqlite::{SqliteLog, SqliteSettings};
use event_log::{Entry, EventLog};
use record::{Partition, Position, RecordId, Topic};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{a_shop, audit, entries, finds, newest, place, stop};
use crate::harness::System;
use crate::properties::log::kafka;

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
    let log = open(system).await;
    let topic = match like["topic"].as_str().unwrap() {
        "orders" => Topic::Orders,
        "users" => Topic::Users,
        _ => Topic::Inventory,
    };
    let partition = log.layout().partition_of(topic, &text("aggregate"));
    append(&*log, partition, &text("aggregate"), payload).await
}

/// The log of a system, for writing past it.
async fn open(system: &System) -> Box<dyn EventLog> {
    match &system.services {
        None => Box::new(SqliteLog::open(system.data(), SqliteSettings::default()).unwrap()),
        Some(services) => Box::new(kafka(services).await),
    }
}

/// An entry as it stands in the log, byte by byte.
pub(super) async fn payload(system: &System, entry: &Value) -> String {
    let mut topics = Topic::ALL.into_iter();
    let topic = topics.find(|topic| entry["topic"] == topic.as_str());
    let number = entry["partition"].as_u64().unwrap() as u16;
    let position = Position {
        partition: Partition {
            topic: topic.unwrap(),
            number,
        },
        offset: entry["offset"].as_u64().unwrap(),
    };
    let raw = open(system).await.read_at(position).await.unwrap();
    String::from_utf8(raw.payload.to_vec()).unwrap()
}

async fn append(log: &dyn EventLog, partition: Partition, key: &str, payload: String) -> String {
    let entry = Entry {
        partition,
        key: key.to_owned(),
        payload: Some(payload.into()),
        id: RecordId(Uuid::now_v7()),
    };
    let offset = log.append_one(entry).await.unwrap().unwrap();
    let (topic, number) = (partition.topic.as_str(), partition.number);
    format!("{topic}/{number}@{offset}")
}

/// A fence of an epoch, in the first partition of a topic.
async fn fence(log: &dyn EventLog, topic: Topic, epoch: u64) -> String {
    let payload = format!(
        r#"{{"format":"001","id":"{}","epoch":"{epoch:020}","version":"{:020}","type":"fence","aggregate":"","body":null}}"#,
        Uuid::now_v7(),
        0
    );
    append(log, Partition { topic, number: 0 }, "", payload).await
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

/// An order for a price of somebody's own, and one of somebody who never came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_price_and_a_forged_customer_are_found() {
    let mut system = System::embedded().await;
    a_shop(&system).await;
    let entries = entries(&system).await;
    stop(&mut system).await;
    let placed = newest(&entries, "order-placed");
    let cheap = forge(&system, placed, |record| {
        an_order(record, Uuid::now_v7(), 1);
        let event = &mut record["body"]["events"][0];
        for money in ["unit_price", "total"] {
            event["lines"][0][money]["amount"] = json!(1);
        }
        event["total"]["amount"] = json!(1);
    })
    .await;
    let price = ["amounts", "sku LAMP", &cheap, "for 1 EUR, which it never"];
    finds(audit(&system), &[price]).await;

    let (order, stranger) = (Uuid::now_v7(), Uuid::now_v7());
    let place = forge(&system, placed, |record| {
        an_order(record, order, 1);
        record["body"]["events"][0]["user_id"] = json!(stranger);
    })
    .await;
    let about = format!("order {order}");
    let user = ["lives", &*about, &place, "who never registered"];
    finds(audit(&system), &[price, user]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_user_with_somebodys_address_is_found() {
    let mut system = System::embedded().await;
    a_shop(&system).await;
    let entries = entries(&system).await;
    stop(&mut system).await;
    let registered = newest(&entries, "user-registered");
    let id = Uuid::now_v7();
    let place = forge(&system, registered, |record| {
        record["aggregate"] = json!(id);
        record["body"].as_object_mut().unwrap().remove("key");
        record["body"]["events"][0]["id"] = json!(id);
    })
    .await;
    let hash = &registered["record"]["body"]["events"][0]["email_hash"];
    let about = format!("address {}", hash.as_str().unwrap());
    let found = format!("User {id} registers with it, but it is user");
    finds(audit(&system), &[["lives", &about, &place, &found]]).await;
}

/// Behind a fence that nobody claimed everything would be void, whatever its client was told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_fence_is_found() {
    let mut system = System::embedded().await;
    a_shop(&system).await;
    stop(&mut system).await;
    let place = fence(&*open(&system).await, Topic::Orders, 1 << 60).await;
    let found = "which nobody claimed";
    finds(audit(&system), &[["fences", "orders/0", &place, found]]).await;
}

/// An epoch that nobody said is open, with a fence in one topic alone: in the others, records of
/// the epoch before still count beside its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_epoch_without_all_of_its_fences_is_found() {
    let mut system = System::embedded().await;
    a_shop(&system).await;
    let entries = entries(&system).await;
    stop(&mut system).await;
    let epoch = {
        let first = json!({"topic": "epochs", "partition": 0, "offset": 0});
        let claim = payload(&system, &first).await;
        let (log, partition) = (open(&system).await, Partition::EPOCHS);
        let claimed = append(&*log, partition, "epochs", claim).await;
        let epoch: u64 = claimed.rsplit('@').next().unwrap().parse().unwrap();
        fence(&*log, Topic::Orders, epoch).await;
        epoch
    };
    let place = forge(&system, newest(&entries, "order-placed"), |record| {
        an_order(record, Uuid::now_v7(), 1);
        record["epoch"] = json!(format!("{epoch:020}"));
    })
    .await;
    let found = format!("Epoch {epoch} has records that count, but no fence here.");
    let missing = |partition| ["complete", partition, &place, &found];
    let expected = ["users/0", "inventory/0"].map(missing);
    finds(audit(&system), &expected).await;
}
