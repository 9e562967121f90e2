//! What was planted in the gate.

use serde_json::Value;
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

/// A shop that nobody writes to any more, and its gate.
async fn a_shop_and_its_gate() -> (System, PlantedIn) {
    let redis = Server::redis().await;
    let services = Services {
        redis: format!("redis://{}", redis.address()),
        ..Services::shared().await
    };
    let name = services.name.clone();
    let mut system = System::distributed_on(services).await;
    a_shop(&system).await;
    stop(&mut system).await;
    let pointer = format!("{{{name}}}:current");
    let epoch = redis.ask(&["HGET", &pointer, "epoch"]);
    let prefix = format!("{{{name}}}:{epoch}");
    let gate = PlantedIn {
        redis,
        pointer,
        prefix,
    };
    (system, gate)
}

/// A gate in which something is planted.
struct PlantedIn {
    redis: Server,
    pointer: String,
    prefix: String,
}

impl PlantedIn {
    fn get(&self, of: &str, field: &str) -> String {
        let hash = format!("{}:{of}", self.prefix);
        self.redis.ask(&["HGET", &hash, field])
    }

    fn set(&self, of: &str, field: &str, value: &str) {
        let hash = format!("{}:{of}", self.prefix);
        self.redis.ask(&["HSET", &hash, field, value]);
    }

    /// Puts something in the place of what is there.
    fn change(&self, of: &str, field: &str, from: &str, to: &str) {
        let value = self.get(of, field);
        assert!(value.contains(from), "{value}");
        self.set(of, field, &value.replace(from, to));
    }
}

fn aggregate(entry: &Value) -> &str {
    entry["record"]["aggregate"].as_str().unwrap()
}

/// The order of two lamps, which lives.
fn of_two(entries: &[Value]) -> &Value {
    let mut placed = entries.iter().filter(|entry| {
        let event = &entry["record"]["body"]["events"][0];
        event["type"] == "order-placed" && event["lines"][0]["quantity"] == 2
    });
    placed.next().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_in_redis_is_found() {
    let (system, gate) = a_shop_and_its_gate().await;
    let entries = entries(&system).await;
    let order = aggregate(of_two(&entries));
    let registered = newest(&entries, "user-registered");
    let user = aggregate(registered);
    let event = &registered["record"]["body"]["events"][0];
    let hash = event["email_hash"].as_str().unwrap();
    gate.set("aggregates", &format!("orders:{order}"), "1|{");
    gate.set("items", "LAMP", "x");
    gate.set("claims", &format!("email:{hash}"), "nobody");
    gate.set("aggregates", &format!("users:{user}"), "x");
    let about = [
        format!("order {order}"),
        format!("user {user}"),
        format!("address {hash}"),
    ];
    let found = "What the gate has of it is damaged and cannot be read.";
    let of = |about| ["gate", about, "", found];
    let expected = [of("sku LAMP"), of(&about[0]), of(&about[1]), of(&about[2])];
    finds(audit(&system), &expected).await;

    let record = Uuid::now_v7().to_string();
    gate.set("pending", &record, "x");
    finds(audit(&system), &[of("what is pending")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_lines_and_roles_that_were_changed_in_redis_are_found() {
    let (system, gate) = a_shop_and_its_gate().await;
    let entries = entries(&system).await;
    let (order, user) = (of_two(&entries), newest(&entries, "user-registered"));
    let names = [order, user].map(aggregate);
    let about = [format!("order {}", names[0]), format!("user {}", names[1])];
    gate.change("items", "LAMP", "1999", "1");
    let of_order = format!("orders:{}", names[0]);
    gate.change("aggregates", &of_order, "\"quantity\":2", "\"quantity\":3");
    let of_user = format!("users:{}", names[1]);
    gate.change("aggregates", &of_user, "customer", "admin");
    let since = ["item-created", "session-started"].map(|event| place(newest(&entries, event)));
    let expected = [
        [
            "gate",
            "sku LAMP",
            &since[0],
            "The gate has it active at \"Lamp\" for 1 EUR since version 1, the log active at \
             \"Lamp\" for 1999 EUR since version 1.",
        ],
        ["gate", &about[0], &place(order), "other lines of it"],
        [
            "gate",
            &about[1],
            &since[1],
            "The gate has admin at version",
        ],
    ];
    finds(audit(&system), &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_epoch_that_nobody_claimed_is_found() {
    let (system, gate) = a_shop_and_its_gate().await;
    gate.redis.ask(&["HSET", &gate.pointer, "epoch", "99"]);
    let found = "It is open in the gate, but nobody claimed it in this log";
    finds(audit(&system), &[["gate", "epoch 99", "", found]]).await;
}
