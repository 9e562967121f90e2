//! The fold: whatever the history, and wherever it was stored on the way, it is the same.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use command_api::epoch::fold::{Fold, FoldError};
use command_api::epoch::snapshot::{Fitting, SnapshotError, load, save, stored};
use domain::ids::{OrderId, UserId};
use domain::inventory::{InventoryCommand, InventoryItem, MovementReason};
use domain::money::{Currency, Money};
use domain::order::{Order, OrderCommand, RequestedLine};
use domain::quantity::{Quantity, SignedQuantity};
use domain::sku::Sku;
use domain::text::Name;
use domain::time::Time;
use proptest::prelude::*;
use record::envelope::FORMAT;
use record::{
    Actor, Body, Envelope, Events, Layout, Partition, Position, Record, RecordId, RecordedKey,
};
use uuid::Uuid;

const LAYOUT: Layout = Layout {
    users: 1,
    orders: 2,
    inventory: 1,
};
const RETENTION: Duration = Duration::from_secs(24 * 3600);
const HOUR: i64 = 3_600_000_000;

/// What happens to the log, one after another.
#[derive(Debug, Clone)]
enum Step {
    /// An order of so many units, with this key.
    Place(i64, u8),
    /// One of the living orders is cancelled, with this key.
    Cancel(usize, u8),
    /// Some earlier record arrives again.
    Copy(usize),
    /// A record of the epoch before arrives late.
    Late,
    /// So many hours pass.
    Wait(u8),
    /// A new epoch: the fences of all partitions.
    Fence,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5i64, 0..20u8).prop_map(|(units, key)| Step::Place(units, key)),
        4 => (any::<usize>(), 0..20u8).prop_map(|(order, key)| Step::Cancel(order, key)),
        3 => any::<usize>().prop_map(Step::Copy),
        1 => Just(Step::Late),
        2 => (1..20u8).prop_map(Step::Wait),
        1 => Just(Step::Fence),
    ]
}

/// A log and who writes it.
#[derive(Default)]
struct Log {
    partitions: BTreeMap<Partition, Vec<Vec<u8>>>,
    appended: Vec<(Partition, Vec<u8>)>,
    epoch: u64,
    hour: i64,
    ids: u128,
    alive: Vec<Order>,
}

impl Log {
    fn of(steps: &[Step]) -> Self {
        let mut log = Self::default();
        log.fence();
        log.stock();
        for step in steps {
            log.take(step);
        }
        log.fence();
        log
    }

    fn id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    fn time(&self) -> Time {
        Time::from_microseconds(1_700_000_000_000_000 + self.hour * HOUR)
    }

    fn fence(&mut self) {
        self.epoch += 1;
        for partition in LAYOUT.partitions_of_record() {
            let fence = Envelope::fence(self.epoch, RecordId(self.id()));
            let entries = self.partitions.entry(partition).or_default();
            entries.push(fence.encode("null"));
        }
    }

    fn append(&mut self, id: &str, version: u64, epoch: u64, events: Events, key: Option<u8>) {
        let aggregate_type = events.aggregate_type();
        let record = Record {
            envelope: Envelope {
                format: FORMAT,
                id: RecordId(self.id()),
                epoch,
                aggregate_type,
                aggregate_id: id.to_owned(),
                version,
            },
            body: Body {
                events,
                actor: Actor::Operator,
                key: key.map(|key| RecordedKey {
                    key: format!("key-{key}"),
                    fingerprint: format!("{key:032x}"),
                }),
                correlation_id: Uuid::nil(),
                causation_id: None,
                traceparent: None,
                time: self.time(),
            },
        };
        let topic = aggregate_type.topic().unwrap();
        let partition = LAYOUT.partition_of(topic, id);
        self.push(partition, record.encode());
    }

    fn push(&mut self, partition: Partition, payload: Vec<u8>) {
        self.appended.push((partition, payload.clone()));
        self.partitions.entry(partition).or_default().push(payload);
    }

