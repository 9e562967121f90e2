//! An order's life as a client sees it, embedded and distributed alike.

use serde_json::json;

use crate::harness::System;

async fn an_order_is_placed_read_cancelled_and_its_stock_comes_back(system: System) {
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 3).await;
    let placed = kim.order("LAMP", 2).await.is(201);
    let path = format!("/v1/orders/{}", placed.id());
    let read = kim.get(&path, &placed.token).await.is(200);
    assert_eq!(read.body, placed.body);
    let refused = kim.order("LAMP", 2).await.problem(409, "out-of-stock");
    assert_eq!(refused.number("available"), 1);
    // The order's token waits for orders, not for the stock's own partition.
    system.shows(&kim, "LAMP", 1, 2).await;

    let cancelled = kim.cancel(&placed.id()).await.is(200);
    kim.cancel(&placed.id())
        .await
        .problem(409, "already-cancelled");
    let events = kim
        .get(&format!("{path}/events"), &cancelled.token)
        .await
        .is(200);
    assert_eq!(
        events.body["items"].as_array().unwrap().len(),
        2,
        "{events:?}"
    );
    let read = kim.get(&path, &cancelled.token).await.is(200);
    assert_eq!(read.body["status"], json!("cancelled"));
    system.shows(&kim, "LAMP", 3, 0).await;
    kim.order_until_known("all-of-it", "LAMP", 3).await.is(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_lives_its_life_embedded() {
    an_order_is_placed_read_cancelled_and_its_stock_comes_back(System::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_lives_its_life_on_services() {
    an_order_is_placed_read_cancelled_and_its_stock_comes_back(System::distributed().await).await;
}
