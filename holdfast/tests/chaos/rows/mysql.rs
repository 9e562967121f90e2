//! F10: MySQL is killed, its locks are held against the projectors, its replies are lost, and it
//! comes back from an older backup. Orders are taken all the while.

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, MySqlConnection, Row as _};

use super::Row;
use crate::door::Passing;
use crate::harness::{PATIENCE, eventually};
use crate::scene::Scene;

pub(super) const ROWS: &[Row] = &[
    row!("F10.a", "MySQL killed and restarted", f10_killed).in_short(),
    row!("F10.b", "deadlocks for 4 s (1213)", f10_deadlocks),
    row!(
        "F10.c",
        "lock waits that time out for 5 s (1205)",
        f10_lock_waits
    ),
    row!(
        "F10.d",
        "replies lost, that to COMMIT too, five times",
        f10_replies_lost
    ),
    row!(
        "F10.e",
        "connections silent for 4 s, then all comes late",
        f10_half_open
    ),
    row!("F10.f", "restored from an older copy", f10_restored),
];

impl Scene<'_> {
    /// Somebody else at the shop's database.
    async fn stranger(&self) -> MySqlConnection {
        let name = &self.shop.services.name;
        let url = self.stage.mysql.address();
        let url = format!("mysql://holdfast:holdfast@{url}/{name}");
        MySqlConnection::connect(&url).await.unwrap()
    }
}

async fn run(connection: &mut MySqlConnection, sql: &str) -> Result<(), sqlx::Error> {
    let run = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    connection.execute(run).await.map(drop)
}

async fn f10_killed(scene: &mut Scene<'_>) {
    scene.begins();
    scene.stage.mysql.kill();
    scene.load.accepts(20).await;
    scene.stage.mysql.restart().await;
    scene.is_over();
}

/// Projectors move the checkpoint first and write rows then; the stranger goes the other way, and
/// has changed so much that it is never the victim.
async fn f10_deadlocks(scene: &mut Scene<'_>) {
    let mut stranger = scene.stranger().await;
    // What is written to an empty table hardly counts.
    let table = "CREATE TABLE stranger AS SELECT 1 AS number";
    run(&mut stranger, table).await.unwrap();
    let before = scene.deadlocks().await;
    scene.begins();
    let (begun, least) = (Instant::now(), Duration::from_secs(4));
    while begun.elapsed() < least || begun.elapsed() < PATIENCE && !scene.projectors_met("1213") {
        run(&mut stranger, "START TRANSACTION").await.unwrap();
        let numbers = "INSERT INTO stranger SELECT seq FROM seq_1_to_1000";
        run(&mut stranger, numbers).await.unwrap();
        let both = async {
            run(&mut stranger, "SELECT * FROM inventory FOR UPDATE").await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
            run(&mut stranger, "SELECT * FROM checkpoints FOR UPDATE").await
        };
        // The one who was chosen, were it this one, is rolled back already.
        let _ = both.await;
        let _ = run(&mut stranger, "ROLLBACK").await;
    }
    scene.is_over();
    run(&mut stranger, "DROP TABLE stranger").await.unwrap();
    let after = scene.deadlocks().await;
    scene.expect(after > before, "nobody met a deadlock");
    let met = scene.projectors_met("1213");
    scene.expect(met, "no projector met a deadlock");
}

impl Scene<'_> {
    async fn deadlocks(&self) -> u64 {
        let sql = "SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'";
        let row = sqlx::query(sql).fetch_one(&mut self.stranger().await).await;
        row.unwrap().get::<String, _>(1).parse().unwrap()
    }

    /// A projector was the victim of what MySQL gives this number.
    fn projectors_met(&self, number: &str) -> bool {
        self.shop.projectors.iter().any(|node| {
            let said = node.said();
            let mut lines = said.lines();
            lines.any(|line| line.contains("others were in the way") && line.contains(number))
        })
    }
}

