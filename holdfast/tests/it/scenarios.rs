//! What made other systems oversell, or refuse what they had, done to the whole program over HTTP.
//! The rows of which these tests are named are in `../SCENARIOS.md`, with the tests of all others.

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Server, Services, System, fresh_key, in_time};

/// After which a node gives up an answer of Redis and asks again.
const LONGER_THAN_A_CALL: Duration = Duration::from_secs(3);

/// Orders lines of (SKU, units) with this key, until the outcome is known.
async fn order_lines(client: &Client, key: &str, lines: &[(&str, u32)]) -> Answer {
    let line = |(sku, units): &(&str, u32)| json!({"sku": sku, "quantity": units});
    let body = json!({"lines": lines.iter().map(line).collect::<Vec<_>>()});
    client
        .send_until_known(|client| {
            let call = client.call(Method::POST, "/v1/orders");
            call.header("Idempotency-Key", key).json(&body)
        })
        .await
}

async fn set_stock(admin: &Client, sku: &str, available: i64, expected: i64) -> Answer {
    let path = format!("/v1/inventory/{sku}/stock");
    let body = json!({"available": available, "expected": expected});
    let key = fresh_key();
    admin
        .send_until_known(|admin| {
            let call = admin.call(Method::PUT, &path);
            call.header("Idempotency-Key", &key).json(&body)
        })
        .await
}

/// A system whose Redis nobody else uses.
async fn with_its_own_redis() -> (System, Server) {
    let redis = Server::redis().await;
    let services = Services {
        redis: format!("redis://{}", redis.address()),
        ..Services::shared().await
    };
    (System::distributed_on(services).await, redis)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t03_lines_of_one_sku_are_judged_by_their_sum() {
    let system = System::embedded().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 5).await;
    let refused = order_lines(&kim, &fresh_key(), &[("LAMP", 3), ("LAMP", 3)]).await;
    let refused = refused.problem(409, "out-of-stock");
    assert_eq!(
        (refused.number("requested"), refused.number("available")),
        (6, 5)
    );
    let placed = order_lines(&kim, &fresh_key(), &[("LAMP", 3), ("LAMP", 2)]).await;
    let placed = placed.is(201);
    assert_eq!(placed.body["lines"].as_array().map(Vec::len), Some(1));
    assert_eq!(placed.body["lines"][0]["quantity"], 5);
    assert_eq!(admin.left_in_gate("LAMP").await, 0);
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t04_orders_that_name_the_same_skus_in_any_order_do_not_block_each_other() {
    for system in [System::embedded().await, System::distributed().await] {
        orders_in_any_order_do_not_block_each_other(&system).await;
    }
}

async fn orders_in_any_order_do_not_block_each_other(system: &System) {
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 100).await;
    admin.stock("BULB", 100).await;
    let baskets: [&[(&str, u32)]; 3] = [
        &[("LAMP", 1), ("BULB", 1)],
        &[("BULB", 1), ("LAMP", 1)],
        &[("LAMP", 1), ("BULB", 1), ("LAMP", 1)],
    ];
    let orders = (0..60).map(|buyer| {
        let kim = &kim;
        async move {
            order_lines(kim, &fresh_key(), baskets[buyer % 3])
                .await
                .is(201)
        }
    });
    in_time("all are answered", join_all(orders)).await;
    system.shows(&admin, "LAMP", 20, 80).await;
    system.shows(&admin, "BULB", 40, 60).await;
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t21_a_double_click_takes_its_units_once() {
    let system = System::embedded().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 10).await;
    let clicks = (0..10).map(|_| kim.order_until_known("one-click", "LAMP", 2));
    let answers = join_all(clicks).await;
    let order = answers[0].id();
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 201 && answer.id() == order)
    );
    // None, where the first heard a 503 and its retry came to know as the others did.
    let firsts = answers.iter().filter(|answer| !answer.replayed).count();
    assert!(firsts <= 1, "{answers:?}");
    assert_eq!(admin.left_in_gate("LAMP").await, 8);
    system.shows(&admin, "LAMP", 8, 2).await;
    system.agrees().await;
}

