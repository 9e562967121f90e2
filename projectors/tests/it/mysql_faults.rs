//! What only a server between two processes can do: close idle connections, roll a transaction
//! back as a deadlock's victim, and commit without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use migrations::Database;
use projectors::{Projector, ReadModels, replay};
use sqlx::{Executor, MySql, Transaction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::fixture::{Place, drain, projector, sqlite_log};
use crate::shop::{Shop, sku};

/// (R05) The server closed every connection while nobody looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_server_closed_fails_no_request() {
    let place = Place::mysql().await;
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    let mut projector = projector(&log, place.read_models()).await;
    projector.run_until_caught_up().await.unwrap();
    let queries = place.queries();
    queries.item(&sku("A")).await.unwrap();

    kill_connections(&place).await;
    assert!(queries.item(&sku("A")).await.unwrap().is_some());
    shop.move_stock("A", 5).await;
    projector.run_until_caught_up().await.unwrap();
    kill_connections(&place).await;
    let item = queries.item(&sku("A")).await.unwrap().unwrap();
    assert_eq!(item.supplied, 5);
    place.drop_database().await;
}

async fn kill_connections(place: &Place) {
    let others = "SELECT id FROM information_schema.processlist \
         WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    let admin = place.database();
    for row in admin.select(others, &[]).await.unwrap() {
        let kill = format!("KILL {}", row.integer(0).unwrap());
        admin.execute(sqlx::AssertSqlSafe(kill)).await.unwrap();
    }
    admin.close().await;
}

/// Makes a transaction so large that it is nobody's victim.
const MANY_USERS: &str = "INSERT INTO users WITH RECURSIVE n AS \
     (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
     SELECT UNHEX(LEFT(SHA2(i, 256), 32)), REPEAT('0', 64), UNHEX(LEFT(SHA2(i, 256), 32)), '', '', '', 0, 1 FROM n";

/// Somebody else's transaction.
async fn begin(place: &Place) -> Transaction<'static, MySql> {
    match place.database() {
        Database::MySql(pool) => pool.begin().await.unwrap(),
        other => panic!("this is not MySQL: {other:?}"),
    }
}

/// Waits for whoever has one of the checkpoints, and lets go of everything.
async fn want_all_checkpoints(mut other: Transaction<'static, MySql>) {
    other
        .execute("UPDATE checkpoints SET highest_fence = highest_fence")
        .await
        .unwrap();
    other.rollback().await.unwrap();
}

/// A deadlock whose victim is the projector (the other transaction has changed more rows).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_undone_as_a_whole_and_tried_again() {
    let place = Place::mysql().await;
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    drain(&log, &place).await;
    shop.order(1, &[("A", 3)]).await;

    let mut other = begin(&place).await;
    other.execute(MANY_USERS).await.unwrap();
    other
        .execute("SELECT * FROM inventory WHERE sku = 'A' FOR UPDATE")
        .await
        .unwrap();
    let mut victim = projector(&log, place.read_models()).await;
    let projecting = tokio::spawn(async move { victim.run_until_caught_up().await.map(|_| ()) });
    until_somebody_waits(&place).await;
    // Both now wait for the other. The projector, as the victim, begins anew and waits again.
    want_all_checkpoints(other).await;
    projecting.await.unwrap().unwrap();
    let item = place.queries().item(&sku("A")).await.unwrap().unwrap();
    assert_eq!(item.held, 3);
    place.drop_database().await;
}

/// What freezes the checkpoints locks all of them, and so may be a deadlock's victim.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_on_when_its_freeze_was_a_deadlocks_victim() {
    let place = Place::mysql().await;
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    drain(&log, &place).await;

    let mut other = begin(&place).await;
    other.execute(MANY_USERS).await.unwrap();
    other
        .execute("SELECT * FROM checkpoints WHERE topic = 'users' FOR UPDATE")
        .await
        .unwrap();
    let read_models = place.read_models();
    let replaying = tokio::spawn(async move { replay(log, &read_models, |_| {}).await });
    until_somebody_waits(&place).await;
    // The freeze has the checkpoints of all other topics.
    want_all_checkpoints(other).await;
    let replayed = replaying.await.unwrap().unwrap();
    assert!(replayed.differences.is_empty(), "{replayed:?}");
    place.drop_database().await;
}

/// An audit reads every table for minutes: the swap waits for it, and nobody waits behind the swap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_waits_for_a_long_reader_and_keeps_nobody_else_waiting() {
    let place = Place::mysql().await;
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    drain(&log, &place).await;
    let mut audit = begin(&place).await;
    audit.execute("SELECT sku FROM inventory").await.unwrap();
    let read_models = place.read_models();
    let mut replaying = tokio::spawn(async move { replay(log, &read_models, |_| {}).await });
    let renames = "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE db = DATABASE() AND info LIKE 'RENAME TABLE%'";
    let comes_to_rename = async {
        while place.database().select(renames, &[]).await.unwrap()[0]
            .integer(0)
            .unwrap()
            == 0
        {}
    };
    let came = tokio::time::timeout(Duration::from_secs(180), comes_to_rename).await;
    came.expect("the replay comes to the swap");
    // Longer than one wait for the tables.
    for _ in 0..3 {
        let (queries, lamp) = (place.queries(), sku("A"));
        let read = tokio::time::timeout(Duration::from_secs(60), queries.item(&lamp)).await;
        assert!(read.expect("it is answered").unwrap().is_some());
        let waits = tokio::time::timeout(Duration::from_secs(1), &mut replaying).await;
        assert!(
            waits.is_err(),
            "the tables have changed places under a reader"
        );
    }
    audit.rollback().await.unwrap();
    assert!(replaying.await.unwrap().is_ok());
    place.drop_database().await;
}

