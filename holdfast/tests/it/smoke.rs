//! Clients that hang up, and requests that nobody should send. (F3.)

use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::System;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_an_order_whose_client_hung_up_is_placed_once() {
    let system = System::embedded().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 10).await;
    let body = json!({"lines": [{"sku": "LAMP", "quantity": 1}]}).to_string();
    for key in ["one", "two", "three"] {
        let request = format!(
            "POST /v1/orders HTTP/1.1\r\nHost: shop\r\nAuthorization: {}\r\n\
             Idempotency-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            kim.authorization(),
            body.len(),
        );
        let mut stream = TcpStream::connect(system.command_apis[0].socket())
            .await
            .unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
    }
    for key in ["one", "two", "three"] {
        kim.order_until_known(key, "LAMP", 1).await.is(201);
    }
    system.shows(&admin, "LAMP", 7, 3).await;
    assert_eq!(kim.all_orders().await.len(), 3);
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_request_is_the_clients_fault() {
    let system = System::embedded().await;
    let admin = system.admin().await;
    admin.stock("LAMP", 1).await;
    let paths = [
        "/v1/users",
        "/v1/sessions",
        "/v1/sessions/refresh",
        "/v1/users/me",
        "/v1/users/me/password",
        "/v1/users/not-an-id/role",
        "/v1/inventory/LAMP",
        "/v1/inventory/%00",
        "/v1/inventory/LAMP/movements",
        "/v1/inventory/LAMP/stock",
        "/v1/inventory/import",
        "/v1/orders",
        "/v1/orders/not-an-id/cancellation",
        "/v1/orders?limit=-1",
        "/v1/orders?cursor=%FF%FE",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/nothing",
    ];
    let bodies = [
        "",
        "{",
        "null",
        "[]",
        "{\"a\":1}",
        "{\"lines\":[{\"sku\":\"LAMP\",\"quantity\":1e99}]}",
        "{\"quantity\":-9223372036854775808,\"reason\":\"received\"}",
        "\u{0}\u{feff}",
    ];
    let methods = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
    ];
    for path in paths {
        for method in methods {
            for body in bodies {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let call = admin.call(method.clone(), path).body(body);
                let call = call.header("Content-Type", "application/json");
                let answer = admin.send(call.header("Idempotency-Key", "k")).await;
                assert!(answer.status < 500, "{method} {path} {body:?}: {answer:?}");
            }
        }
    }
    system.agrees().await;
}

/// What tests kill it by is in no program that is shipped.
#[cfg(not(feature = "failpoints"))]
#[test]
fn the_program_has_no_failpoints() {
    let has = |text: &str| {
        let mut grep = std::process::Command::new("grep");
        grep.args(["-qaF", text, env!("CARGO_BIN_EXE_holdfast")]);
        grep.status().unwrap().success()
    };
    assert!(
        has("Holdfast is listening on "),
        "the program is looked into"
    );
    for point in ["commit.decided", "recovery.claimed", "FAILPOINTS"] {
        assert!(!has(point), "{point} is in the program");
    }
}
