//! A store of its own for every test, on either side, and a log.

use std::path::PathBuf;
use std::sync::Arc;

use event_log::EventLog;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use migrations::{Database, schema};
use projectors::{Projector, ReadModels, source};
use query_api::read_model::ReadModels as Queries;
use record::Partition;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

/// Which store a test runs on.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    MySql {
        server: String,
        name: String,
    },
    Sqlite {
        file: PathBuf,
        _folder: Arc<TempDir>,
    },
}

impl Place {
    /// A database of its own on the server that `cargo xtask test` started.
    pub(crate) async fn mysql() -> Self {
        let server = std::env::var("HOLDFAST_TEST_MYSQL")
            .expect("HOLDFAST_TEST_MYSQL is missing: run these tests with `cargo xtask test`");
        let name = format!("projectors_{}", uuid::Uuid::new_v4().simple());
        let place = Self::MySql { server, name };
        place.on_server("CREATE DATABASE").await;
        schema::run(&place.database()).await.unwrap();
        place
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self::Sqlite {
            file: folder.path().join("read-models.db"),
            _folder: Arc::new(folder),
        };
        schema::run(&place.database()).await.unwrap();
        place
    }

    /// Connections of its own: what another process would have.
    pub(crate) fn database(&self) -> Database {
        match self {
            Self::MySql { server, name } => {
                Database::mysql(&format!("{server}/{name}"), 4).unwrap()
            }
            Self::Sqlite { file, .. } => Database::sqlite_writer(file),
        }
    }

    pub(crate) fn read_models(&self) -> ReadModels {
        ReadModels::new(self.database())
    }

    pub(crate) fn queries(&self) -> Queries {
        match self {
            Self::MySql { .. } => Queries::new(self.database()),
            Self::Sqlite { file, .. } => Queries::sqlite(file, 2),
        }
    }

    /// Connections through something that listens here on that port.
    pub(crate) fn database_through(&self, port: u16) -> Database {
        let Self::MySql { server, name } = self else {
            panic!("SQLite has no connections to lose")
        };
        let (credentials, _) = server.rsplit_once('@').unwrap();
        let url = format!("{credentials}@127.0.0.1:{port}/{name}?ssl-mode=disabled");
        Database::mysql(&url, 4).unwrap()
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> String {
        let Self::MySql { server, .. } = self else {
            panic!("SQLite listens nowhere")
        };
        server.rsplit_once('@').unwrap().1.to_owned()
    }

    /// Runs a statement in the store, as a person at its prompt would.
    pub(crate) async fn execute(&self, sql: &str) {
        self.database().execute(AssertSqlSafe(sql)).await.unwrap();
    }

    pub(crate) async fn drop_database(self) {
        if let Self::MySql { .. } = self {
            self.on_server("DROP DATABASE").await;
        }
    }

    async fn on_server(&self, verb: &str) {
        if let Self::MySql { server, name } = self {
            let admin = Database::mysql(&format!("{server}/information_schema"), 1).unwrap();
            let sql = format!("{verb} {name}");
            admin.execute(AssertSqlSafe(sql)).await.unwrap();
            admin.close().await;
        }
    }
}

/// A log with one partition per topic.
pub(crate) fn sqlite_log() -> (Arc<dyn EventLog>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (reopened(&folder), folder)
}

/// The log in a folder that nobody has open.
pub(crate) fn reopened(folder: &TempDir) -> Arc<dyn EventLog> {
    let log = SqliteLog::open(folder.path(), SqliteSettings::default()).unwrap();
    Arc::new(log)
}

/// A projector of every partition.
pub(crate) async fn projector(log: &Arc<dyn EventLog>, read_models: ReadModels) -> Projector {
    projector_of(log, read_models, all_partitions(log)).await
}

pub(crate) async fn projector_of(
    log: &Arc<dyn EventLog>,
    read_models: ReadModels,
    partitions: Vec<Partition>,
) -> Projector {
    let log_id = source::log_id(log).await.unwrap();
    Projector::new(Arc::clone(log), read_models, log_id, partitions)
}

pub(crate) fn all_partitions(log: &Arc<dyn EventLog>) -> Vec<Partition> {
    let mut partitions = log.layout().partitions_of_record();
    partitions.push(Partition::USER_KEYS);
    partitions
}

/// Takes the whole log in.
pub(crate) async fn drain(log: &Arc<dyn EventLog>, place: &Place) {
    projector(log, place.read_models())
        .await
        .run_until_caught_up()
        .await
        .unwrap();
}
