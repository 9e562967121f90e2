//! Where Redis, Kafka and MySQL are, and what a test calls its own there.

use migrations::Database;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{environment, eventually};

/// Three services, with a namespace, topics and a database of one test's own.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) redis: String,
    pub(crate) kafka: String,
    /// With the name of the database.
    pub(crate) mysql: String,
    pub(crate) name: String,
}

impl Services {
    /// Those that all tests share.
    pub(crate) async fn shared() -> Self {
        let (redis, kafka, mysql) = (
            "HOLDFAST_TEST_REDIS",
            "HOLDFAST_TEST_KAFKA",
            "HOLDFAST_TEST_MYSQL",
        );
        Self::of(
            &environment(redis),
            &environment(kafka),
            &environment(mysql),
        )
        .await
    }

    /// At these addresses; the database is made.
    pub(crate) async fn of(redis: &str, kafka: &str, mysql: &str) -> Self {
        let name = format!("it_{}", Uuid::new_v4().simple());
        let admin = Database::mysql(&format!("{mysql}/information_schema"), 1).unwrap();
        let create = format!("CREATE DATABASE IF NOT EXISTS {name}");
        eventually("the database is made", async || {
            admin.execute(AssertSqlSafe(create.clone())).await.ok()
        })
        .await;
        admin.close().await;
        Self {
            redis: redis.to_owned(),
            kafka: kafka.to_owned(),
            mysql: format!("{mysql}/{name}"),
            name,
        }
    }

    pub(crate) fn all_arguments(&self) -> Vec<String> {
        [
            self.redis_arguments(),
            self.kafka_arguments(),
            self.mysql_arguments(),
        ]
        .concat()
    }

    pub(crate) fn redis_arguments(&self) -> Vec<String> {
        words(&[("--redis", &self.redis), ("--redis-namespace", &self.name)])
    }

    pub(crate) fn kafka_arguments(&self) -> Vec<String> {
        let prefix = format!("{}.", self.name);
        let mut arguments = words(&[("--kafka", &self.kafka), ("--kafka-prefix", &prefix)]);
        arguments.push("--kafka-single-broker".to_owned());
        arguments
    }

    pub(crate) fn mysql_arguments(&self) -> Vec<String> {
        words(&[("--mysql", &self.mysql)])
    }
}

fn words(settings: &[(&str, &str)]) -> Vec<String> {
    let pairs = settings.iter().flat_map(|&(name, value)| [name, value]);
    pairs.map(str::to_owned).collect()
}
