//! What was planted in the gate.

use uuid::Uuid;

use super::follow::Following;
use super::log::payload;
use super::{a_shop, audit, entries, finds, newest, place, stop};
use crate::harness::{Server, Services, System};

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

/// A record that was decided and that no node takes on: what it took is held by nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_that_stays_pending_is_found() {
    let redis = Server::redis().await;
    let services = Services {
        redis: format!("redis://{}", redis.address()),
        ..Services::shared().await
    };
    let name = services.name.clone();
    let mut system = System::distributed_on(services).await;
    a_shop(&system).await;
    let entries = entries(&system).await;
    stop(&mut system).await;
    let epoch = redis.ask(&["HGET", &format!("{{{name}}}:current"), "epoch"]);
    let hash = |of: &str| format!("{{{name}}}:{epoch}:{of}");
    let value = redis.ask(&["HGET", &hash("items"), "LAMP"]);
    let less = format!("2{}", value.strip_prefix('3').unwrap());
    redis.ask(&["HSET", &hash("items"), "LAMP", &less]);
    let (record, order) = (Uuid::now_v7().to_string(), Uuid::now_v7().to_string());
    let placed = newest(&entries, "order-placed");
    let mut payload = payload(&system, placed).await;
    for (field, new) in [("id", &record), ("aggregate", &order)] {
        payload = payload.replace(placed["record"][field].as_str().unwrap(), new);
    }
    let pending = format!("orders/0|00001||{payload}");
    assert_eq!(
        redis.ask(&["HSET", &hash("pending"), &record, &pending]),
        ":1"
    );
    let about = format!("record {record}");
    let found = format!("The decision of order {order} stays pending");
    finds(audit(&system), &[["gate", &about, "", &found]]).await;

    // A follower that is stopped while it waits for that has seen nothing.
    let mut following = Following::start(&system);
    following.says("Metrics are at ").await;
    assert_eq!(following.stopped_by("-TERM").await, Some(2));
}