async fn f10_lock_waits(scene: &mut Scene<'_>) {
    let mut stranger = scene.stranger().await;
    run(&mut stranger, "SET GLOBAL innodb_lock_wait_timeout = 1")
        .await
        .unwrap();
    // Only new sessions wait as long as that.
    scene.stage.mysql_door.slam();
    scene.load.accepts(10).await;
    scene.begins();
    // Projectors that begin anew lock more than one row too: somebody may be a deadlock's victim.
    eventually("all checkpoints are locked", async || {
        run(&mut stranger, "START TRANSACTION").await.unwrap();
        let lock = "SELECT * FROM checkpoints FOR UPDATE";
        run(&mut stranger, lock).await.ok()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    eventually("a projector has waited for too long", async || {
        scene.projectors_met("1205").then_some(())
    })
    .await;
    run(&mut stranger, "ROLLBACK").await.unwrap();
    run(&mut stranger, "SET GLOBAL innodb_lock_wait_timeout = 50")
        .await
        .unwrap();
    scene.stage.mysql_door.slam();
    scene.is_over();
}

async fn f10_replies_lost(scene: &mut Scene<'_>) {
    let commits = |scene: &Scene<'_>| {
        let is_commit = |asked: &[u8]| asked.windows(6).any(|word| word == b"COMMIT");
        scene.stage.mysql_door.swallowed(is_commit)
    };
    let before = commits(scene);
    scene.begins();
    for turn in 0..100 {
        if turn >= 5 && commits(scene) > before {
            break;
        }
        scene.stage.mysql_door.set(Passing::RepliesLost);
        tokio::time::sleep(Duration::from_millis(400)).await;
        scene.stage.mysql_door.set(Passing::Open);
        scene.load.accepts(10).await;
    }
    scene.is_over();
    let after = commits(scene);
    scene.expect(after > before, "no reply to COMMIT was lost");
}

async fn f10_half_open(scene: &mut Scene<'_>) {
    scene.begins();
    scene.stage.mysql_door.set(Passing::Held);
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.stage.mysql_door.set(Passing::Open);
    scene.is_over();
}

/// Every table at once, as a backup made in one transaction is; beside running projectors.
async fn f10_restored(scene: &mut Scene<'_>) {
    let mut stranger = scene.stranger().await;
    let name = scene.shop.services.name.clone();
    let tables = "SELECT table_name FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name NOT LIKE '\\_%'";
    let tables = sqlx::query(tables).fetch_all(&mut stranger).await.unwrap();
    let tables: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
    run(&mut stranger, &format!("CREATE DATABASE {name}_old"))
        .await
        .unwrap();
    let locked: Vec<_> = tables.iter().map(|table| format!("{table} READ")).collect();
    for table in &tables {
        let like = format!("CREATE TABLE {name}_old.{table} LIKE {table}");
        run(&mut stranger, &like).await.unwrap();
    }
    let copies: Vec<_> = tables
        .iter()
        .map(|it| format!("{name}_old.{it} WRITE"))
        .collect();
    let lock = format!("LOCK TABLES {}, {}", locked.join(", "), copies.join(", "));
    run(&mut stranger, &lock).await.unwrap();
    for table in &tables {
        let copy = format!("INSERT INTO {name}_old.{table} SELECT * FROM {table}");
        run(&mut stranger, &copy).await.unwrap();
    }
    run(&mut stranger, "UNLOCK TABLES").await.unwrap();
    scene.load.accepts(60).await;

    scene.begins();
    let lock = lock.replace(" READ", " WRITE");
    run(&mut stranger, &lock).await.unwrap();
    for table in &tables {
        let restore = format!("INSERT INTO {table} SELECT * FROM {name}_old.{table}");
        run(&mut stranger, &format!("DELETE FROM {table}"))
            .await
            .unwrap();
        run(&mut stranger, &restore).await.unwrap();
    }
    run(&mut stranger, "UNLOCK TABLES").await.unwrap();
    scene.is_over();
}