    fn stock(&mut self) {
        let mut item = InventoryItem::default();
        let put = InventoryCommand::Put {
            sku: sku(),
            name: Name::parse("Lamp").unwrap(),
            price: Money::price(100, Currency::parse("EUR").unwrap()).unwrap(),
            category: None,
        };
        let supplied = InventoryCommand::Move {
            quantity: SignedQuantity::new(1_000).unwrap(),
            reason: MovementReason::Received,
            reference: None,
        };
        for (version, command) in [(1, put), (2, supplied)] {
            let events = item.decide(&command).unwrap();
            events.iter().for_each(|event| item.apply_event(event));
            self.append("A", version, self.epoch, Events::Inventory(events), None);
        }
    }

    fn place(&mut self, units: i64) -> (Order, String, Events) {
        let id = OrderId(self.id());
        let terms = domain::inventory::Terms {
            name: Name::parse("Lamp").unwrap(),
            price: Money::price(100, Currency::parse("EUR").unwrap()).unwrap(),
            status: domain::inventory::ItemStatus::Active,
        };
        let line = RequestedLine {
            sku: sku(),
            quantity: Quantity::new(units).unwrap(),
        };
        let mut order = Order::default();
        let command = OrderCommand::Place {
            id,
            user_id: UserId(Uuid::nil()),
            lines: vec![(line, Some(terms))],
            at: self.time(),
        };
        let events = order.decide(&command).unwrap();
        events.iter().for_each(|event| order.apply_event(event));
        (order, id.to_string(), Events::Orders(events))
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Place(units, key) => {
                let (order, id, events) = self.place(*units);
                self.alive.push(order);
                self.append(&id, 1, self.epoch, events, Some(*key));
            }
            Step::Cancel(which, key) if !self.alive.is_empty() => {
                let order = self.alive.remove(which % self.alive.len());
                let id = order.existing.as_ref().unwrap().id.to_string();
                let at = self.time();
                let cancel = OrderCommand::Cancel { reason: None, at };
                let events = Events::Orders(order.decide(&cancel).unwrap());
                self.append(&id, 2, self.epoch, events, Some(*key));
            }
            Step::Copy(which) => {
                let (partition, payload) = self.appended[which % self.appended.len()].clone();
                self.push(partition, payload);
            }
            Step::Late => {
                let (_, id, events) = self.place(1);
                self.append(&id, 1, self.epoch - 1, events, None);
            }
            Step::Wait(hours) => self.hour += i64::from(*hours),
            Step::Fence => self.fence(),
            Step::Cancel(..) => {}
        }
    }

    /// Takes in every partition from where the fold stands up to `end` of its length.
    fn fold_on(&self, fold: &mut Fold, end: impl Fn(Partition, usize) -> usize) {
        for (partition, entries) in &self.partitions {
            let from = fold.place(*partition).next as usize;
            let end = end(*partition, entries.len());
            for (offset, entry) in entries.iter().enumerate().take(end).skip(from) {
                let position = Position {
                    partition: *partition,
                    offset: offset as u64,
                };
                fold.take_in(position, entry).unwrap();
            }
        }
    }
}

fn sku() -> Sku {
    Sku::parse("A").unwrap()
}

fn pieces(fold: Fold) -> Vec<String> {
    let pieces = fold.pieces(HashMap::new()).unwrap();
    let mut pieces: Vec<_> = pieces.map(|piece| format!("{piece:?}")).collect();
    pieces.sort();
    pieces
}