/// Redis gets the call, runs it, and its answer is too late: the call is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t25_a_script_that_is_sent_again_takes_its_units_once() {
    let (system, redis) = with_its_own_redis().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 20).await;
    redis.pause();
    let mut orders = std::pin::pin!(join_all((0..10).map(|_| async {
        let key = fresh_key();
        kim.order_until_known(&key, "LAMP", 1).await.is(201).id()
    })));
    // The calls stand in the socket, whose answers nobody waits for any more, and run later.
    let early = tokio::time::timeout(LONGER_THAN_A_CALL, &mut orders).await;
    assert!(early.is_err(), "somebody was answered without the gate");
    redis.go_on();
    let mut orders = in_time("all are answered", orders).await;
    orders.sort_unstable();
    orders.dedup();
    assert_eq!(orders.len(), 10);
    assert_eq!(admin.left_in_gate("LAMP").await, 10);
    system.shows(&admin, "LAMP", 10, 10).await;
    system.agrees().await;
}

/// The first buyer's second line is sold out; the units of the first line were never taken, so
/// nobody else is refused because of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t26_an_order_that_fails_at_its_second_line_is_in_nobodys_way() {
    let system = System::distributed().await;
    let (admin, kim, lou) = (
        system.admin().await,
        system.customer().await,
        system.customer().await,
    );
    admin.stock("LAMP", 1).await;
    admin.stock("BULB", 1).await;
    lou.order("BULB", 1).await.is(201);
    for _ in 0..20 {
        let (key, other_key) = (fresh_key(), fresh_key());
        let fails = join_all((0..5).map(|_| async {
            let refused = order_lines(&kim, &fresh_key(), &[("LAMP", 1), ("BULB", 1)]).await;
            assert_eq!(
                refused.problem(409, "out-of-stock").body["sku"].as_str(),
                Some("BULB")
            );
        }));
        let buys = lou.order_until_known(&key, "LAMP", 1);
        let (_, bought) = tokio::join!(fails, buys);
        let order = bought.is(201).id();
        let gone = order_lines(&kim, &other_key, &[("BULB", 1), ("LAMP", 1)]).await;
        gone.problem(409, "out-of-stock");
        lou.cancel(&order).await.is(200);
    }
    system.shows(&admin, "LAMP", 1, 0).await;
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t28_the_last_unit_is_sold_and_not_one_more() {
    let system = System::embedded().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    for stock in 1..=4 {
        let sku = format!("LAMP-{stock}");
        admin.stock(&sku, stock).await;
        for _ in 0..stock {
            kim.order(&sku, 1).await.is(201);
        }
        let refused = kim.order(&sku, 1).await.problem(409, "out-of-stock");
        assert_eq!(refused.number("available"), 0);
        system.shows(&admin, &sku, 0, stock.into()).await;
    }
    system.agrees().await;
}

