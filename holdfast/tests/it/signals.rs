//! How a server ends. (R04.)

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Node, System, eventually, in_time};

/// A connection on which this was sent.
async fn connect(node: &Node, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.socket()).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// What comes back next.
async fn hear(stream: &mut TcpStream) -> String {
    let mut answer = [0; 4096];
    let read = in_time("an answer", stream.read(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// A request in flight: the server waits for its body.
async fn in_flight(node: &Node, head: &str, length: usize) -> TcpStream {
    let more = "Host: shop\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
    let request = format!("{head}\r\n{more}Content-Length: {length}\r\n\r\n");
    let mut stream = connect(node, &request).await;
    let go_on = hear(&mut stream).await;
    assert!(go_on.starts_with("HTTP/1.1 100"), "{go_on}");
    stream
}

/// Waits until the server takes no more connections: it has heard the signal.
async fn has_heard(node: &Node) {
    eventually("no more connections", async || {
        TcpStream::connect(node.socket()).await.err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_sigterm_answers_what_is_in_flight_and_waits_for_no_silent_client() {
    let mut system = System::embedded_with(&[("HOLDFAST_SHUTDOWN_SECONDS", "10")]).await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 1).await;
    let node = &mut system.command_apis[0];

    let mut idle = connect(node, "GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n").await;
    assert!(hear(&mut idle).await.starts_with("HTTP/1.1 200"));
    let _silent = connect(node, "").await;
    let _half_a_head = connect(node, "POST /v1/orders HTTP/1.1\r\nHost: sh").await;
    let mut half_a_body = in_flight(node, "POST /v1/users HTTP/1.1", 90).await;
    half_a_body.write_all(b"{\"email\"").await.unwrap();
    let order = json!({"lines": [{"sku": "LAMP", "quantity": 1}]}).to_string();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nIdempotency-Key: basket\r\nAuthorization: {}",
        kim.authorization()
    );
    let mut ordering = in_flight(node, &head, order.len()).await;

    node.signal("-TERM");
    has_heard(node).await;
    ordering.write_all(order.as_bytes()).await.unwrap();
    let answer = hear(&mut ordering).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.said());
    system.agrees().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r04_a_second_signal_ends_the_server_at_once() {
    // Without the second signal it would wait for longer than the test does.
    let mut system = System::embedded_with(&[("HOLDFAST_SHUTDOWN_SECONDS", "600")]).await;
    let node = &mut system.command_apis[0];
    let _half_a_body = in_flight(node, "POST /v1/users HTTP/1.1", 90).await;
    node.signal("-TERM");
    has_heard(node).await;
    node.signal("-TERM");
    assert_eq!(node.ended().await.code(), Some(130), "{}", node.said());
}