fn fitting() -> Fitting {
    Fitting {
        log: Uuid::from_u128(1),
        layout: LAYOUT,
        retention: RETENTION,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// The rule of snapshots: a snapshot and the rest of the log are the whole log.
    #[test]
    fn a_fold_stored_anywhere_and_gone_on_with_is_the_fold_of_all(
        steps in prop::collection::vec(step(), 1..60),
        cuts in prop::collection::vec((0..=100usize, 0..=100usize, 0..=100usize), 1..4),
    ) {
        let log = Log::of(&steps);
        let mut whole = Fold::new(RETENTION);
        log.fold_on(&mut whole, |_, end| end);
        let directory = tempfile::tempdir().unwrap();
        let mut fold = Fold::new(RETENTION);
        for (first, second, items) in cuts {
            log.fold_on(&mut fold, |partition, end| match (partition.topic, partition.number) {
                (record::Topic::Orders, 0) => end * first / 100,
                (record::Topic::Orders, _) => end * second / 100,
                _ => end * items / 100,
            });
            fold.sweep();
            let stored = save(directory.path(), fitting(), &fold).unwrap();
            fold = load(&stored.path, fitting(), 2).unwrap();
        }
        log.fold_on(&mut fold, |_, end| end);
        prop_assert_eq!(pieces(fold), pieces(whole));
    }

    #[test]
    fn partitions_folded_apart_are_the_fold_of_all(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let log = Log::of(&steps);
        let mut whole = Fold::new(RETENTION);
        log.fold_on(&mut whole, |_, end| end);
        let (mut orders, mut others) = (Fold::new(RETENTION), Fold::new(RETENTION));
        let is_first = |partition: Partition| {
            partition.topic == record::Topic::Orders && partition.number == 0
        };
        log.fold_on(&mut orders, |partition, end| if is_first(partition) { end } else { 0 });
        log.fold_on(&mut others, |partition, end| if is_first(partition) { 0 } else { end });
        orders.merge(others);
        prop_assert_eq!(pieces(orders), pieces(whole));
    }
}

fn fold_of(steps: &[Step]) -> Fold {
    let mut fold = Fold::new(RETENTION);
    Log::of(steps).fold_on(&mut fold, |_, end| end);
    fold
}

fn orders_of(fold: Fold) -> usize {
    let pieces = pieces(fold);
    let is_order = |piece: &&String| piece.contains("kind: Orders");
    pieces.iter().filter(is_order).count()
}

#[test]
fn a_finished_order_stays_as_long_as_keys_do() {
    let life = [Step::Place(1, 1), Step::Cancel(0, 2)];
    assert_eq!(orders_of(fold_of(&life)), 1);
    let within = [Step::Wait(20), Step::Place(1, 3)];
    assert_eq!(orders_of(fold_of(&[&life[..], &within].concat())), 2);
    let past = [Step::Wait(20), Step::Wait(20), Step::Place(1, 3)];
    assert_eq!(orders_of(fold_of(&[&life[..], &past].concat())), 1);
}

#[test]
fn a_record_of_a_clock_that_is_ahead_lets_nothing_be_forgotten() {
    let life = [
        Step::Place(1, 1),
        Step::Cancel(0, 2),
        Step::Wait(200),
        Step::Place(1, 3),
    ];
    let mut fold = Fold::new(RETENTION);
    let log = Log::of(&life);
    fold.is_folded_at(Log::default().time());
    log.fold_on(&mut fold, |_, end| end);
    assert_eq!(orders_of(fold), 2);
}

#[test]
fn an_order_that_a_late_copy_could_bring_back_keeps_its_version() {
    // Finished long ago, but its first record arrives again in the same epoch.
    let steps = [
        Step::Place(1, 1),
        Step::Cancel(0, 2),
        Step::Wait(20),
        Step::Wait(20),
        Step::Place(1, 3),
        Step::Copy(2),
    ];
    let log = Log::of(&steps);
    let mut fold = Fold::new(RETENTION);
    log.fold_on(&mut fold, |_, end| end.saturating_sub(2));
    fold.sweep();
    log.fold_on(&mut fold, |_, end| end);
    assert_eq!(orders_of(fold), 1, "the copy is a duplicate");
}

#[test]
fn a_record_behind_the_end_of_an_order_stops_the_fold() {
    let mut log = Log::of(&[Step::Place(1, 1), Step::Cancel(0, 2)]);
    let order = log.appended[2].1.clone();
    let (mut envelope, body) = Envelope::decode(&order).unwrap();
    (envelope.version, envelope.epoch) = (3, log.epoch);
    let again = envelope.encode(body);
    let partition = log.appended[2].0;
    log.partitions.get_mut(&partition).unwrap().push(again);
    let mut fold = Fold::new(RETENTION);
    let last = log.partitions[&partition].len() - 1;
    log.fold_on(
        &mut fold,
        |of, end| if of == partition { end - 1 } else { end },
    );
    let position = Position {
        partition,
        offset: last as u64,
    };
    let error = fold.take_in(position, &log.partitions[&partition][last]);
    assert!(
        matches!(error, Err(FoldError::AfterItsEnd { .. })),
        "{error:?}"
    );
}

/// S3: a node whose clock is two days behind has taken a key; another node's record is newest.
#[test]
fn a_key_of_a_clock_that_is_behind_is_not_forgotten_too_soon() {
    let mut log = Log::of(&[]);
    // Every partition has records of right clocks.
    for key in 100..200 {
        log.take(&Step::Place(1, key));
    }
    log.hour -= 48;
    log.take(&Step::Place(1, 9));
    log.hour += 49;
    log.take(&Step::Place(1, 10));
    let mut fold = Fold::new(RETENTION);
    log.fold_on(&mut fold, |_, end| end);
    fold.sweep();
    let pieces = pieces(fold);
    let knows = pieces.iter().any(|piece| piece.contains("key-9"));
    assert!(knows, "{pieces:#?}");
}

#[test]
fn a_large_snapshot_is_read_by_any_number_of_threads() {
    let directory = tempfile::tempdir().unwrap();
    let steps: Vec<Step> = (0..2_000).map(|_| Step::Place(1, 1)).collect();
    let folded = || {
        let mut fold = Fold::new(RETENTION);
        Log::of(&steps).fold_on(&mut fold, |_, end| end);
        fold
    };
    let stored = save(directory.path(), fitting(), &folded()).unwrap();
    let whole = pieces(folded());
    for threads in 0..5 {
        let fold = load(&stored.path, fitting(), threads).unwrap();
        assert!(pieces(fold) == whole, "{threads} threads");
    }
}

#[test]
fn a_snapshot_that_is_damaged_or_does_not_fit_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut fold = Fold::new(RETENTION);
    Log::of(&[Step::Place(1, 1)]).fold_on(&mut fold, |_, end| end);
    let stored = save(directory.path(), fitting(), &fold).unwrap();
    assert!(load(&stored.path, fitting(), 2).is_ok());
    let other_log = Fitting {
        log: Uuid::from_u128(2),
        ..fitting()
    };
    let longer = Fitting {
        retention: RETENTION * 2,
        ..fitting()
    };
    for unfit in [other_log, longer] {
        let error = load(&stored.path, unfit, 2);
        assert!(matches!(error, Err(SnapshotError::Unfit(_))), "{error:?}");
    }
    let whole = std::fs::read(&stored.path).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&stored.path, &damaged).unwrap();
        assert!(load(&stored.path, fitting(), 2).is_err(), "byte {at}");
        std::fs::write(&stored.path, &whole[..at]).unwrap();
        assert!(load(&stored.path, fitting(), 2).is_err(), "cut at {at}");
    }
}

