//! A server that lost data, or may have, never decides again in the same epoch (T32, F5, F6).

use std::sync::Arc;

use command_api::gate::conformance::epochs::assert_closed;
use command_api::gate::conformance::fixture::*;
use command_api::gate::{Gate, GateError, Settled};

use super::server::Server;
use super::{RedisGate, RedisSettings, settings};

async fn shop(server: &Server) -> Shop {
    let gate: Arc<dyn Gate> = Arc::new(server.gate().expect("its URL can be read"));
    Shop::with(gate, item("A", 5)).await
}

/// The epoch is closed, and the next one is a rebuild away.
async fn assert_over(shop: &Shop) {
    assert_closed(&*shop.gate, &shop.current).await;
    let next = open_epoch(&*shop.gate, EPOCH + 1, item("A", 5))
        .await
        .expect("it is higher");
    let reply = shop
        .gate
        .decide(&next, &[place(1, &[("A", 5)])])
        .await
        .expect("it is open");
    assert_eq!(reply.answers, [accepted(1, &[("A", 0, 5)])]);
}

#[tokio::test]
async fn a_flushed_server_is_closed() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    server.order("FLUSHALL");
    assert_over(&shop).await;
}

#[tokio::test]
async fn a_server_without_scripts_is_closed() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    server.order("SCRIPT FLUSH");
    assert_over(&shop).await;
}

#[tokio::test]
async fn a_server_that_was_restarted_empty_is_closed() {
    let mut server = Server::start(&[]);
    let shop = shop(&server).await;
    server.kill();
    server.start_again();
    wait_for_the_new_connection(&shop).await;
    assert_over(&shop).await;
}

#[tokio::test]
async fn a_server_that_was_restarted_with_its_data_is_closed() {
    let mut server = Server::start(&[]);
    let shop = shop(&server).await;
    server.order("SAVE");
    shop.commit(&place(1, &[("A", 3)])).await;
    server.kill();
    server.start_again();
    wait_for_the_new_connection(&shop).await;
    assert!(
        shop.gate.current().await.expect("it answers").is_some(),
        "it kept its data"
    );
    assert_over(&shop).await;
}

/// What is sent before the client sees the end of the old connection may have run.
async fn wait_for_the_new_connection(shop: &Shop) {
    while let Err(GateError::Unanswered(_)) = shop.gate.tail_starts(&shop.current).await {}
    while let Err(GateError::Unanswered(_)) = shop.gate.settle(&shop.current, &[], &[]).await {}
}

#[tokio::test]
async fn a_master_with_another_replication_id_is_closed() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    server.order("DEBUG CHANGE-REPL-ID");
    assert_over(&shop).await;
}

#[tokio::test]
async fn an_epoch_without_its_marker_is_closed() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    server.order(&format!("DEL {}", server.key("marker")));
    assert_over(&shop).await;
}

#[tokio::test]
async fn a_demoted_master_is_closed_and_stays_closed_when_it_comes_back() {
    let (server, other) = (Server::start(&[]), Server::start(&[]));
    let shop = shop(&server).await;
    server.order(&format!("REPLICAOF 127.0.0.1 {}", other.port()));
    assert_closed(&*shop.gate, &shop.current).await;
    let rebuild = shop.gate.begin_rebuild(EPOCH + 1).await.err();
    assert!(matches!(rebuild, Some(GateError::Closed(_))), "{rebuild:?}");
    assert!(matches!(shop.gate.probe().await, Err(GateError::Closed(_))));
    server.order("REPLICAOF NO ONE");
    assert_over(&shop).await;
}

/// It has the data, perhaps not all of it, and never the scripts.
#[tokio::test]
async fn a_promoted_replica_is_closed() {
    let (master, replica) = (Server::start(&[]), Server::start(&[]));
    let on_master = settings(&master.url());
    let on_replica = RedisSettings {
        url: replica.url(),
        ..on_master.clone()
    };
    let promoted = RedisGate::new(&on_replica).expect("its URL can be read");
    replica.order(&format!("REPLICAOF 127.0.0.1 {}", master.port()));
    // A first replica changes the replication id; that would be a rebuild.
    while !replica
        .ask::<String>("INFO replication")
        .contains("master_link_status:up")
    {}
    let gate = Arc::new(RedisGate::new(&on_master).expect("its URL can be read"));
    let shop = Shop::with(gate, item("A", 5)).await;
    while promoted.current().await != Ok(Some(shop.current.clone())) {}
    assert_closed(&promoted, &shop.current).await;
    replica.order("REPLICAOF NO ONE");
    assert_closed(&promoted, &shop.current).await;
    assert_eq!(
        shop.available().await,
        5,
        "the old master goes on by itself"
    );
}

