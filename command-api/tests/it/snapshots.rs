//! Recoveries that begin with a snapshot, and planned changes of the epoch, over the memory gate
//! and the SQLite log.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use command_api::clock::{Clock, SystemClock};
use command_api::commit::CommitError;
use command_api::epoch::EpochState;
use command_api::epoch::fold::Fold;
use command_api::epoch::snapshot::{Fitting, Making, SnapshotSettings, save, stored};
use command_api::gate::memory::MemoryGate;
use command_api::gate::{AggregateKey, Gate, Look, Looked, Refusal};
use command_api::settings::Settings;
use domain::order::ExistingOrder;
use domain::time::Time;
use event_log::EventLog;
use event_log::sqlite::{SqliteLog, SqliteSettings};
use personal_data::Secrets;
use record::{AggregateType, Layout, Partition, Position};
use uuid::Uuid;

use crate::commit::{Node, PATIENCE, refusal, request, sku};
use crate::unreadable::Unreadable;

/// Where a file says which version of the fold made it: behind eight letters and the length of the
/// header.
const VERSION_AT: usize = 9;

/// A clock that moves when the test says so.
#[derive(Debug)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Time {
        Time::from_microseconds(self.0.load(Ordering::Relaxed))
    }
}

/// A node whose snapshots stand beside its log.
fn start(directory: &Path, secrets: &Arc<Secrets>, tune: impl FnOnce(&mut Settings)) -> Node {
    let log = SqliteLog::open(directory, SqliteSettings::default()).unwrap();
    at(
        Arc::new(SystemClock),
        Arc::new(log),
        directory,
        secrets,
        tune,
    )
}

/// One whose clock the test sets.
fn at(
    clock: Arc<dyn Clock>,
    log: Arc<dyn EventLog>,
    directory: &Path,
    secrets: &Arc<Secrets>,
    tune: impl FnOnce(&mut Settings),
) -> Node {
    let gate: Arc<dyn Gate> = Arc::new(MemoryGate::new(1000));
    Node::tuned(gate, log, secrets, clock, |settings| {
        settings.sign_of_life_wait = Duration::ZERO;
        settings.claim_backoff = Duration::ZERO;
        settings.snapshots = Some(SnapshotSettings {
            directory: directory.join("snapshots"),
            making: None,
        });
        tune(settings);
    })
}

async fn available(node: &Node) -> i64 {
    let committer = node.commands.committer();
    let epoch = committer.keeper().open().await.unwrap();
    match committer.look(&epoch, Look::Item(sku("A"))).await.unwrap() {
        Looked::Item(value) => value.available,
        other => panic!("{other:?}"),
    }
}

async fn is_in_gate(node: &Node, order: &ExistingOrder) -> bool {
    let committer = node.commands.committer();
    let epoch = committer.keeper().open().await.unwrap();
    let key = AggregateKey {
        kind: AggregateType::Orders,
        id: order.id.to_string().into(),
    };
    let looked = committer.look(&epoch, Look::Aggregate(key)).await.unwrap();
    looked != Looked::Nothing
}