/// No node keeps a flag of its own: each refuses, and each sells again when units came back by
/// whatever way and through whichever node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t29_sold_out_ends_with_a_restock_on_every_node() {
    let system = System::distributed().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    let nodes = system.command_apis.len();
    admin.stock("LAMP", 1).await;
    let mut order = kim.order("LAMP", 1).await.is(201).id();
    for round in 0..6 {
        // Calls go to one node after the other, so each node says it.
        for _ in 0..nodes {
            kim.order("LAMP", 1).await.problem(409, "out-of-stock");
        }
        match round % 3 {
            0 => drop(admin.receive("LAMP", 1).await.is(201)),
            1 => drop(kim.cancel(&order).await.is(200)),
            _ => drop(set_stock(&admin, "LAMP", 1, 0).await.is(200)),
        }
        if round % 2 == 0 {
            // Another node than it would have been.
            kim.order("LAMP", 2).await.problem(409, "out-of-stock");
        }
        order = kim.order("LAMP", 1).await.is(201).id();
    }
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t33_nothing_is_sold_past_a_gate_that_is_away() {
    let (system, mut redis) = with_its_own_redis().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 3).await;
    redis.kill();
    let keys: Vec<_> = (0..5).map(|_| fresh_key()).collect();
    let sent = keys
        .iter()
        .map(|key| kim.send(kim.order_call(key, "LAMP", 1)));
    for answer in join_all(sent).await {
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.retry_after.is_some(), "{answer:?}");
    }
    redis.restart().await;
    let known = keys.iter().map(|key| kim.order_until_known(key, "LAMP", 1));
    let statuses: Vec<_> = join_all(known)
        .await
        .iter()
        .map(|known| known.status)
        .collect();
    let placed = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(placed, 3, "{statuses:?}");
    system.shows(&admin, "LAMP", 0, 3).await;
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t34_a_key_has_one_effect_for_one_request_of_one_user() {
    let system = System::distributed().await;
    let (admin, kim, lou) = (
        system.admin().await,
        system.customer().await,
        system.customer().await,
    );
    admin.stock("LAMP", 10).await;
    // In flight at once, on two nodes.
    let same = (0..6).map(|_| kim.order_until_known("basket", "LAMP", 1));
    let answers = join_all(same).await;
    let order = answers[0].id();
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 201 && answer.id() == order)
    );
    // Another body.
    let other = kim.order_until_known("basket", "LAMP", 2).await;
    other.problem(422, "idempotency-key-reused");
    // Another user: a key of its own.
    let of_lou = lou.order_until_known("basket", "LAMP", 2).await.is(201);
    assert_ne!(of_lou.id(), order);
    assert!(!of_lou.replayed);
    // Two bodies at once: one of them, and the other is told.
    let (first, second) = tokio::join!(
        kim.order_until_known("another-basket", "LAMP", 1),
        kim.order_until_known("another-basket", "LAMP", 3),
    );
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 422]);
    let taken = if first.status == 201 { 1 } else { 3 };
    system.shows(&admin, "LAMP", 7 - taken, 3 + taken).await;
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t35_an_absolute_figure_never_overwrites_orders_in_flight() {
    let system = System::embedded().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 50).await;
    let orders = join_all((0..30).map(|_| kim.order("LAMP", 1)));
    // Somebody counts the shelf meanwhile: from the figure that was true, until it is the one.
    let count = async {
        let (mut expected, mut changed) = (50, 0);
        loop {
            let answer = set_stock(&admin, "LAMP", expected + 5, expected).await;
            if answer.status == 200 {
                return changed;
            }
            expected = answer.problem(409, "stock-changed").number("available");
            changed += 1;
        }
    };
    let (orders, _) = in_time("the count succeeds", async { tokio::join!(orders, count) }).await;
    for order in orders {
        order.is(201);
    }
    // 55 supplied, whenever it was counted; 30 held, whatever was in flight.
    system.shows(&admin, "LAMP", 25, 30).await;
    let stale = set_stock(&admin, "LAMP", 50, 50).await;
    assert_eq!(stale.problem(409, "stock-changed").number("available"), 25);
    let item: Value = admin.get("/v1/inventory/LAMP", "").await.is(200).body;
    assert_eq!(item["supplied"], 55);
    system.agrees().await;
}

/// A table of tests is worth something only while they exist.
#[test]
fn every_test_that_the_table_names_exists() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let table = std::fs::read_to_string(workspace.join("holdfast/tests/SCENARIOS.md")).unwrap();
    let named: Vec<_> = table
        .split('`')
        .filter_map(|quoted| quoted.split_once(".rs::"))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    for (file, test) in named {
        let source = std::fs::read_to_string(workspace.join(format!("{file}.rs")));
        let source = source.unwrap_or_else(|error| panic!("{file}.rs: {error}"));
        assert!(
            source.contains(&format!("fn {test}(")),
            "{file}.rs has no {test}"
        );
    }
}
