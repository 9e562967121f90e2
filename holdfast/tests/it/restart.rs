//! An embedded server is killed in the middle of a sale and started again. (F1, R40.)

use std::path::Path;

use crate::harness::{System, buy, customers, eventually, run};

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
    let (admin, customers) = (system.admin().await, customers(&system).await);
    admin.stock("LAMP", 100).await;
    let buying = buy(&customers, 300, "LAMP");
    for left in [80, 40] {
        eventually("a part is sold", async || {
            (admin.left_in_gate("LAMP").await < left).then_some(())
        })
        .await;
        system.command_apis[0].kill().await;
        system.restart_command_apis().await;
    }
    let placed = buying.placed().await;
    assert_eq!(placed.len(), 100, "one order per unit");
    assert_eq!(admin.left_in_gate("LAMP").await, 0);
    system.shows(&admin, "LAMP", 0, 100).await;
    assert_eq!(
        placed,
        admin.all_orders().await,
        "every 201 is there, and nothing else"
    );
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
    // The tools do not need a server, and leave nothing that one stumbles over (R45).
    system.agrees().await;
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
