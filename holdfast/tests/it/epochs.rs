//! `holdfast epoch change`, beside running servers and without one.

use tokio::process::Command;

use crate::harness::{Client, System, eventually, holdfast, run, run_with};

/// The open epoch, as the `/readyz` of a node names it.
async fn open_epoch(client: &Client, node: usize) -> u64 {
    let said = eventually("an epoch is open", async || {
        client.open_epochs().await[node].take()
    });
    number(&said.await)
}

/// The number in "epoch 7 is open".
fn number(said: &str) -> u64 {
    let number = said.split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_changes_the_epoch_of_a_running_server() {
    let system = System::embedded().await;
    let staff = system.admin().await;
    staff.stock("LAMP-1", 2).await;
    let before = open_epoch(&staff, 0).await;
    let data = system.data().to_str().unwrap();
    let changed = run(&["epoch", "change", "--data", data]).await.succeeded();
    assert!(changed.stdout.contains("is open"), "{changed:?}");
    assert!(number(&changed.stdout) > before, "{before} {changed:?}");
    let after = open_epoch(&staff, 0).await;
    assert_eq!(after, number(&changed.stdout));
    staff.stock("LAMP-2", 1).await;
}

/// `epoch change`, which finds this shop's gate and log.
fn change(system: &System, more: &[&str]) -> Command {
    let services = system.services.as_ref().unwrap();
    let mut command = holdfast();
    command.args(["epoch", "change", "--data"]);
    command.arg(system.data()).args(more);
    command
        .args(services.redis_arguments())
        .args(services.kafka_arguments());
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_changes_the_epoch_beside_servers_who_all_follow() {
    let system = System::distributed().await;
    let (staff, kim) = (system.admin().await, system.customer().await);
    staff.stock("LAMP", 2).await;
    let first = kim.order_until_known("one", "LAMP", 1).await.is(201);
    let before = open_epoch(&staff, 0).await;

    // By a default of its own it would forget what the servers promise to remember.
    let refused = run_with(change(&system, &[]), "").await;
    let sentence = refused.refused();
    assert!(sentence.contains("--key-retention-hours"), "{sentence}");
    let still = open_epoch(&staff, 0).await;
    assert_eq!(still, before);

    let as_servers = change(&system, &["--key-retention-hours", "168"]);
    let changed = run_with(as_servers, "").await.succeeded();
    assert!(changed.stdout.contains("is open"), "{changed:?}");
    let opened = number(&changed.stdout);
    assert!(opened > before, "{before} {changed:?}");
    for node in 0..system.command_apis.len() {
        eventually("it follows", async || {
            (open_epoch(&staff, node).await == opened).then_some(())
        })
        .await;
    }
    let again = kim.order_until_known("one", "LAMP", 1).await.is(201);
    assert!(again.replayed && again.id() == first.id(), "{again:?}");
    kim.order_until_known("two", "LAMP", 1).await.is(201);
    system.agrees().await;
}

#[tokio::test]
async fn a_data_directory_without_a_server_is_told_what_changes_its_epoch() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let ended = run(&["epoch", "change", "--data", data]).await;
    assert!(
        ended.refused().contains("a start changes the epoch"),
        "{ended:?}"
    );
}