#[tokio::test]
async fn a_deleted_value_is_damage_and_never_an_unknown_sku() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    let key = server.key("items");
    assert_eq!(server.ask::<i64>(&format!("HDEL {key} A")), 1);
    for command in [place(1, &[("A", 1)]), movement(2, "A", 1)] {
        let answer = shop.gate.decide(&shop.current, &[command]).await;
        assert!(matches!(answer, Err(GateError::Damaged(_))), "{answer:?}");
    }
    let looked = shop.gate.load(&shop.current, &[super::item_look()]).await;
    assert!(matches!(looked, Err(GateError::Damaged(_))), "{looked:?}");
}

#[tokio::test]
async fn a_value_that_cannot_be_read_is_damage() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    let key = server.key("items");
    for broken in ["5", "5|5|A|1", "x|5|A|1|{}", "5|5|A|1|not-json"] {
        server.order(&format!("HSET {key} A {broken}"));
        let looked = shop.gate.load(&shop.current, &[super::item_look()]).await;
        assert!(matches!(looked, Err(GateError::Damaged(_))), "{looked:?}");
    }
    server.order(&format!("DEL {key}"));
    server.order(&format!("SET {key} x"));
    let answer = shop
        .gate
        .decide(&shop.current, &[place(1, &[("A", 1)])])
        .await;
    assert!(matches!(answer, Err(GateError::Damaged(_))), "{answer:?}");
}

/// S4: the gate can always be put in order again.
#[tokio::test]
async fn a_pointer_that_cannot_be_read_is_damage_until_the_next_epoch() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    let key = server.key("current");
    let breaks = [
        format!("HSET {key} epoch x"),
        format!("HDEL {key} fences"),
        format!("DEL {key}"),
        format!("SET {key} x"),
    ];
    for (epoch, words) in (EPOCH + 1..).zip(breaks) {
        server.order(&words);
        let read = shop.gate.current().await;
        let gone = words.starts_with("DEL") && read == Ok(None);
        assert!(
            gone || matches!(read, Err(GateError::Damaged(_))),
            "{words}: {read:?}"
        );
        let next = open_epoch(&*shop.gate, epoch, vec![])
            .await
            .expect("it mends");
        assert_eq!(shop.gate.current().await, Ok(Some(next)));
    }
}

/// A command that is damaged changes nothing, nor does any other of its call.
#[tokio::test]
async fn a_call_that_finds_damage_writes_nothing() {
    let server = Server::start(&[]);
    let gate: Arc<dyn Gate> = Arc::new(server.gate().expect("its URL can be read"));
    let shop = Shop::with(gate, [item("A", 5), item("B", 5)].concat()).await;
    let key = server.key("items");
    server.order(&format!("HDEL {key} B"));
    let call = [place(1, &[("A", 1)]), place(2, &[("B", 1)])];
    let answer = shop.gate.decide(&shop.current, &call).await;
    assert!(matches!(answer, Err(GateError::Damaged(_))), "{answer:?}");
    assert_eq!(shop.available().await, 5);
    assert_eq!(shop.gate.pending(&shop.current, None).await, Ok(vec![]));
}

#[tokio::test]
async fn a_full_server_drains_but_decides_nothing() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    let order = place(1, &[("A", 1)]);
    shop.decide(&order).await;
    server.order("CONFIG SET maxmemory 1000");
    let answer = shop
        .gate
        .decide(&shop.current, &[place(2, &[("A", 1)])])
        .await;
    assert!(matches!(answer, Err(GateError::NotRun(_))), "{answer:?}");
    assert_eq!(shop.settle(&settling(&order)).await, Settled::Done);
    assert_eq!(shop.available().await, 4);
    server.order("CONFIG SET maxmemory 0");
    assert_eq!(
        shop.decide(&place(2, &[("A", 1)])).await,
        accepted(1, &[("A", 3, 5)])
    );
}

#[tokio::test]
async fn a_rebuild_leaves_nothing_of_the_epochs_before() {
    let server = Server::start(&[]);
    let shop = shop(&server).await;
    shop.decide(&keyed(place(1, &[("A", 1)]), "k", "f")).await;
    // A rebuild that was overtaken, and went on writing.
    let mut slow = shop.gate.begin_rebuild(EPOCH + 1).await.expect("it begins");
    let fast = shop.gate.begin_rebuild(EPOCH + 2).await.expect("it begins");
    let overtaken = loop {
        if let Err(error) = slow.write(item("B", 1)).await {
            break error;
        }
    };
    assert!(matches!(overtaken, GateError::Closed(_)), "{overtaken:?}");
    let left: Vec<String> = server.ask(&format!("KEYS *:{}:*", EPOCH + 1));
    assert!(left.is_empty(), "{left:?}");
    fast.publish([].into()).await.expect("it is higher");
    open_epoch(&*shop.gate, EPOCH + 3, vec![])
        .await
        .expect("it is higher");
    let mut keys: Vec<String> = server.ask("KEYS *");
    keys.sort();
    let (names, epoch) = (["current", "marker", "meta"], format!(":{}:", EPOCH + 3));
    assert_eq!(keys.len(), names.len(), "{keys:?}");
    assert!(
        keys.iter()
            .all(|key| key.ends_with("current") || key.contains(&epoch)),
        "{keys:?}"
    );
}
