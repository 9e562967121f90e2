//! A shop that writes records as the write side would: the domain decides, versions follow.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use domain::email::EmailHash;
use domain::ids::{OrderId, PersonalKeyId, UserId};
use domain::inventory::{InventoryCommand, InventoryEvent, InventoryItem, MovementReason};
use domain::money::{Currency, Money};
use domain::order::{Order, OrderCommand, OrderEvent, RequestedLine};
use domain::quantity::{Quantity, SignedQuantity};
use domain::sku::Sku;
use domain::text::{Category, Name, Note, Sealed};
use domain::time::Time;
use domain::user::{Role, User, UserCommand, UserEvent};
use event_log::{Entry, EventLog};
use record::envelope::FORMAT;
use record::epochs::{EpochEntry, GATE_INTERFACE, Shop as ShopFacts};
use record::{
    Actor, AggregateType, Body, Envelope, Events, Partition, Position, Record, RecordId, Topic,
};
use uuid::Uuid;

/// Writes into a log. Ids and times are counted, so that the same calls write the same records.
pub(crate) struct Shop {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) epoch: u64,
    items: HashMap<String, (InventoryItem, u64)>,
    orders: HashMap<OrderId, (Order, u64)>,
    users: HashMap<UserId, (User, u64)>,
    counted: u64,
}

pub(crate) fn sku(text: &str) -> Sku {
    Sku::parse(text).unwrap()
}

pub(crate) fn price(amount: i64) -> Money {
    Money::price(amount, Currency::parse("EUR").unwrap()).unwrap()
}

impl Shop {
    /// Opens epoch 1 on a new log: a claim and a fence everywhere.
    pub(crate) async fn open(log: Arc<dyn EventLog>) -> Self {
        let mut shop = Self {
            log,
            epoch: 0,
            items: HashMap::new(),
            orders: HashMap::new(),
            users: HashMap::new(),
            counted: 0,
        };
        let claim = EpochEntry::Claim {
            id: Uuid::new_v4(),
            interface: GATE_INTERFACE,
            layout: shop.log.layout(),
            shop: ShopFacts {
                currency: Currency::parse("EUR").unwrap(),
                secrets_check: "check".to_owned(),
            },
            base: 1,
            node: Uuid::nil(),
        };
        shop.append(Partition::EPOCHS, "", Some(claim.encode()))
            .await;
        shop.next_epoch().await;
        shop
    }

    /// Fences every partition with the next epoch.
    pub(crate) async fn next_epoch(&mut self) {
        self.epoch += 1;
        for partition in self.log.layout().partitions_of_record() {
            let fence = Envelope::fence(self.epoch, RecordId(self.id())).encode("{}");
            self.append(partition, "", Some(fence)).await;
        }
    }

