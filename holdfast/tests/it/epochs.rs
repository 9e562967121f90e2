//! `holdfast epoch change`, beside a running server and without one.

use crate::harness::{System, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_changes_the_epoch_of_a_running_server() {
    let system = System::embedded().await;
    let staff = system.admin().await;
    staff.stock("LAMP-1", 2).await;
    let data = system.data().to_str().unwrap();
    let changed = run(&["epoch", "change", "--data", data]).await.succeeded();
    assert!(changed.stdout.contains("is open"), "{changed:?}");
    staff.stock("LAMP-2", 1).await;
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
