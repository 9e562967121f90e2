//! What a call knows of itself when the server is slow, gone or somebody else (F4, R05, R37).

use std::sync::Arc;
use std::time::Duration;

use command_api::gate::conformance::fixture::*;
use command_api::gate::redis::{RedisGate, RedisSettings};
use command_api::gate::{Gate, GateError};
use redis::cmd;

use super::server::Server;
use super::settings;

fn impatient(server: &Server) -> Arc<dyn Gate> {
    let settings = RedisSettings {
        response_timeout: Duration::from_secs(3),
        connect_timeout: Duration::from_secs(3),
        ..settings(&server.url())
    };
    Arc::new(RedisGate::new(&settings).expect("its URL can be read"))
}

/// T25, F4: the call may have run, and it is asked for again: once.
#[tokio::test]
async fn a_paused_server_leaves_a_call_unanswered_and_the_same_call_finds_it() {
    let server = Server::start(&[]);
    let shop = Shop::with(impatient(&server), item("A", 5)).await;
    let order = [place(1, &[("A", 1)])];
    server.pause();
    let answer = shop.gate.decide(&shop.current, &order).await;
    assert!(
        matches!(answer, Err(GateError::Unanswered(_))),
        "{answer:?}"
    );
    let again = shop.gate.decide(&shop.current, &order).await;
    assert!(
        matches!(again, Err(GateError::NotRun(_))),
        "no connection, nothing sent: {again:?}"
    );
    server.go_on();
    let found = loop {
        match shop.gate.decide(&shop.current, &order).await {
            Ok(reply) => break reply.answers,
            Err(GateError::NotRun(_) | GateError::Unanswered(_)) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(found, [accepted(1, &[("A", 4, 5)])]);
    assert_eq!(shop.available().await, 4);
}

#[tokio::test]
async fn a_server_that_is_gone_did_not_run_the_call() {
    let mut server = Server::start(&[]);
    let gate = server.gate().expect("its URL can be read");
    server.kill();
    let answer = gate.current().await;
    assert!(matches!(answer, Err(GateError::NotRun(_))), "{answer:?}");
}

#[tokio::test]
async fn a_server_that_is_busy_did_not_run_the_call() {
    let server = Server::start(&["--busy-reply-threshold", "1"]);
    let gate: Arc<dyn Gate> = Arc::new(server.gate().expect("its URL can be read"));
    let shop = Shop::with(gate, item("A", 5)).await;
    let mut operator = server.connection();
    let endless = std::thread::spawn(move || {
        cmd("EVAL")
            .arg("while true do end")
            .arg(0)
            .query::<()>(&mut operator)
    });
    let busy = loop {
        match shop
            .gate
            .decide(&shop.current, &[place(1, &[("A", 1)])])
            .await
        {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(busy, GateError::NotRun(_)), "{busy:?}");
    let killer = redis::Client::open(server.url()).expect("the URL can be read");
    let mut killer = killer.get_connection().expect("it accepts");
    cmd("SCRIPT")
        .arg("KILL")
        .exec(&mut killer)
        .expect("it wrote nothing");
    assert!(endless.join().expect("it does not panic").is_err());
}

/// R05: a quiet night.
#[tokio::test]
async fn an_idle_connection_that_the_server_closed_is_not_seen_by_a_command() {
    let server = Server::start(&["--timeout", "1"]);
    let gate: Arc<dyn Gate> = Arc::new(server.gate().expect("its URL can be read"));
    let shop = Shop::with(gate, item("A", 5)).await;
    let order = place(1, &[("A", 1)]);
    shop.commit(&order).await;
    // A blocked client is not idle: this waits while the others are closed.
    let mut operator = server.connection();
    let nothing = tokio::task::spawn_blocking(move || {
        cmd("BLPOP")
            .arg("nothing")
            .arg(4)
            .query::<Option<(String, String)>>(&mut operator)
    });
    assert_eq!(nothing.await.expect("it does not panic"), Ok(None));
    let clients: String = server.ask("CLIENT LIST TYPE normal");
    assert_eq!(clients.lines().count(), 1, "only the operator's: {clients}");
    shop.commit(&place(2, &[("A", 1)])).await;
}

/// R37.
#[tokio::test]
async fn a_password_with_special_characters_logs_in_and_is_never_shown() {
    let server = Server::start(&["--requirepass", "p@/#?%41:"]);
    let with = |password: &str| {
        let url = server
            .url()
            .replace("redis://", &format!("redis://:{password}@"));
        RedisGate::new(&settings(&url))
    };
    let gate = with("p%40%2F%23%3F%2541%3A").expect("it is encoded");
    assert_eq!(gate.probe().await, Ok(()));
    let wrong = with("secret%40").expect("it is encoded");
    for error in [
        with("p@/#?%41:").err(),
        wrong.probe().await.err(),
        server
            .gate()
            .expect("its URL can be read")
            .probe()
            .await
            .err(),
    ] {
        let text = format!("{error:?} {wrong:?} {:?}", settings("redis://:secret@x"));
        assert!(
            matches!(error, Some(GateError::Misconfigured(_))),
            "{error:?}"
        );
        assert!(!text.contains("secret") && !text.contains("p@"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_evicts_cannot_be_a_gate() {
    let server = Server::start(&["--maxmemory-policy", "allkeys-lru"]);
    let error = server.gate().expect("its URL can be read").probe().await;
    assert!(
        matches!(error, Err(GateError::Misconfigured(_))),
        "{error:?}"
    );
}
