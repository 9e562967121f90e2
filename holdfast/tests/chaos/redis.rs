//! What a test says to Redis, as an operator or an accident would.

use std::process::Command;

use redis::{AsyncConnectionConfig, Value};

use crate::harness::servers::free_port;
use crate::harness::{PATIENCE, Server, environment};
use crate::shop::Shop;

/// A Redis that keeps what is set while it runs over a restart, as an operator's does.
pub(crate) async fn start() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let settings = format!(
        "bind 127.0.0.1\nport {port}\nsave \"\"\nmaxmemory-policy noeviction\n\
         enable-protected-configs local\nrepl-diskless-sync-delay 0\n"
    );
    let file = directory.path().join("redis.conf");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new(environment("HOLDFAST_TEST_REDIS_SERVER"));
    command.arg(file);
    Server::start(directory, port, command).await
}

/// Says something to this Redis; its answer as text.
pub(crate) async fn ask(server: &Server, words: &[&str]) -> String {
    let url = format!("redis://{}", server.address());
    let client = redis::Client::open(url).unwrap();
    // A thousand orders at once leave it, and this program, little time.
    let patient = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await.unwrap();
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    text(&command.query_async(&mut connection).await.unwrap())
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Okay => "OK".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join("\n"),
        other => format!("{other:?}"),
    }
}

impl Shop {
    /// The key of the current epoch's hash of this name, in its master.
    pub(crate) async fn gate_key(&self, name: &str) -> String {
        self.key_of(self.epoch_of(0).await, name)
    }

    /// The same of any epoch.
    pub(crate) fn key_of(&self, epoch: u64, name: &str) -> String {
        format!("{{{}}}:{epoch}:{name}", self.services.name)
    }

    /// The number of the epoch that the master, or its replica, has.
    pub(crate) async fn epoch_of(&self, number: usize) -> u64 {
        let pointer = format!("{{{}}}:current", self.services.name);
        let epoch = ask(&self.redis[number], &["HGET", &pointer, "epoch"]).await;
        epoch.parse().unwrap()
    }
}
