//! Everybody wants the last ones: exactly the stock is sold, and everything agrees afterwards.
//! (T1, T2, T12, T21, T28.)

use futures::future::join_all;

use crate::harness::{Server, Services, System, buy, customers, eventually};

async fn exactly_the_stock_is_sold(system: System, sales: &[(usize, u32)]) {
    let (admin, customers) = (system.admin().await, customers(&system).await);
    for &(buyers, stock) in sales {
        let sku = format!("LAMP-{stock}");
        admin.stock(&sku, stock).await;
        let placed = buy(&customers, buyers, &sku).placed().await;
        assert_eq!(placed.len(), stock as usize, "one order per unit");
        assert_eq!(admin.left_in_gate(&sku).await, 0);
        system.shows(&admin, &sku, 0, stock.into()).await;
    }
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t01_five_hundred_buyers_of_five_get_five_embedded() {
    exactly_the_stock_is_sold(System::embedded().await, &[(500, 5), (300, 100)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t01_five_hundred_buyers_of_five_get_five_on_services() {
    exactly_the_stock_is_sold(System::distributed().await, &[(500, 5), (300, 100)]).await;
}

async fn ten_cancellations_return_the_stock_once(system: System) {
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 3).await;
    let order = kim.order("LAMP", 2).await.is(201).id();
    let answers = join_all((0..10).map(|_| kim.cancel(&order))).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(done.len(), 1, "{done:?}");
    for answer in refused {
        answer.problem(409, "already-cancelled");
    }
    eventually("the stock is back", async || {
        (admin.left_in_gate("LAMP").await == 3).then_some(())
    })
    .await;
    system.shows(&admin, "LAMP", 3, 0).await;
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t12_ten_cancellations_at_once_return_the_stock_once_embedded() {
    ten_cancellations_return_the_stock_once(System::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t12_ten_cancellations_at_once_return_the_stock_once_on_services() {
    ten_cancellations_return_the_stock_once(System::distributed().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t32_a_redis_flushed_in_the_middle_of_a_sale_needs_no_hand() {
    let redis = Server::redis().await;
    let services = Services {
        redis: format!("redis://{}", redis.address()),
        ..Services::shared().await
    };
    let system = System::distributed_on(services).await;
    let (admin, customers) = (system.admin().await, customers(&system).await);
    admin.stock("LAMP", 60).await;
    let buying = buy(&customers, 300, "LAMP");
    eventually("a part is sold", async || {
        (admin.left_in_gate("LAMP").await < 50).then_some(())
    })
    .await;
    redis.command("FLUSHALL");
    let placed = buying.placed().await;
    assert_eq!(placed.len(), 60, "one order per unit");
    assert_eq!(admin.left_in_gate("LAMP").await, 0);
    system.shows(&admin, "LAMP", 0, 60).await;
    system.agrees().await;
}
