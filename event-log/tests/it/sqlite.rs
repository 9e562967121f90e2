//! The log in one SQLite file.

use std::path::Path;
use std::sync::Arc;

use event_log::conformance::{self, append, entry, read};
use event_log::sqlite::{SqliteLog, SqliteSettings};
use event_log::{EventLog, LogError};
use record::{Partition, Position, Topic};
use tempfile::TempDir;

const ORDERS: Partition = Partition {
    topic: Topic::Orders,
    number: 0,
};
const START: Position = Position {
    partition: ORDERS,
    offset: 0,
};

struct Fixture {
    directory: TempDir,
    log: Arc<SqliteLog>,
}

impl Fixture {
    fn log(&self) -> Arc<dyn EventLog> {
        Arc::clone(&self.log) as Arc<dyn EventLog>
    }

    async fn close(self) {}
}

async fn open() -> Fixture {
    open_with(SqliteSettings::default()).await
}

async fn open_with(settings: SqliteSettings) -> Fixture {
    let directory = tempfile::tempdir().expect("a directory");
    let log = SqliteLog::open(directory.path(), settings).expect("the log opens");
    let log = Arc::new(log);
    Fixture { directory, log }
}

conforms!(open);

fn payloads(records: Vec<(Partition, event_log::RawRecord)>) -> Vec<String> {
    let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
    records
        .iter()
        .map(|(_, record)| text(&record.payload))
        .collect()
}

#[tokio::test]
async fn acknowledged_records_survive_a_reopening() {
    let Fixture { directory, log } = open().await;
    conformance::acknowledged_records_survive_a_reopening(log, async |log| {
        drop(log);
        let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
        Arc::new(log) as Arc<dyn EventLog>
    })
    .await;
}