async fn cancelled(node: &Node, order: &ExistingOrder, key: Option<&str>) -> Result<bool, Refusal> {
    match node
        .commands
        .cancel_order(request(key), order.id, None, None)
        .await
    {
        Ok(outcome) => Ok(outcome.replayed),
        Err(CommitError::Refused { refusal, .. }) => Err(refusal),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_snapshot_knows_what_a_start_without_one_does() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let node = start(directory.path(), &secrets, |_| ());
    node.stock("A", 10).await;
    let first = node.order(Some("first"), &[("A", 1)]).await.unwrap().value;
    let second = node.order(Some("second"), &[("A", 2)]).await.unwrap().value;
    node.commands
        .committer()
        .keeper()
        .make_snapshot()
        .await
        .unwrap();
    // What comes after the snapshot: a cancellation of what stands in it, and something new.
    assert_eq!(cancelled(&node, &second, Some("cancel")).await, Ok(false));
    node.order(None, &[("A", 3)]).await.unwrap();
    drop(node);
    for with_snapshot in [true, false] {
        let node = start(directory.path(), &secrets, |settings| {
            if !with_snapshot {
                settings.snapshots = None;
            }
        });
        assert_eq!(available(&node).await, 6);
        assert!(
            node.order(Some("first"), &[("A", 1)])
                .await
                .unwrap()
                .replayed
        );
        assert_eq!(cancelled(&node, &second, Some("cancel")).await, Ok(true));
        assert_eq!(
            cancelled(&node, &second, None).await,
            Err(Refusal::AlreadyCancelled)
        );
        assert!(is_in_gate(&node, &first).await);
    }
}

/// Only who folds all of the log meets a record that was spoilt after the snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_snapshot_covers_is_not_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let node = start(directory.path(), &secrets, |_| ());
    node.stock("A", 10).await;
    // Behind the fence, which is the first.
    node.order(None, &[("A", 1)]).await.unwrap();
    node.order(None, &[("A", 1)]).await.unwrap();
    let keeper = Arc::clone(node.commands.committer().keeper());
    keeper.make_snapshot().await.unwrap();
    node.order(None, &[("A", 1)]).await.unwrap();
    drop((node, keeper));
    let orders = record::Topic::Orders;
    let partition = Partition {
        topic: orders,
        number: 0,
    };
    let spoilt = |with_snapshot: bool| {
        let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
        let at = Position {
            partition,
            offset: 1,
        };
        let (log, clock) = (Arc::new(Unreadable { log, at }), Arc::new(SystemClock));
        self::at(clock, log, directory.path(), &secrets, |settings| {
            if !with_snapshot {
                settings.snapshots = None;
            }
        })
    };
    let node = spoilt(true);
    assert_eq!(available(&node).await, 7);
    let keeper = Arc::clone(node.commands.committer().keeper());
    keeper.change_epoch("a test").await.unwrap();
    assert_eq!(available(&node).await, 7);
    drop((node, keeper));
    let node = spoilt(false);
    let mut state = node.commands.committer().keeper().state();
    let unreadable = |state: &EpochState| matches!(state, EpochState::Unready(why) if why.contains("orders/0@1 cannot be read"));
    state.wait_for(unreadable).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_makes_a_snapshot_by_itself_after_so_many_records() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let node = start(directory.path(), &secrets, |settings| {
        settings.snapshots.as_mut().unwrap().making = Some(Making {
            every_records: 20,
            look_every: Duration::from_millis(5),
        });
    });
    node.stock("A", 1_000_000).await;
    let keeper = node.commands.committer().keeper();
    let log = keeper.history().borrow().log_id().unwrap();
    let snapshots = || stored(&directory.path().join("snapshots"), log).unwrap();
    // Three fences, an item and its supply: no snapshot is due yet.
    assert!(snapshots().is_empty());
    let two_are_made = async {
        while snapshots().len() < 2 {
            node.order(None, &[("A", 1)]).await.unwrap();
        }
    };
    let made = tokio::time::timeout(PATIENCE, two_are_made).await;
    made.expect("two snapshots are made");
    let [newer, older] = &snapshots()[..2] else {
        panic!("two are kept")
    };
    let covers = |path: &Path| {
        let name = path.file_stem().unwrap().to_string_lossy();
        name.rsplit('-').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(covers(&older.path) >= 20);
    assert!(covers(&newer.path) >= covers(&older.path) + 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_cannot_be_used_puts_off_no_other_one() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let node = start(directory.path(), &secrets, |_| ());
    node.stock("A", 1_000_000).await;
    let keeper = Arc::clone(node.commands.committer().keeper());
    let made = keeper.make_snapshot().await.unwrap();
    let log = keeper.history().borrow().log_id().unwrap();
    drop((node, keeper));
    // It says that it covers far more, and that another version of the program made it.
    let unfit = made
        .path
        .with_file_name(format!("{log}-{:020}.fold", 1_000));
    std::fs::rename(&made.path, &unfit).unwrap();
    let mut bytes = std::fs::read(&unfit).unwrap();
    bytes[VERSION_AT] += 1;
    std::fs::write(&unfit, bytes).unwrap();
    let node = start(directory.path(), &secrets, |settings| {
        settings.snapshots.as_mut().unwrap().making = Some(Making {
            every_records: 1,
            look_every: Duration::from_millis(5),
        });
    });
    let one_is_made = async {
        while stored(unfit.parent().unwrap(), log).unwrap().len() < 2 {
            node.order(None, &[("A", 1)]).await.unwrap();
        }
    };
    let made = tokio::time::timeout(PATIENCE, one_is_made).await;
    made.expect("a snapshot is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_damaged_is_passed_over_for_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let node = start(directory.path(), &secrets, |_| ());
    node.stock("A", 10).await;
    node.order(None, &[("A", 1)]).await.unwrap();
    let keeper = Arc::clone(node.commands.committer().keeper());
    keeper.make_snapshot().await.unwrap();
    node.order(None, &[("A", 1)]).await.unwrap();
    let newer = keeper.make_snapshot().await.unwrap();
    drop((node, keeper));
    let mut bytes = std::fs::read(&newer.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newer.path, bytes).unwrap();
    let node = start(directory.path(), &secrets, |_| ());
    assert_eq!(
        available(&node).await,
        8,
        "the older one and more of the log"
    );
    drop(node);
}

#[test]
fn what_a_dead_node_had_begun_to_write_is_cleared_up_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: String| {
        let path = directory.path().join(name);
        (std::fs::File::create(&path).unwrap(), path)
    };
    let fitting = Fitting {
        log: Uuid::from_u128(1),
        layout: Layout::uniform(1),
        retention: Duration::ZERO,
    };
    let log = fitting.log;
    let (_, abandoned) = file(format!("{log}-abc.new"));
    let (of_an_old_program, nameless) = file(format!("{log}.new"));
    drop(of_an_old_program);
    let (written, being_written) = file(format!("{log}-def.new"));
    written.try_lock().unwrap();
    let (_, of_another_log) = file(format!("{}-abc.new", Uuid::from_u128(2)));
    save(directory.path(), fitting, &Fold::new(Duration::ZERO)).unwrap();
    for gone in [abandoned, nameless] {
        assert!(!gone.exists(), "{gone:?}");
    }
    for kept in [being_written, of_another_log] {
        assert!(kept.exists(), "{kept:?}");
    }
    assert_eq!(stored(directory.path(), log).unwrap().len(), 1);
}

/// Everything of a log but what is made of it.
fn copy_log(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Its id is the same and so are its offsets, but other records stand behind them.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_what_the_log_was_before_it_was_restored_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let (backup, secrets) = (tempfile::tempdir().unwrap(), Arc::new(Secrets::generate()));
    let node = start(directory.path(), &secrets, |_| ());
    node.stock("A", 100).await;
    drop(node);
    copy_log(directory.path(), backup.path());
    let node = start(directory.path(), &secrets, |_| ());
    node.order(None, &[("A", 50)]).await.unwrap();
    node.commands
        .committer()
        .keeper()
        .make_snapshot()
        .await
        .unwrap();
    drop(node);
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    copy_log(backup.path(), directory.path());
    let node = start(directory.path(), &secrets, |settings| {
        settings.snapshots = None
    });
    for _ in 0..20 {
        node.order(None, &[("A", 1)]).await.unwrap();
    }
    drop(node);
    let node = start(directory.path(), &secrets, |_| ());
    assert_eq!(available(&node).await, 80);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_change_drops_what_was_over_long_ago_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(1_700_000_000_000_000)));
    let node = at(
        clock.clone(),
        Arc::new(log),
        directory.path(),
        &secrets,
        |_| (),
    );
    node.stock("A", 10).await;
    let gone = node.order(Some("gone"), &[("A", 1)]).await.unwrap().value;
    assert_eq!(
        cancelled(&node, &gone, Some("cancel gone")).await,
        Ok(false)
    );
    let living = node.order(None, &[("A", 1)]).await.unwrap().value;
    const EIGHT_DAYS: i64 = 8 * 24 * 3_600_000_000;
    clock.0.fetch_add(EIGHT_DAYS, Ordering::Relaxed);
    let recent = node.order(Some("recent"), &[("A", 1)]).await.unwrap().value;
    assert_eq!(
        cancelled(&node, &recent, Some("cancel recent")).await,
        Ok(false)
    );
    assert_eq!(
        cancelled(&node, &gone, None).await,
        Err(Refusal::AlreadyCancelled)
    );
    let keeper = Arc::clone(node.commands.committer().keeper());
    let before = keeper.open().await.unwrap().number();
    let changed = keeper.change_epoch("a test").await.unwrap();
    assert!(changed.epoch > before);
    assert!(!is_in_gate(&node, &gone).await);
    // As the API says: 404 for one that finished long ago, and GET shows it.
    assert_eq!(cancelled(&node, &gone, None).await, Err(Refusal::NotFound));
    assert!(is_in_gate(&node, &living).await);
    assert!(
        is_in_gate(&node, &recent).await,
        "its key may still be sent again"
    );
    assert_eq!(
        cancelled(&node, &recent, Some("cancel recent")).await,
        Ok(true)
    );
    assert_eq!(available(&node).await, 9);
    assert_eq!(cancelled(&node, &living, None).await, Ok(false));
    assert!(node.order(None, &[("A", 10)]).await.is_ok());
    assert!(matches!(
        refusal(node.order(None, &[("A", 1)]).await),
        Refusal::OutOfStock { .. }
    ));
}

