//! A service that is gone is named, commands say when to come back, and everything recovers by
//! itself. (F5, F8, F10, R05.) So is a recovery that takes its time.

use std::time::{Duration, Instant};

use migrations::Database;
use reqwest::Method;
use serde_json::json;

use crate::harness::{
    Answer, Client, Node, Server, Services, System, alone, eventually, fresh_key,
};

/// What a role says of itself.
async fn readiness(client: &Client, node: &Node) -> Answer {
    let url = format!("{}/readyz", node.address());
    client.send(client.call_at(Method::GET, &url)).await
}

/// Waits until this role is unready and says why of this part.
async fn unready(client: &Client, node: &Node, part: &str) {
    eventually(part, async || {
        let answer = readiness(client, node).await;
        let parts = answer.body["parts"].as_array()?;
        let named = parts
            .iter()
            .any(|it| it["name"] == part && it["ready"] == false && it["detail"] != "");
        (answer.status == 503 && named).then_some(())
    })
    .await;
}

/// Orders until a 503 says when to come back.
async fn told_to_come_back(client: &Client) {
    eventually("503", async || {
        let answer = client.order_once("LAMP", 1).await;
        (answer.status == 503 && answer.retry_after.is_some()).then_some(())
    })
    .await;
}

/// A stack of a test's own.
struct Stack {
    redis: Server,
    kafka: Server,
    mysql: Server,
}

impl Stack {
    async fn start() -> Self {
        let (redis, kafka, mysql) = tokio::join!(
            Server::redis(),
            Server::kafka(),
            Server::mariadb("holdfast")
        );
        Self {
            redis,
            kafka,
            mysql,
        }
    }

    fn mysql_url(&self) -> String {
        format!("mysql://holdfast:holdfast@{}", self.mysql.address())
    }

    async fn shop(&self) -> System {
        let redis = format!("redis://{}", self.redis.address());
        let services = Services::of(&redis, &self.kafka.address(), &self.mysql_url()).await;
        System::distributed_on(services).await
    }

    /// Closes every connection to Redis and MySQL, as those do after a quiet night.
    async fn close_connections(&self) {
        self.redis.command("CLIENT KILL TYPE normal SKIPME yes");
        let admin = Database::mysql(&format!("{}/mysql", self.mysql_url()), 1).unwrap();
        let closed = admin.execute("KILL USER 'holdfast'").await.unwrap();
        assert!(closed > 0, "there were connections");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_a_service_that_is_gone_is_named_and_its_return_needs_no_hand() {
    let _alone = alone().await;
    let mut stack = Stack::start().await;
    let system = stack.shop().await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 1000).await;
    let placed = kim.order("LAMP", 1).await.is(201);
    let path = format!("/v1/orders/{}", placed.id());
    kim.get(&path, &placed.token).await.is(200);
    let (writes, reads) = (&system.command_apis[0], system.query_api.as_ref().unwrap());

    stack.redis.kill();
    told_to_come_back(&kim).await;
    unready(&kim, writes, "gate").await;
    kim.get(&path, "").await.is(200);
    stack.redis.restart().await;
    system.ready().await;
    kim.order_until_known("after-redis", "LAMP", 1)
        .await
        .is(201);

    stack.kafka.kill();
    told_to_come_back(&kim).await;
    unready(&kim, writes, "log").await;
    stack.kafka.restart().await;
    system.ready().await;
    kim.order_until_known("after-kafka", "LAMP", 1)
        .await
        .is(201);

    stack.mysql.kill();
    unready(&kim, reads, "read-models").await;
    unready(&kim, &system.projectors[0], "database").await;
    kim.order("LAMP", 1).await.is(201);
    stack.mysql.restart().await;
    system.ready().await;
    kim.get(&path, &placed.token).await.is(200);

    stack.close_connections().await;
    let placed = kim.order("LAMP", 1).await.is(201);
    let path = format!("/v1/orders/{}", placed.id());
    kim.get(&path, &placed.token).await.is(200);
    system.agrees().await;
}

/// How far a recovery is, as this role says.
async fn percent(client: &Client, node: &Node) -> Option<u64> {
    let answer = readiness(client, node).await;
    let parts = answer.body["parts"].as_array()?;
    let epoch = parts.iter().find(|part| part["name"] == "epoch")?;
    assert!(epoch["ready"] == true || answer.status == 503, "{answer:?}");
    let said = epoch["detail"].as_str()?.strip_prefix("recovering, ")?;
    said.split(" % (").next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_says_how_far_it_is_and_commands_wait_for_it_as_long_as_was_set() {
    let redis = Server::redis().await;
    let services = Services {
        redis: format!("redis://{}", redis.address()),
        ..Services::shared().await
    };
    // Longer than by default, so that no clock has to be quick to tell the two apart.
    let setting = [("HOLDFAST_RECOVERY_WAIT_SECONDS", "7")];
    let system = System::distributed_with(services, &setting).await;
    let (admin, kim) = (system.admin().await, system.customer().await);
    admin.stock("LAMP", 10).await;
    kim.order("LAMP", 1).await.is(201);

    // It loses everything, and takes no write: what is rebuilt stays half done.
    redis.commands(&["FLUSHALL", "CLIENT PAUSE 600000 WRITE"]);
    let node = eventually("a node says how far it is", async || {
        for node in &system.command_apis {
            if let Some(1..100) = percent(&kim, node).await {
                return Some(node);
            }
        }
        None
    })
    .await;
    let began = Instant::now();
    let order = kim.call_at(Method::POST, &format!("{}/v1/orders", node.address()));
    let order = order.header("Idempotency-Key", fresh_key());
    let order = order.json(&json!({"lines": [{"sku": "LAMP", "quantity": 1}]}));
    let answer = kim.send(order).await.problem(503, "unavailable");
    let waited = began.elapsed();
    assert!(answer.retry_after.is_some(), "{answer:?}");
    assert!(waited >= Duration::from_secs(7), "{waited:?}");

    redis.command("CLIENT UNPAUSE");
    system.ready().await;
    kim.order_until_known("after", "LAMP", 1).await.is(201);
    system.agrees().await;
}