/// What a process leaves behind when it is killed after the acknowledgement: the two files as they
/// are, without an orderly end.
#[tokio::test]
async fn acknowledged_records_survive_a_kill() {
    let fixture = open().await;
    let copied = tempfile::tempdir().unwrap();
    for round in 0..20 {
        append(&*fixture.log, vec![entry(ORDERS, "k", round.to_string())]).await;
        for name in ["log.sqlite", "log.sqlite-wal"] {
            std::fs::copy(
                fixture.directory.path().join(name),
                copied.path().join(name),
            )
            .unwrap();
        }
        let survivor = SqliteLog::open(copied.path(), SqliteSettings::default()).unwrap();
        let mut tail = survivor.tail(vec![START]).await.unwrap();
        let expected: Vec<String> = (0..=round).map(|round| round.to_string()).collect();
        assert_eq!(payloads(read(&mut tail, expected.len()).await), expected);
    }
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused() {
    let Fixture { directory, log } = open().await;
    drop(log);
    let file = rusqlite::Connection::open(directory.path().join("log.sqlite")).unwrap();
    file.execute("UPDATE meta SET value = 2 WHERE name = 'format'", [])
        .unwrap();
    drop(file);
    for error in [
        SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap_err(),
        SqliteLog::open_read_only(directory.path()).unwrap_err(),
    ] {
        assert!(matches!(error, LogError::Misconfigured(_)));
        let text = error.to_string();
        assert!(
            text.ends_with("has format 2, but this program reads up to 1; upgrade the program."),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_foreign_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = rusqlite::Connection::open(directory.path().join("log.sqlite")).unwrap();
    file.execute_batch("CREATE TABLE notes (text TEXT)")
        .unwrap();
    let error = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap_err();
    assert!(matches!(error, LogError::Misconfigured(_)), "{error:?}");
}

fn wal_bytes(directory: &Path) -> u64 {
    let wal = std::fs::metadata(directory.join("log.sqlite-wal"));
    wal.expect("the log is open").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_file_stays_bounded_under_load() {
    let wal_bytes_max = 8 << 20;
    let fixture = open_with(SqliteSettings {
        wal_bytes_max,
        ..SqliteSettings::default()
    })
    .await;
    let idle = fixture.log.tail(vec![START]).await.unwrap();
    let mut largest = 0;
    for _ in 0..100 {
        let entries = (0..1_000)
            .map(|_| entry(ORDERS, "k", vec![b'x'; 1_000]))
            .collect();
        append(&*fixture.log, entries).await;
        largest = largest.max(wal_bytes(fixture.directory.path()));
    }
    assert!(
        largest < 4 * wal_bytes_max,
        "it grew to {largest} bytes for 100 MB of records"
    );
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_from_outside_lose_nothing() {
    let fixture = open().await;
    let path = fixture.directory.path().join("log.sqlite");
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let outside = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let file = rusqlite::Connection::open(path).unwrap();
            let mut checkpoints = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
                    let sql = format!("PRAGMA wal_checkpoint({mode})");
                    file.query_row(&sql, [], |_| Ok(())).unwrap();
                    checkpoints += 1;
                }
            }
            let sound: String = file
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(sound, "ok");
            checkpoints
        }
    });
    let mut expected = Vec::new();
    for round in 0..300 {
        let group: Vec<String> = (0..20).map(|i| format!("{round}-{i}")).collect();
        expected.extend(group.iter().cloned());
        let entries = group
            .into_iter()
            .map(|text| entry(ORDERS, "k", text))
            .collect();
        append(&*fixture.log, entries).await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(outside.join().unwrap() > 10);
    let mut tail = fixture.log.tail(vec![START]).await.unwrap();
    assert_eq!(payloads(read(&mut tail, expected.len()).await), expected);
}

#[tokio::test]
async fn a_reader_beside_the_server_follows_it_and_cannot_append() {
    let fixture = open().await;
    append(&*fixture.log, vec![entry(ORDERS, "k", "before")]).await;
    let beside = SqliteLog::open_read_only(fixture.directory.path()).unwrap();
    let mut tail = beside.tail(vec![START]).await.unwrap();
    append(&*fixture.log, vec![entry(ORDERS, "k", "after")]).await;
    assert_eq!(payloads(read(&mut tail, 2).await), ["before", "after"]);
    assert_eq!(beside.extent(ORDERS).await.unwrap().end, 2);
    let error = beside
        .append_one(entry(ORDERS, "k", "no"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("open for reading only"),
        "{error}"
    );
    assert_eq!(fixture.log.extent(ORDERS).await.unwrap().end, 2);
}

#[tokio::test]
async fn an_erased_key_is_gone_from_the_file() {
    let fixture = open().await;
    let keys = Partition::USER_KEYS;
    append(
        &*fixture.log,
        vec![
            entry(keys, "a", "secret-of-a"),
            entry(keys, "b", "secret-of-b"),
        ],
    )
    .await;
    let tombstone = event_log::Entry {
        payload: None,
        ..entry(keys, "a", "")
    };
    append(&*fixture.log, vec![tombstone]).await;
    let Fixture { directory, log } = fixture;
    drop(log);
    let bytes = std::fs::read(directory.path().join("log.sqlite")).unwrap();
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(
        !holds(b"secret-of-a"),
        "it is overwritten, not only unlinked"
    );
    assert!(holds(b"secret-of-b"));
}

/// Where this user may write nothing (other than root, who always may), SQLite cannot make its
/// side files.
#[cfg(unix)]
#[tokio::test]
async fn a_stopped_directory_can_be_read_by_who_may_only_read() {
    use std::os::unix::fs::PermissionsExt;
    let Fixture { directory, log } = open().await;
    append(&*log, vec![entry(ORDERS, "k", "kept")]).await;
    drop(log);
    let path = directory.path().join("log.sqlite");
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&path, 0o444);
    set(directory.path(), 0o555);
    let reader = SqliteLog::open_read_only(directory.path()).unwrap();
    let mut tail = reader.tail(vec![START]).await.unwrap();
    assert_eq!(payloads(read(&mut tail, 1).await), ["kept"]);
    drop((tail, reader));
    set(directory.path(), 0o755);
    set(&path, 0o644);
    SqliteLog::open(directory.path(), SqliteSettings::default()).expect("the server starts again");
}
