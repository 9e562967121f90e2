//! Somebody's hand in Redis, under a node that serves: what is damaged is rebuilt, and nothing that
//! rests on it is answered.

use std::sync::Arc;

use command_api::commit::CommitError;
use event_log::EventLog;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use personal_data::Secrets;

use super::server::Server;
use crate::commit::{Node, request};

struct Shop {
    server: Server,
    log: Arc<dyn EventLog>,
    secrets: Arc<Secrets>,
    _directory: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
        Self {
            server: Server::start(&[]),
            log: Arc::new(log),
            secrets: Arc::new(Secrets::generate()),
            _directory: directory,
        }
    }

    fn node(&self) -> Node {
        let gate = Arc::new(self.server.gate().unwrap());
        Node::over(gate, Arc::clone(&self.log), &self.secrets)
    }
}

/// Orders until it is accepted, as a client does that is asked to try again.
async fn ordered(node: &Node) {
    while let Err(error) = node.order(None, &[("A", 1)]).await {
        assert!(
            !matches!(error, CommitError::Refused { .. }),
            "a refusal for what is damaged: {error:?}"
        );
    }
}

/// S4: nothing needs a hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_pointer_or_generation_that_cannot_be_read_is_recovered_from() {
    let shop = Shop::new();
    let node = shop.node();
    node.stock("A", 100).await;
    let pointer = shop.server.key("current");
    for words in [
        format!("HSET {pointer} epoch x"),
        format!("HDEL {pointer} fences"),
        format!("HSET {} generation x", shop.server.key("meta")),
    ] {
        shop.server.order(&words);
        // One that starts meets it first; one that runs, at its next look.
        ordered(&shop.node()).await;
        ordered(&node).await;
        shop.server.order(&words);
        let keeper = node.commands.committer().keeper();
        keeper.report_damaged(keeper.open().await.unwrap().number(), "a test says so");
        ordered(&node).await;
    }
}

/// S5: what cannot be read is no "there is none".
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_read_is_not_refused() {
    let shop = Shop::new();
    let node = shop.node();
    node.stock("A", 1).await;
    let order = node.order(None, &[("A", 1)]).await.unwrap().value;
    let aggregates = shop.server.key("aggregates");
    let fields: Vec<String> = shop.server.ask(&format!("HKEYS {aggregates}"));
    let id = order.id.to_string();
    let field = fields.iter().find(|field| field.contains(&id)).unwrap();
    shop.server
        .order(&format!("HSET {aggregates} {field} 1|{{"));
    let cancel = async || {
        let request = request(Some("cancel"));
        node.commands
            .cancel_order(request, order.id, None, None)
            .await
    };
    let mut outcome = cancel().await;
    while let Err(error) = outcome {
        assert!(!matches!(error, CommitError::Refused { .. }), "{error:?}");
        outcome = cancel().await;
    }
}

/// S5: in the epoch that a request came in, another node may still refuse its retry.
#[tokio::test(flavor = "multi_thread")]
async fn who_came_before_the_gate_had_closed_the_epoch_is_not_decided_in_the_next() {
    let shop = Shop::new();
    let node = shop.node();
    node.stock("A", 10).await;
    let keeper = node.commands.committer().keeper();
    let epoch = keeper.open().await.unwrap().number();
    keeper.report_damaged(epoch, "a test says so");
    let refused = keeper.open().await;
    assert!(refused.is_err(), "{refused:?}");

    // The gate itself has said that it is over: who comes then may wait.
    let epoch = keeper.open().await.unwrap().number();
    keeper.report_closed(epoch, "a test says so");
    assert!(keeper.open().await.unwrap().number() > epoch);
}
