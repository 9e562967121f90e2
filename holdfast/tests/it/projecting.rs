//! Projectors are killed, run twice, lose their database: the rows are those of the log, each
//! record once. (T30, T31, F9, F10, R56.)

use crate::harness::{Server, Services, System, alone, buy, customers, eventually, run_with};

/// `holdfast replay` rebuilds from nothing and finds the rows that were there.
async fn a_replay_finds_the_same_rows(system: &System) {
    let replayed = run_with(system.tool("replay"), "").await.succeeded();
    assert!(replayed.stdout.contains("Parity: "), "{replayed:?}");
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r56_projectors_killed_three_times_on_their_way_leave_the_rows_of_the_log() {
    let mut system = System::distributed().await;
    let (admin, customers) = (system.admin().await, customers(&system).await);
    admin.stock("LAMP", 900).await;
    system.projectors[0].kill().await;
    assert_eq!(buy(&customers, 400, "LAMP").placed().await.len(), 400);

    let arriving = buy(&customers, 400, "LAMP");
    let mut seen = admin.all_orders().await.len();
    for _ in 0..3 {
        let mut projectors = system.start_projectors().await;
        seen = eventually("they are on their way", async || {
            let now = admin.all_orders().await.len();
            (now > seen || now == 800).then_some(now)
        })
        .await;
        projectors.kill().await;
    }
    // Two of them own every partition at once now.
    system.projectors = vec![
        system.start_projectors().await,
        system.start_projectors().await,
    ];
    assert_eq!(arriving.placed().await.len(), 400);
    system.shows(&admin, "LAMP", 100, 800).await;
    assert_eq!(admin.all_orders().await.len(), 800);
    system.ready().await;
    a_replay_finds_the_same_rows(&system).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t31_an_embedded_replay_beside_a_running_sale_finds_the_same_rows() {
    let mut system = System::embedded().await;
    let (admin, customers) = (system.admin().await, customers(&system).await);
    admin.stock("LAMP", 300).await;
    let buying = buy(&customers, 300, "LAMP");
    // The server's projectors stand still while it compares: so no row is taken for a difference.
    let replayed = run_with(system.tool("replay"), "").await.succeeded();
    assert!(replayed.stdout.contains("Parity: "), "{replayed:?}");
    assert_eq!(buying.placed().await.len(), 300);
    system.shows(&admin, "LAMP", 0, 300).await;
    a_replay_finds_the_same_rows(&system).await;
    // Without a server it is the tool itself that replays.
    system.command_apis[0].kill().await;
    a_replay_finds_the_same_rows(&system).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_orders_are_taken_while_mysql_is_dead_and_reads_recover_with_it() {
    let _alone = alone().await;
    let mut mysql = Server::mariadb("holdfast").await;
    let shared = Services::shared().await;
    let url = format!("mysql://holdfast:holdfast@{}", mysql.address());
    let services = Services::of(&shared.redis, &shared.kafka, &url).await;
    let system = System::distributed_on(services).await;
    let (admin, customers) = (system.admin().await, customers(&system).await);
    admin.stock("LAMP", 400).await;

    let buying = buy(&customers, 300, "LAMP");
    eventually("projectors are at work", async || {
        (!admin.all_orders().await.is_empty()).then_some(())
    })
    .await;
    mysql.kill();
    let order = customers[0].order("LAMP", 1).await.is(201);
    let path = format!("/v1/orders/{}", order.id());
    let refused = customers[0].get_once(&path, &order.token).await.is(503);
    assert!(refused.retry_after.is_some(), "{refused:?}");
    assert_eq!(buying.placed().await.len(), 300);

    mysql.restart().await;
    let read = customers[0].get(&path, &order.token).await;
    assert_eq!(read.is(200).body["id"], order.body["id"]);
    system.ready().await;
    system.shows(&admin, "LAMP", 99, 301).await;
    assert_eq!(admin.all_orders().await.len(), 301);
    a_replay_finds_the_same_rows(&system).await;
}