    /// The next id; all are made in the order of the calls.
    pub(crate) fn id(&mut self) -> Uuid {
        self.counted += 1;
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(self.counted))
    }

    /// The next moment, 7 µs after the one before.
    pub(crate) fn now(&mut self) -> Time {
        self.counted += 1;
        Time::from_microseconds(1_700_000_000_000_000 + 7 * self.counted as i64)
    }

    pub(crate) async fn append(
        &mut self,
        partition: Partition,
        key: &str,
        payload: Option<Vec<u8>>,
    ) -> Position {
        let entry = Entry {
            partition,
            key: key.to_owned(),
            payload: payload.map(Bytes::from),
            id: RecordId(self.id()),
        };
        let offset = self.log.append_one(entry).await.unwrap().unwrap();
        Position { partition, offset }
    }

    /// Encodes a record of the current epoch.
    pub(crate) fn encode(&mut self, id: &str, version: u64, time: Time, events: Events) -> Vec<u8> {
        let envelope = Envelope {
            format: FORMAT,
            id: RecordId(self.id()),
            epoch: self.epoch,
            aggregate_type: events.aggregate_type(),
            aggregate_id: id.to_owned(),
            version,
        };
        let body = Body {
            events,
            actor: Actor::User {
                id: UserId(Uuid::from_u128(7)),
                role: Role::Staff,
            },
            key: None,
            correlation_id: Uuid::nil(),
            causation_id: None,
            traceparent: None,
            time,
        };
        Record { envelope, body }.encode()
    }

    pub(crate) fn partition(&self, kind: AggregateType, id: &str) -> Partition {
        let topic = kind.topic().unwrap();
        self.log.layout().partition_of(topic, id)
    }

    async fn write(&mut self, id: &str, version: u64, time: Time, events: Events) -> Position {
        let partition = self.partition(events.aggregate_type(), id);
        let record = self.encode(id, version, time, events);
        self.append(partition, id, Some(record)).await
    }

    async fn item(&mut self, name: &str, command: InventoryCommand) -> Position {
        let time = self.now();
        let (item, version) = self.items.entry(name.to_owned()).or_default();
        let events: Vec<InventoryEvent> = item.decide(&command).unwrap();
        events.iter().for_each(|event| item.apply_event(event));
        *version += 1;
        let version = *version;
        self.write(name, version, time, Events::Inventory(events))
            .await
    }

    pub(crate) async fn put(&mut self, id: &str, name: &str, category: Option<&str>) -> Position {
        let command = InventoryCommand::Put {
            sku: sku(id),
            name: Name::parse(name).unwrap(),
            price: price(100),
            category: category.map(|text| Category::parse(text).unwrap()),
        };
        self.item(id, command).await
    }

    pub(crate) async fn reprice(&mut self, id: &str, name: &str, amount: i64) -> Position {
        let command = InventoryCommand::Put {
            sku: sku(id),
            name: Name::parse(name).unwrap(),
            price: price(amount),
            category: None,
        };
        self.item(id, command).await
    }

    pub(crate) async fn move_stock(&mut self, id: &str, units: i64) -> Position {
        let command = InventoryCommand::Move {
            quantity: SignedQuantity::new(units).unwrap(),
            reason: if units > 0 {
                MovementReason::Received
            } else {
                MovementReason::Lost
            },
            reference: Some(Note::parse("it's a \\ note").unwrap()),
        };
        self.item(id, command).await
    }

    pub(crate) async fn discontinue(&mut self, id: &str) -> Position {
        self.item(id, InventoryCommand::Discontinue).await
    }

    /// Places an order of a user of that number.
    pub(crate) async fn order(&mut self, user: u128, lines: &[(&str, i64)]) -> (OrderId, Position) {
        let (id, at) = (OrderId(self.id()), self.now());
        let lines = lines.iter().map(|(name, units)| {
            let quantity = Quantity::new(*units).unwrap();
            let terms = self.items[*name]
                .0
                .existing
                .as_ref()
                .map(|item| item.terms.clone());
            (
                RequestedLine {
                    sku: sku(name),
                    quantity,
                },
                terms,
            )
        });
        let command = OrderCommand::Place {
            id,
            user_id: UserId(Uuid::from_u128(user)),
            lines: lines.collect(),
            at,
        };
        let events: Vec<OrderEvent> = Order::default().decide(&command).unwrap();
        let mut order = Order::default();
        events.iter().for_each(|event| order.apply_event(event));
        self.orders.insert(id, (order, 1));
        let position = self
            .write(&id.to_string(), 1, at, Events::Orders(events))
            .await;
        (id, position)
    }

    pub(crate) async fn cancel(&mut self, id: OrderId) -> Position {
        let at = self.now();
        let reason = Some(Note::parse("changed 'my' mind").unwrap());
        let (order, version) = self.orders.get_mut(&id).unwrap();
        let events = order.decide(&OrderCommand::Cancel { reason, at }).unwrap();
        events.iter().for_each(|event| order.apply_event(event));
        *version += 1;
        let version = *version;
        self.write(&id.to_string(), version, at, Events::Orders(events))
            .await
    }

    /// A command that changes nothing: a record without events, with the next version.
    pub(crate) async fn change_nothing(&mut self, id: OrderId) -> Position {
        let at = self.now();
        let (_, version) = self.orders.get_mut(&id).unwrap();
        *version += 1;
        let version = *version;
        self.write(&id.to_string(), version, at, Events::Orders(vec![]))
            .await
    }

    pub(crate) async fn register(&mut self, email: u8) -> UserId {
        let (id, key_id) = (UserId(self.id()), self.id());
        let at = self.now();
        let wrapped = vec![email, 0, b'\'', b'\\'];
        self.append(Partition::USER_KEYS, &key_id.to_string(), Some(wrapped))
            .await;
        let sealed = |text: &str| Sealed::parse(text).unwrap();
        let command = UserCommand::Register {
            id,
            email_hash: EmailHash::parse(&format!("{email:064x}")).unwrap(),
            key_id: PersonalKeyId(key_id),
            email: sealed("email=="),
            name: sealed("name"),
            password_hash: sealed("hash"),
            role: Role::Customer,
            at,
        };
        self.user(id, command).await;
        id
    }

    pub(crate) async fn user(&mut self, id: UserId, command: UserCommand) -> Position {
        let time = self.now();
        let (user, version) = self.users.entry(id).or_default();
        let events: Vec<UserEvent> = user.decide(&command).unwrap();
        events.iter().for_each(|event| user.apply_event(event));
        *version += 1;
        let version = *version;
        self.write(&id.to_string(), version, time, Events::Users(events))
            .await
    }

    /// Where the only partition of a topic is, on a log that has one of each.
    pub(crate) fn only(topic: Topic) -> Partition {
        Partition { topic, number: 0 }
    }
}