/// What a tool would forget the servers promise to remember.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_not_told_how_long_keys_are_remembered_rebuilds_no_gate() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let log = SqliteLog::open(directory.path(), SqliteSettings::default()).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let node = |gate: &Arc<MemoryGate>, rebuilds: bool| {
        let (gate, log) = (Arc::clone(gate), Arc::clone(&log));
        Node::tuned(gate, log, &secrets, Arc::new(SystemClock), |settings| {
            settings.sign_of_life_wait = Duration::ZERO;
            settings.claim_backoff = Duration::ZERO;
            settings.rebuilds = rebuilds;
        })
    };
    let gate = Arc::new(MemoryGate::new(1000));
    let first = node(&gate, false);
    first.stock("A", 10).await;
    let before = first.commands.committer().keeper().open().await.unwrap();

    let beside = node(&gate, false);
    beside.order(None, &[("A", 1)]).await.unwrap();
    let keeper = beside.commands.committer().keeper();
    let refused = keeper.change_epoch("a test").await.unwrap_err();
    assert!(refused.contains("--key-retention-hours"), "{refused}");
    let still = keeper.open().await.unwrap();
    assert_eq!(still.number(), before.number());

    let empty = Arc::new(MemoryGate::new(1000));
    let without = node(&empty, false);
    let mut state = without.commands.committer().keeper().state();
    let unfit = |state: &EpochState| matches!(state, EpochState::Unfit(_));
    let why = state.wait_for(unfit).await.unwrap().to_string();
    assert!(why.contains("--key-retention-hours"), "{why}");
    let server = node(&empty, true);
    assert_eq!(available(&server).await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_go_on_through_planned_changes_and_none_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let secrets = Arc::new(Secrets::generate());
    let node = Arc::new(start(directory.path(), &secrets, |settings| {
        settings.fold_tasks = 2
    }));
    node.stock("A", 500).await;
    let buyers: Vec<_> = (0..8)
        .map(|buyer| {
            let node = Arc::clone(&node);
            tokio::spawn(async move {
                let mut sold = 0;
                for order in 0..100 {
                    let key = format!("{buyer}-{order}");
                    loop {
                        match node.order(Some(&key), &[("A", 1)]).await {
                            Ok(_) => break sold += 1,
                            Err(CommitError::Refused { .. }) => break,
                            Err(_) => tokio::task::yield_now().await,
                        }
                    }
                }
                sold
            })
        })
        .collect();
    let keeper = node.commands.committer().keeper();
    for _ in 0..3 {
        keeper.change_epoch("a test").await.unwrap();
    }
    let mut sold = 0;
    for buyer in buyers {
        sold += buyer.await.unwrap();
    }
    assert_eq!(sold, 500);
    assert_eq!(available(&node).await, 0);
}
