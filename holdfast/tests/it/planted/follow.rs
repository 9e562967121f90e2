//! What a follower says, and how it ends.

use std::path::Path;
use std::process::Stdio;

use event_log::sqlite::{SqliteLog, SqliteSettings};
use migrations::Database;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::{a_shop, audit, stop};
use crate::harness::{System, eventually, holdfast, in_time, run_with, signal};

/// `audit --follow`, line by line.
pub(super) struct Following {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    warnings: Lines<BufReader<ChildStderr>>,
}

impl Following {
    pub(super) fn start(system: &System) -> Self {
        let mut command = audit(system);
        command.args(["--follow", "--interval", "1", "--metrics", "127.0.0.1:0"]);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let warnings = BufReader::new(process.stderr.take().unwrap()).lines();
        Self {
            process,
            lines,
            warnings,
        }
    }

    /// The next line that has these words.
    pub(super) async fn says(&mut self, words: &str) -> String {
        next_with(&mut self.lines, words).await
    }

    /// The next warning that has these words.
    async fn warns(&mut self, words: &str) {
        next_with(&mut self.warnings, words).await;
    }

    pub(super) async fn stopped_by(mut self, name: &str) -> Option<i32> {
        signal(self.process.id().unwrap(), name);
        in_time("it ends", self.process.wait())
            .await
            .unwrap()
            .code()
    }
}

async fn next_with(lines: &mut Lines<impl AsyncBufRead + Unpin>, words: &str) -> String {
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains(words) {
                return line;
            }
        }
        panic!("it ended without saying {words:?}")
    };
    in_time(words, reading).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_tells_what_changes_and_serves_it_as_metrics() {
    let system = System::embedded().await;
    a_shop(&system).await;
    let mut following = Following::start(&system);
    let address = following.says("Metrics are at ").await;
    let address = address.rsplit(' ').next().unwrap().to_owned();
    following.says("every promise that was checked holds").await;
    let metrics = async |wanted: &str| {
        eventually("the metrics show it", async || {
            let text = reqwest::get(&address).await.ok()?.text().await.ok()?;
            text.contains(wanted).then_some(text)
        })
        .await
    };
    let text = metrics(r#"holdfast_audit_differences{check="read-models"} 0"#).await;
    assert!(
        text.contains("holdfast_audit_last_ok_timestamp_seconds "),
        "{text}"
    );
    assert!(text.contains("holdfast_audit_lag_entries "), "{text}");

    let rows = Database::sqlite_writer(&system.data().join("read-models.sqlite"));
    rows.execute("UPDATE inventory SET supplied = 7")
        .await
        .unwrap();
    let line = following
        .says("BROKEN  read-models: sku LAMP, since ")
        .await;
    assert!(line.contains("The row says 7 supplied"), "{line}");
    assert!(
        line.contains("To mend it: Rebuild the read models"),
        "{line}"
    );
    metrics(r#"holdfast_audit_differences{check="read-models"} 1"#).await;
    rows.execute("UPDATE inventory SET supplied = 5")
        .await
        .unwrap();
    following.says("gone    read-models: sku LAMP").await;
    assert_eq!(following.stopped_by("-TERM").await, Some(1));

    let mut following = Following::start(&system);
    following.says("every promise that was checked holds").await;
    assert_eq!(following.stopped_by("-INT").await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_can_look_no_more_knows_nothing() {
    let system = System::embedded().await;
    a_shop(&system).await;
    let mut following = Following::start(&system);
    following.says("every promise that was checked holds").await;
    let rows = Database::sqlite_writer(&system.data().join("read-models.sqlite"));
    rows.execute("DROP TABLE inventory_movements")
        .await
        .unwrap();
    following.warns("the audit cannot look now").await;
    assert_eq!(following.stopped_by("-TERM").await, Some(2));
}

/// Rows that come while it follows are compared from then on; what is not, it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_compares_rows_that_come_later() {
    let mut system = System::embedded().await;
    a_shop(&system).await;
    stop(&mut system).await;
    let files = ["", "-wal", "-shm"].map(|end| format!("read-models.sqlite{end}"));
    let files = files.map(|file| system.data().join(file));
    let kept: Vec<_> = files.iter().filter(|file| file.exists()).collect();
    let aside = |file: &Path| file.with_added_extension("aside");
    for file in &kept {
        std::fs::rename(file, aside(file)).unwrap();
    }
    let mut following = Following::start(&system);
    following.says("not checked  gate: no gate was given").await;
    following
        .says("not checked  read-models: there are no read models yet")
        .await;
    following.says("every promise that was checked holds").await;
    for file in kept.iter().rev() {
        std::fs::rename(aside(file), file).unwrap();
    }
    let line = following.says("").await;
    assert_eq!(line, "checked      read-models");
    following.says("every promise that was checked holds").await;
    let rows = Database::sqlite_writer(&system.data().join("read-models.sqlite"));
    rows.execute("UPDATE inventory SET supplied = 7")
        .await
        .unwrap();
    following.says("BROKEN  read-models: sku LAMP").await;
}

/// A log without a claim keeps no promise: nothing can be said of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_log_is_no_shops() {
    let data = tempfile::tempdir().unwrap();
    SqliteLog::open(data.path(), SqliteSettings::default()).unwrap();
    let mut command = holdfast();
    command.arg("audit").arg("--data").arg(data.path());
    let audited = run_with(command, "").await;
    assert_eq!(audited.status.code(), Some(2), "{audited:?}");
    let why = "it is no log of a shop: check --kafka-prefix or --data";
    assert!(audited.stderr.contains(why), "{audited:?}");
}
