//! The commit path as a whole, on a node whose epochs change under it.
//!
//! Orders compete for the last units while the gate's epoch closes, its answers get lost, and
//! another node completes what is pending and begins an epoch of its own. What must hold:
//! - every command ends, and the node has an open epoch again afterwards;
//! - a command uses one epoch for all of its steps (see [`crate::gated`]);
//! - what was answered with a success stands in the log, valid; what was *unavailable* or refused
//!   does not;
//! - nothing is oversold, and no record stands in the log before its predecessor;
//! - once the node is drained, no command of it is decided, also of clients that hung up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::ids::UserId;
use domain::inventory::{InventoryEvent, MovementReason};
use domain::money::{Currency, Money};
use domain::order::RequestedLine;
use domain::quantity::{Quantity, SignedQuantity};
use domain::sku::Sku;
use domain::text::Name;
use domain::time::Time;
use event_log::EventLog;
use parking_lot::Mutex;
use personal_data::Secrets;
use record::envelope::FORMAT;
use record::epochs::{EpochEntry, GATE_INTERFACE, Shop};
use record::reader::{HighestFence, Standing};
use record::{Actor, AggregateType, Body, Envelope, Events, Layout, Partition, Position};
use record::{Record, RecordId, Topic};
use shuttle::rand::{Rng as _, thread_rng};
use uuid::Uuid;

use crate::clock::{Clock, Ids};
use crate::commands::Commands;
use crate::commands::passwords::Passwords;
use crate::commands::users::Personal;
use crate::commit::{CommitError, Committer, Request};
use crate::gated::Gated;
use crate::log::Log;
use crate::schedules::note;
use crate::settings::Settings;

const INVENTORY: Partition = Partition {
    topic: Topic::Inventory,
    number: 0,
};
/// Units in stock, fewer than are ordered.
const UNITS: i64 = 2;
const ORDERS: u128 = 3;

#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Time {
        Time::from_microseconds(1)
    }
}

#[derive(Debug)]
struct Counted(AtomicU64);

