//! The projectors over a real log, on both stores. MariaDB and Kafka are real ones, started by
//! `cargo xtask test`. Nothing sleeps: tests drain.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

/// Runs each of these on both stores, as two tests.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let place = crate::fixture::Place::sqlite().await;
                super::$test(&place).await;
            }
        )* }
        mod on_mysql { $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let place = crate::fixture::Place::mysql().await;
                super::$test(&place).await;
                place.drop_database().await;
            }
        )* }
    };
}

mod agreement;
mod dump;
mod fixture;
mod mysql_faults;
mod questions;
mod replays;
mod rules;
mod running;
mod shop;
