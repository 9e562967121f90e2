//! `holdfast user create`, beside a running server and without one. (R28, R42.)

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Client, PASSWORD, System};

/// What arrives on stdin, and the password that it is.
const LINES: [(&str, &str); 4] = [
    ("correct horse", "correct horse"),
    ("correct horse\n", "correct horse"),
    ("correct horse\r\n", "correct horse"),
    (" correct horse \n", " correct horse "),
];

fn email(number: usize) -> String {
    format!("staff-{number}@shop.example")
}

async fn create_all(system: &System) {
    let create = async |(number, (stdin, _))| {
        let ended = system.create_user(&email(number), "staff", stdin).await;
        ended.succeeded();
    };
    for line in LINES.into_iter().enumerate() {
        create(line).await;
    }
}

async fn all_can_log_in(system: &System) {
    for (number, (_, password)) in LINES.into_iter().enumerate() {
        let staff = system.visitor().log_in(&email(number), password).await;
        staff.stock(&format!("LAMP-{number}"), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r42_the_end_of_a_line_is_no_part_of_a_password_beside_a_server() {
    let system = System::embedded().await;
    create_all(&system).await;
    all_can_log_in(&system).await;
    let again = system.create_user(&email(0), "staff", PASSWORD).await;
    assert!(again.refused().contains("exists already"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r42_the_end_of_a_line_is_no_part_of_a_password_without_a_server() {
    let mut system = System::embedded().await;
    system.command_apis[0].kill().await;
    create_all(&system).await;
    system.restart_command_apis().await;
    all_can_log_in(&system).await;
}

async fn set_role(by: &Client, id: &str, role: &str) -> u16 {
    let path = format!("/v1/users/{id}/role");
    let answer = by.send_until_known(|by| by.call(Method::PUT, &path).json(&json!({"role": role})));
    answer.await.status
}

async fn id_of(who: &Client) -> String {
    let session = who.get("/v1/sessions/current", "").await.is(200);
    session.body["user_id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r28_the_operator_helps_a_shop_whose_administrators_demoted_each_other() {
    let system = System::distributed().await;
    system
        .create_user("second@shop.example", "admin", PASSWORD)
        .await
        .succeeded();
    let second = system
        .visitor()
        .log_in("second@shop.example", PASSWORD)
        .await;
    let first = system.admin().await;
    let (one, two) = (id_of(&first).await, id_of(&second).await);
    assert_eq!(
        set_role(&first, &one, "customer").await,
        409,
        "nobody demotes itself"
    );
    join_all([
        set_role(&first, &two, "customer"),
        set_role(&second, &one, "customer"),
    ])
    .await;
    system
        .create_user("third@shop.example", "admin", PASSWORD)
        .await
        .succeeded();
    let third = system
        .visitor()
        .log_in("third@shop.example", PASSWORD)
        .await;
    assert_eq!(set_role(&third, &one, "admin").await, 200);
    system.agrees().await;
}
