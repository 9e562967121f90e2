//! The tables on both stores. MariaDB is a real one, started by `cargo xtask test`.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use migrations::{Database, schema};
use sqlx::AssertSqlSafe;

/// A database of its own, so that tests do not meet.
async fn empty_mysql() -> Database {
    let server = std::env::var("HOLDFAST_TEST_MYSQL")
        .expect("HOLDFAST_TEST_MYSQL is missing: run these tests with `cargo xtask test`");
    let name = format!("migrations_{}", uuid::Uuid::new_v4().simple());
    let admin = Database::mysql(&format!("{server}/information_schema"), 1).unwrap();
    let create = format!("CREATE DATABASE {name}");
    admin.execute(AssertSqlSafe(create)).await.unwrap();
    admin.close().await;
    Database::mysql(&format!("{server}/{name}"), 4).unwrap()
}

fn empty_sqlite(folder: &tempfile::TempDir) -> Database {
    Database::sqlite_writer(&folder.path().join("read-models.db"))
}

async fn many_may_create_the_tables_at_once(database: Database) {
    assert!(!schema::is_current(&database).await.unwrap());
    let (one, two) = tokio::join!(schema::run(&database), schema::run(&database));
    one.unwrap();
    two.unwrap();
    assert!(schema::is_current(&database).await.unwrap());
}

async fn a_run_that_died_half_way_starts_over(database: Database) {
    schema::run(&database).await.unwrap();
    let died = "UPDATE _sqlx_migrations SET success = FALSE WHERE version = 4";
    database.execute(died).await.unwrap();
    assert!(!schema::is_current(&database).await.unwrap());
    schema::run(&database).await.unwrap();
    assert!(schema::is_current(&database).await.unwrap());
}

async fn tables_of_a_newer_program_are_left_alone(database: Database) {
    schema::run(&database).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (999, 'newer', TRUE, 'x', 0)";
    database.execute(newer).await.unwrap();
    schema::run(&database).await.unwrap();
    assert!(schema::is_current(&database).await.unwrap());
}

/// Runs each of these on both stores, as two tests.
macro_rules! on_both_stores {
    ($($test:ident),* $(,)?) => {
        mod on_sqlite { $(
            #[tokio::test]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(super::empty_sqlite(&folder)).await;
            }
        )* }
        mod on_mysql { $(
            #[tokio::test]
            async fn $test() {
                super::$test(super::empty_mysql().await).await;
            }
        )* }
    };
}

on_both_stores!(
    many_may_create_the_tables_at_once,
    tables_of_a_newer_program_are_left_alone,
);

/// SQLite's DDL is transactional, so only MySQL can be left half-way.
#[tokio::test]
async fn a_run_that_died_half_way_starts_over_on_mysql() {
    a_run_that_died_half_way_starts_over(empty_mysql().await).await;
}
