//! The contract, kept by the gate in Redis, and what only a real server can show.

mod closed;
mod connecting;
mod damage;
pub(crate) mod server;

use std::sync::Arc;
use std::time::Duration;

use command_api::gate::conformance::fixture::sku;
use command_api::gate::redis::{RedisGate, RedisSettings};
use command_api::gate::{Gate, Look};

/// A namespace of its own on the server that all tests share.
pub(crate) fn open(entries_per_generation: u64) -> Arc<dyn Gate> {
    let url = environment("HOLDFAST_TEST_REDIS");
    let settings = RedisSettings {
        entries_per_generation,
        ..settings(&url)
    };
    Arc::new(RedisGate::new(&settings).expect("the test's URL can be read"))
}

fn settings(url: &str) -> RedisSettings {
    RedisSettings {
        url: url.to_owned(),
        namespace: format!("test-{}", uuid::Uuid::now_v7()),
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(30),
        entries_per_generation: command_api::gate::ENTRIES_PER_GENERATION,
    }
}

fn item_look() -> Look {
    Look::Item(sku("A"))
}

/// A variable that `cargo xtask test` sets.
pub(crate) fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with `cargo xtask test`, which starts a Redis")
    })
}

command_api::conformance_of_gate!(open);
