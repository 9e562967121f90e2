//! An embedded server is killed in the middle of a sale and started again. (F1, R40.)

use std::path::Path;

use crate::harness::{Client, System, eventually, fresh_key, run};

/// Buyers who go on until they know, over the restart too; gives the ids of what was placed.
async fn buy(kim: &Client, buyers: usize) -> Vec<String> {
    let orders = (0..buyers).map(|_| {
        let kim = kim.clone();
        tokio::spawn(async move { kim.order_until_known(&fresh_key(), "LAMP", 1).await })
    });
    let mut placed = vec![];
    for order in orders.collect::<Vec<_>>() {
        let answer = order.await.unwrap();
        match answer.status {
            201 => placed.push(answer.id()),
            _ => drop(answer.problem(409, "out-of-stock")),
        }
    }
    placed
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // A socket is a name of the running process, not data.
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_a_server_killed_in_the_middle_of_a_sale_goes_on_where_it_was() {
    let mut system = System::embedded().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 100).await;
    let buying = tokio::spawn(async move { buy(&kim, 300).await });
    for left in [80, 40] {
        eventually("a part is sold", async || {
            (admin.left_in_gate("LAMP").await < left).then_some(())
        })
        .await;
        system.command_apis[0].kill().await;
        system.restart_command_apis().await;
    }
    let mut placed = buying.await.unwrap();
    assert_eq!(placed.len(), 100, "one order per unit");
    assert_eq!(admin.left_in_gate("LAMP").await, 0);
    system.shows(&admin, "LAMP", 0, 100).await;
    let listed = admin.list("/v1/orders").await;
    let mut listed: Vec<_> = listed
        .iter()
        .map(|order| order["id"].as_str().unwrap())
        .collect();
    placed.sort_unstable();
    listed.sort_unstable();
    assert_eq!(placed, listed, "every 201 is there, and nothing else");
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r40_what_a_killed_server_left_over_is_no_obstacle() {
    let mut system = System::embedded().await;
    let admin = system.admin().await;
    admin.stock("LAMP", 5).await;
    system.command_apis[0].kill().await;
    assert!(
        system.data().join("control.sock").exists(),
        "the socket is left over"
    );
    let lock = system.data().join("holdfast.lock");
    assert!(lock.exists(), "the lock's file is left over");
    // Another process that lives has this number now: the test's own.
    std::fs::write(lock, std::process::id().to_string()).unwrap();
    system.restart_command_apis().await;
    admin.order("LAMP", 1).await.is(201);
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r40_a_directory_copied_elsewhere_is_a_shop_of_its_own() {
    let mut system = System::embedded().await;
    system.admin().await.stock("LAMP", 5).await;
    system.command_apis[0].kill().await;
    let elsewhere = tempfile::tempdir().unwrap();
    copy(system.data(), elsewhere.path());
    system.restart_command_apis().await;
    let other = System::embedded_in(elsewhere).await;
    let (here, there) = (system.admin().await, other.admin().await);
    here.order("LAMP", 5).await.is(201);
    assert_eq!(there.left_in_gate("LAMP").await, 5);
    there.order("LAMP", 4).await.is(201);
    other.shows(&there, "LAMP", 1, 4).await;
    system.agrees().await;
    other.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_has_one_server() {
    let system = System::embedded().await;
    let data = system.data().to_str().unwrap();
    let second = run(&["serve", "--data", data, "--listen", "127.0.0.1:0"]).await;
    let sentence = second.refused();
    assert!(
        sentence.contains("is in use by another server"),
        "{sentence}"
    );
    system.admin().await.stock("LAMP", 1).await;
}