#[test]
fn two_generations_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let log = Log::of(&[Step::Place(1, 1), Step::Place(1, 2)]);
    let mut fold = Fold::new(RETENTION);
    for end in 1..5 {
        log.fold_on(&mut fold, |_, all| all.min(end));
        save(directory.path(), fitting(), &fold).unwrap();
    }
    let kept = stored(directory.path(), fitting().log).unwrap();
    assert_eq!(kept.len(), 2);
    let until = |at: usize| -> u64 {
        let fold = load(&kept[at].path, fitting(), 1).unwrap();
        fold.places().values().map(|place| place.next).sum()
    };
    assert!(until(0) > until(1), "the newest comes first");
}

#[test]
fn nodes_that_share_a_directory_never_write_into_each_others_files() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let steps = |orders: u8| -> Vec<Step> {
        let keys = (0..orders).cycle().take(200 + usize::from(orders));
        keys.map(|key| Step::Place(1, key)).collect()
    };
    std::thread::scope(|scope| {
        for node in 1..4 {
            scope.spawn(move || {
                let fold = fold_of(&steps(node));
                for _ in 0..10 {
                    save(directory, fitting(), &fold).unwrap();
                    // Another node may have removed it as an old one, but it is never damaged.
                    for found in stored(directory, fitting().log).unwrap() {
                        match load(&found.path, fitting(), 1) {
                            Err(SnapshotError::File(error)) => {
                                assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
                            }
                            read => assert!(read.unwrap().places().len() > 1),
                        }
                    }
                }
            });
        }
    });
    assert_eq!(stored(directory, fitting().log).unwrap().len(), 2);
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 2);
}