/// InnoDB shows its transactions from a copy that it renews only when nobody has looked for a
/// tenth of a second: who looks more often sees the same for ever.
const LOOK_AT_TRANSACTIONS_EVERY: Duration = Duration::from_millis(250);

async fn until_somebody_waits(place: &Place) {
    let waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx t \
         JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id \
         WHERE p.db = DATABASE() AND t.trx_state = 'LOCK WAIT'";
    let admin = place.database();
    let waits = async {
        let mut looks = tokio::time::interval(LOOK_AT_TRANSACTIONS_EVERY);
        loop {
            looks.tick().await;
            let rows = admin.select(waiting, &[]).await.unwrap();
            if rows[0].integer(0).unwrap() > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(180), waits)
        .await
        .expect("the projector must come to wait for the other transaction");
}

/// The transaction is committed, but the projector hears only that its connection is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lost_reply_to_a_commit_counts_nothing_twice() {
    let place = Place::mysql().await;
    let (log, _folder) = sqlite_log();
    let mut shop = Shop::open(log.clone()).await;
    shop.put("A", "Lamp", None).await;
    drain(&log, &place).await;
    let order = shop.order(1, &[("A", 3)]).await.1;

    let swallow = Arc::new(AtomicBool::new(true));
    let port = swallow_one_reply_to_commit(place.address(), Arc::clone(&swallow)).await;
    let read_models = ReadModels::new(place.database_through(port));
    let mut projector: Projector = projector(&log, read_models).await;
    assert!(projector.run_until_caught_up().await.is_err());
    assert!(!swallow.load(Ordering::SeqCst));
    assert!(place.queries().seen(&[order]).await.unwrap());
    projector.run_until_caught_up().await.unwrap();
    let item = place.queries().item(&sku("A")).await.unwrap().unwrap();
    assert_eq!(item.held, 3);
    place.drop_database().await;
}

/// Listens between the projector and the server. The first `COMMIT` reaches the server; when the
/// server has answered it, the connection breaks and the answer is gone.
async fn swallow_one_reply_to_commit(server: String, swallow: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(pass_on(client, server, Arc::clone(&swallow)));
        }
    });
    port
}

async fn pass_on(mut client: TcpStream, mut server: TcpStream, swallow: Arc<AtomicBool>) {
    let (mut asked, mut answered) = ([0; 16_384], [0; 16_384]);
    let mut committing = false;
    loop {
        tokio::select! {
            Ok(count) = client.read(&mut asked) => {
                let statement = &asked[..count];
                if count == 0 || server.write_all(statement).await.is_err() {
                    return;
                }
                committing = statement.ends_with(b"COMMIT") && swallow.swap(false, Ordering::SeqCst);
            }
            Ok(count) = server.read(&mut answered) => {
                if count == 0 || committing || client.write_all(&answered[..count]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

/// The server's machine is gone without a word: no reply ever comes, and no connection is reset.
#[tokio::test]
async fn a_server_that_never_answers_is_given_up_and_the_next_connection_is_asked() {
    let place = Place::mysql().await;
    let gone = Arc::new(AtomicBool::new(false));
    let port = gone_without_a_word(place.address(), Arc::clone(&gone)).await;
    let database = place.database_through(port);
    let asking = database.clone();
    let asked = tokio::spawn(async move { asking.select_unprepared("SELECT SLEEP(60)").await });
    let admin = place.database();
    let sleeping = "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE db = DATABASE() AND info = 'SELECT SLEEP(60)'";
    while admin.select(sleeping, &[]).await.unwrap()[0]
        .integer(0)
        .unwrap()
        == 0
    {
        tokio::task::yield_now().await;
    }

    gone.store(true, Ordering::SeqCst);
    // Nothing but the limit passes the time from here on.
    tokio::time::pause();
    let error = asked.await.unwrap().unwrap_err();
    tokio::time::resume();
    assert!(error.is_disconnected(), "{error:?}");
    // The connection that is silent was not given back, and its place is free.
    for _ in 0..5 {
        database.select("SELECT 1", &[]).await.unwrap();
    }
    place.drop_database().await;
}

/// Listens in front of the server. Once it is gone, connections that stand fall silent; new ones
/// reach another server at the same address.
async fn gone_without_a_word(server: String, gone: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&server).await.unwrap();
            let (stood_before, gone) = (!gone.load(Ordering::SeqCst), Arc::clone(&gone));
            tokio::spawn(async move {
                let (mut asked, mut answered) = ([0; 16_384], [0; 16_384]);
                loop {
                    tokio::select! {
                        Ok(count) = client.read(&mut asked) => {
                            if count == 0 || server.write_all(&asked[..count]).await.is_err() {
                                return;
                            }
                        }
                        Ok(count) = server.read(&mut answered) => {
                            let silent = stood_before && gone.load(Ordering::SeqCst);
                            if count == 0 || !silent && client.write_all(&answered[..count]).await.is_err() {
                                return;
                            }
                        }
                        else => return,
                    }
                }
            });
        }
    });
    port
}
