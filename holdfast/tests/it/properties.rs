//! Generated histories of concurrent commands: whatever customers, staff and faults do at once,
//! nothing is oversold, nothing acknowledged is lost, every retry has one effect, every refusal is
//! true, and the read models are what the log says (I1–I6).
//!
//! A history is a list of rounds; the commands of a round are sent at once, through the public API
//! alone. [`history`] is what is generated, [`request`] what is sent, [`ledger`] the reference
//! model, [`log`] what stands in the log, [`shop`] plays a history and compares all of them after
//! every round.
//!
//! This is not `proptest-state-machine`: its reference knows every transition's result in advance,
//! but of commands that run at once nobody knows the order. Only what was answered can be taken as
//! done, and then everything else has to fit to it.
//!
//! A failure prints the shortest history that was found, what each command was answered, and the
//! seed, which is also written to `properties/regressions.txt`: commit it. The commands of a round
//! race, so a seed makes the same history, but not surely the same failure; while it shrinks, each
//! history gets several chances to fail. Ordinarily each property plays a few histories, always the
//! same ones; `HOLDFAST_PROPTEST_CASES` sets how many, and these are new ones.

use std::cell::{Cell, RefCell};

use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};

mod history;
mod ledger;
pub(crate) mod log;
mod request;
mod shop;

use history::{Fault, History, histories};
use shop::Shop;

use crate::harness::{Server, Services, System};

/// How often a history is played once another one has failed.
const CHANCES: usize = 4;
/// Milliseconds that may be spent on a shorter history.
const SHRINK_MILLISECONDS: u32 = 60_000;
/// What the ordinary run draws its histories from.
const SEED: u64 = 1;

#[test]
fn embedded_no_history_oversells() {
    holds(48, &[], async || Shop::of(System::embedded().await).await);
}

#[test]
fn on_services_no_history_oversells() {
    holds(12, &[], async || {
        Shop::of(System::distributed().await).await
    });
}

#[test]
fn embedded_no_history_with_a_killed_server_in_it_oversells() {
    holds(8, &[Fault::KillServer], async || {
        Shop::of(System::embedded().await).await
    });
}

#[test]
fn on_services_no_history_with_faults_in_it_oversells() {
    let faults = &[Fault::FlushRedis, Fault::FlushScripts, Fault::KillServer];
    holds(6, faults, async || {
        let redis = Server::redis().await;
        let services = Services {
            redis: format!("redis://{}", redis.address()),
            ..Services::shared().await
        };
        let system = System::distributed_on(services).await;
        Shop::of(system).await.over(redis)
    });
}

/// The test of the test: a gate without its stock check, built only for this, is found out.
#[cfg(feature = "planted-oversell")]
#[test]
fn planted_oversell_is_found_and_shrunk() {
    let open = async || Shop::of(System::embedded().await).await;
    // Each shorter history that fails costs a new server, and a machine may be slow: so they are
    // counted.
    let config = Config {
        max_shrink_time: 180_000,
        max_shrink_iters: 60,
        ..config(48)
    };
    let found = hunt(config, &[], open).expect_err("the gate sells more than there is");
    assert!(found.contains("I1: oversold"), "{found}");
    let commands = found.lines().filter(|line| line.starts_with("  #")).count();
    assert!(commands <= 4, "it is not short:\n{found}");
}

/// Plays so many histories and fails where one breaks a promise.
fn holds(cases: u32, faults: &'static [Fault], open: impl AsyncFn() -> Shop) {
    let regressions = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/properties/regressions.txt"
    );
    let config = Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..config(cases)
    };
    if let Err(found) = hunt(config, faults, open) {
        panic!("{found}");
    }
}

/// Plays histories; what is found is the shortest that breaks a promise.
fn hunt(
    config: Config,
    faults: &'static [Fault],
    open: impl AsyncFn() -> Shop,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    // One shop serves all histories, each with SKUs of its own; after a failure it is not trusted.
    let current: RefCell<Option<Shop>> = RefCell::default();
    let chances = Cell::new(1);
    let play = |history: History| {
        for _ in 0..chances.get() {
            let shop = current.take();
            let played = runtime.block_on(async {
                let mut shop = match shop {
                    Some(shop) => shop,
                    None => open().await,
                };
                shop.play(&history).await.map(|()| shop)
            });
            match played {
                Ok(shop) => drop(current.replace(Some(shop))),
                Err(broken) => {
                    chances.set(CHANCES);
                    return Err(TestCaseError::fail(broken));
                }
            }
        }
        Ok(())
    };
    match TestRunner::new(config).run(&histories(faults), play) {
        Ok(()) => {
            let shop = current.take();
            runtime.block_on(async {
                if let Some(shop) = shop {
                    shop.close().await;
                }
            });
            Ok(())
        }
        Err(TestError::Fail(broken, history)) => {
            Err(format!("{broken}\n\nThe history:\n{history}"))
        }
        Err(TestError::Abort(why)) => Err(why.to_string()),
    }
}

fn config(cases: u32) -> Config {
    let wanted = std::env::var("HOLDFAST_PROPTEST_CASES").ok();
    let wanted = wanted.map(|cases| {
        cases
            .parse()
            .expect("HOLDFAST_PROPTEST_CASES is a number of cases")
    });
    Config {
        cases: wanted.unwrap_or(cases),
        rng_seed: wanted.map_or(RngSeed::Fixed(SEED), |_| RngSeed::Random),
        max_shrink_time: SHRINK_MILLISECONDS,
        failure_persistence: None,
        ..Config::default()
    }
}