impl Ids for Counted {
    fn next(&self) -> Uuid {
        Uuid::from_u128(0x1000 + u128::from(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

struct World {
    log: Arc<Log>,
    gate: Arc<Gated>,
    commands: Commands,
    settings: Settings,
    /// How each command ended, by its correlation id; clients that hung up know nothing.
    ended: Mutex<BTreeMap<Uuid, Result<Position, CommitError>>>,
}

/// See the module.
pub fn run() {
    shuttle::future::block_on(async {
        let world = World::open(thread_rng().gen_range(0..3));
        let mut tasks: Vec<_> = (1..=ORDERS)
            .map(|number| tokio::spawn(client(Arc::clone(&world), Uuid::from_u128(number))))
            .collect();
        if thread_rng().gen_range(0..2) == 0 {
            let world = Arc::clone(&world);
            tasks.push(tokio::spawn(async move { world.gate.close().await }));
        }
        if thread_rng().gen_range(0..2) == 0 {
            tasks.push(tokio::spawn(another_node(Arc::clone(&world))));
        }
        world.finish(tasks).await;
    });
}

/// One order only, and another node that always completes it and begins an epoch.
pub fn run_overtaken() {
    shuttle::future::block_on(async {
        let world = World::open(0);
        let order = tokio::spawn(client(Arc::clone(&world), Uuid::from_u128(1)));
        let overtakes = tokio::spawn(another_node(Arc::clone(&world)));
        world.finish(vec![order, overtakes]).await;
    });
}

/// Units are received twice, so that one record follows the other, and completion is at work.
pub fn run_chain() {
    shuttle::future::block_on(async {
        let world = World::open(thread_rng().gen_range(0..4));
        crate::completion::start(world.commands.committer());
        let receives = |number| tokio::spawn(receive(Arc::clone(&world), Uuid::from_u128(number)));
        let tasks = (1..=3).map(receives).collect();
        world.finish(tasks).await;
    });
}

/// A client that hangs up, on a node that is drained at once.
pub fn run_hung_up() {
    shuttle::future::block_on(async {
        let world = World::open(0);
        hang_up(&world, Uuid::from_u128(1)).await;
        world.finish(vec![]).await;
    });
}

impl World {
    fn open(faults: u32) -> Arc<Self> {
        static SECRETS: OnceLock<Arc<Secrets>> = OnceLock::new();
        let secrets = SECRETS.get_or_init(|| Arc::new(Secrets::generate()));
        let log = Log::new(faults);
        for (number, event) in (1..).zip(stock()) {
            log.put(INVENTORY, "LAMP", record(number, event).encode().into());
        }
        let gate = Gated::new(Arc::clone(&log), faults);
        let settings = Settings {
            in_flight_max: 8,
            calls_in_flight: 2,
            settle_linger: Duration::ZERO,
            append_retry: Duration::ZERO,
            completion_interval: Duration::ZERO,
            sign_of_life_wait: Duration::ZERO,
            claim_backoff: Duration::ZERO,
            gate_retry: Duration::from_secs(3600),
            ..Settings::new(eur(), secrets.check_value())
        };
        let committer = Committer::new(
            Arc::clone(&gate) as _,
            Arc::clone(&log) as Arc<dyn EventLog>,
            Arc::new(Fixed),
            Arc::new(Counted(AtomicU64::new(0))),
            settings.clone(),
        );
        if thread_rng().gen_range(0..3) == 0 {
            crate::completion::start(&committer);
        }
        let personal = Personal {
            secrets: Arc::clone(secrets),
            passwords: Passwords::new(1, 1),
        };
        Arc::new(Self {
            log,
            gate,
            commands: Commands::new(committer, personal),
            settings,
            ended: Mutex::default(),
        })
    }

    /// Orders a unit.
    async fn place(&self, id: Uuid) -> Result<Position, CommitError> {
        let request = Request {
            actor: Actor::Operator,
            key: None,
            correlation_id: id,
            traceparent: None,
        };
        let line = RequestedLine {
            sku: lamp(),
            quantity: Quantity::new(1).expect("one unit"),
        };
        let placed = self.commands.place_order(request, UserId(id), vec![line]);
        placed.await.map(|placed| placed.position)
    }

    async fn finish(&self, tasks: Vec<tokio::task::JoinHandle<()>>) {
        for task in tasks {
            task.await.expect("no task panics");
        }
        let committer = Arc::clone(self.commands.committer());
        committer.drain().await;
        self.gate.drained();
        let open = committer.keeper().open().await;
        let open = open.map(|open| open.number());
        note(format!("the epoch afterwards: {open:?}"));
        // Whoever was missed comes now.
        pause(50).await;
        self.check();
    }

    fn check(&self) {
        self.check_versions();
        let mut fence = HighestFence(0);
        let mut valid = BTreeMap::new();
        let mut left = UNITS;
        for partition in self.log.layout().partitions_of_record() {
            if partition == INVENTORY {
                continue;
            }
            for raw in self.log.records(partition) {
                let (envelope, body) = Envelope::decode(&raw.payload).expect("it is a record");
                if fence.judge(&envelope) != Standing::Valid {
                    continue;
                }
                let body = Body::decode(&envelope, body).expect("it is a record");
                if valid.insert(body.correlation_id, raw.offset).is_none() {
                    left += body
                        .events
                        .movements()
                        .iter()
                        .map(|m| m.quantity)
                        .sum::<i64>();
                }
            }
            fence = HighestFence(0);
        }
        assert!(left >= 0, "oversold by {}", -left);
        for (id, ended) in &*self.ended.lock() {
            let stands = valid.get(id);
            match ended {
                Ok(_) => assert!(stands.is_some(), "{id} was acknowledged, but is not valid"),
                Err(CommitError::OutcomeUnknown(_)) => {}
                Err(error) => assert!(stands.is_none(), "{id} was {error}, but is valid"),
            }
        }
    }
}

impl World {
    /// No record stands in the log before its predecessor.
    fn check_versions(&self) {
        let (mut fence, mut version) = (HighestFence(0), 0);
        for raw in self.log.records(INVENTORY) {
            let (envelope, _) = Envelope::decode(&raw.payload).expect("it is a record");
            if fence.judge(&envelope) == Standing::Valid {
                let gap = format!("version {} after {version}", envelope.version);
                assert!(envelope.version <= version + 1, "{gap}");
                version = version.max(envelope.version);
            }
        }
    }
}

/// Receives a unit.
async fn receive(world: Arc<World>, id: Uuid) {
    let request = Request {
        actor: Actor::Operator,
        key: None,
        correlation_id: id,
        traceparent: None,
    };
    let (unit, reason) = (
        SignedQuantity::new(1).expect("a unit"),
        MovementReason::Received,
    );
    let received = world
        .commands
        .move_stock(request, lamp(), unit, reason, None);
    let ended = received.await.map(|received| received.position);
    note(format!("{id} hears {ended:?}"));
}

/// Orders a unit; some hang up before they are answered.
async fn client(world: Arc<World>, id: Uuid) {
    if thread_rng().gen_range(0..4) == 0 {
        return hang_up(&world, id).await;
    }
    let ended = world.place(id).await;
    note(format!("{id} hears {ended:?}"));
    if let Ok(position) = &ended {
        let raw = world.log.read_at(*position).await.expect("it stands there");
        let (envelope, _) = Envelope::decode(&raw.payload).expect("it is a record");
        let acknowledged = world.log.is_acknowledged(*position, envelope.id);
        assert!(acknowledged, "answered before the append was acknowledged");
    }
    world.ended.lock().insert(id, ended);
}

async fn hang_up(world: &World, id: Uuid) {
    note(format!("{id} hangs up"));
    let placed = Box::pin(world.place(id));
    let moment = Box::pin(tokio::task::yield_now());
    drop(futures::future::select(placed, moment).await);
}

/// A node that completes what is pending, claims the next epoch, fences, and dies.
async fn another_node(world: Arc<World>) {
    for _ in 0..500 {
        tokio::task::yield_now().await;
        let pending = world.gate.pending_elsewhere().await;
        let found = !pending.is_empty();
        for pending in pending {
            world
                .log
                .put(pending.partition, "a copy by another node", pending.payload);
        }
        if found {
            break;
        }
    }
    pause(thread_rng().gen_range(0..30)).await;
    let settings = &world.settings;
    let claim = EpochEntry::Claim {
        id: Uuid::from_u128(77),
        interface: GATE_INTERFACE,
        layout: Layout::uniform(1),
        shop: Shop {
            currency: settings.currency,
            secrets_check: settings.secrets_check.clone(),
        },
        base: 0,
        node: Uuid::from_u128(78),
    };
    let epoch = world
        .log
        .put(Partition::EPOCHS, "another node", claim.encode().into());
    for partition in world.log.layout().partitions_of_record() {
        world.log.put_fence(partition, epoch);
    }
}

async fn pause(steps: u32) {
    for _ in 0..steps {
        tokio::task::yield_now().await;
    }
}

fn eur() -> Currency {
    Currency::parse("EUR").expect("it is one")
}

fn lamp() -> Sku {
    Sku::parse("LAMP").expect("it is one")
}

fn stock() -> [InventoryEvent; 2] {
    let created = InventoryEvent::ItemCreated {
        sku: lamp(),
        name: Name::parse("Lamp").expect("it is one"),
        price: Money::price(1, eur()).expect("it is one"),
        category: None,
    };
    let received = InventoryEvent::StockMoved {
        sku: lamp(),
        quantity: UNITS,
        reason: MovementReason::Received,
        reference: None,
    };
    [created, received]
}

fn record(version: u64, event: InventoryEvent) -> Record {
    Record {
        envelope: Envelope {
            format: FORMAT,
            id: RecordId(Uuid::from_u128(u128::from(version))),
            epoch: 0,
            aggregate_type: AggregateType::Inventory,
            aggregate_id: "LAMP".to_owned(),
            version,
        },
        body: Body {
            events: Events::Inventory(vec![event]),
            actor: Actor::Operator,
            key: None,
            correlation_id: Uuid::nil(),
            causation_id: None,
            traceparent: None,
            time: Time::from_microseconds(1),
        },
    }
}
