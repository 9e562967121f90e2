//! Fills a log as years of a shop would: orders that were placed and cancelled, and some that live,
//! made by the domain and encoded as the commit path does, appended straight to the log.
//!
//! They are of the epoch that is open when it is filled, whose gate does not know them: so it is
//! lost before anything is measured.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use domain::ids::{OrderId, UserId};
use domain::inventory::{
    InventoryCommand, InventoryEvent, InventoryItem, ItemStatus, MovementReason, Terms,
};
use domain::money::{Currency, Money};
use domain::order::{Order, OrderCommand, RequestedLine};
use domain::quantity::Quantity;
use domain::sku::Sku;
use domain::text::Name;
use domain::time::Time;
use domain::user::Role;
use event_log::{AppendFailure, Deliveries, Entry, EventLog};
use record::envelope::FORMAT;
use record::{
    Actor, AggregateType, Body, Envelope, Events, Layout, Partition, Record, RecordId, RecordedKey,
};
use uuid::Uuid;

/// Items of the shop.
const ITEMS: u64 = 250;
/// Units that each has at the start.
const UNITS: i64 = 1_000_000_000;
/// Appends under way at once.
const IN_FLIGHT_MAX: usize = 40_000;
/// Records that are handed over in one call.
const GROUP: usize = 500;
const MICROSECONDS_A_DAY: u64 = 24 * 3_600_000_000;

/// What the log is to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// Records in all.
    pub(super) records: u64,
    /// Orders among them that live.
    pub(super) live: u64,
    /// Days over which they are spread, the last one being today.
    pub(super) days: u64,
}

impl Shape {
    /// The longest life: one record for a living order, two for one that is over.
    fn finished(&self) -> u64 {
        self.records.saturating_sub(self.live + 2 * ITEMS) / 2
    }
}

/// Fills a log bit by bit.
pub(super) struct Filler {
    log: Arc<dyn EventLog>,
    layout: Layout,
    epoch: u64,
    shape: Shape,
    items: Vec<(Sku, Terms)>,
    began: u64,
    /// Orders so far, living or not.
    orders: u64,
    appended: u64,
    under_way: Arc<UnderWay>,
    group: Vec<Entry>,
}

/// Appends that are not acknowledged yet.
#[derive(Default)]
struct UnderWay {
    count: AtomicUsize,
    failed: AtomicBool,
}

impl Deliveries for UnderWay {
    fn acknowledged(&self, _: Partition, _: RecordId, _: Option<u64>) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    fn failed(&self, partition: Partition, _: RecordId, failure: AppendFailure) {
        tracing::warn!(%partition, %failure, "an append of the benchmark failed");
        self.failed.store(true, Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Filler {
    /// Begins with the items.
    ///
    /// # Errors
    /// When the log does not take them.
    pub(super) async fn begin(
        log: Arc<dyn EventLog>,
        epoch: u64,
        currency: Currency,
        shape: Shape,
    ) -> Result<Self> {
        let now = u64::try_from(now_in_microseconds())?;
        let mut filler = Self {
            layout: log.layout(),
            log,
            epoch,
            shape,
            items: vec![],
            began: now - shape.days * MICROSECONDS_A_DAY,
            orders: 0,
            appended: 0,
            under_way: Arc::default(),
            group: Vec::with_capacity(GROUP),
        };
        for number in 0..ITEMS {
            filler.item(number, currency).await?;
        }
        filler.flush().await?;
        Ok(filler)
    }

    /// Writes in this epoch from now on.
    pub(super) fn goes_on_in(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// An item that the fill sold of.
    pub(super) fn sku(&self) -> Sku {
        self.items[0].0.clone()
    }

    /// Goes on until the log has so many records.
    ///
    /// # Errors
    /// When the log does not take one.
    pub(super) async fn until(&mut self, records: u64) -> Result<()> {
        while self.appended < records {
            self.order().await?;
        }
        self.flush().await
    }

    async fn item(&mut self, number: u64, currency: Currency) -> Result<()> {
        let sku = Sku::parse(&format!("article-{number:05}"))?;
        let price = Money::price(1_999, currency)?;
        let (name, status) = (Name::parse("A lamp, on sale")?, ItemStatus::Active);
        let put = InventoryCommand::Put {
            sku: sku.clone(),
            name: name.clone(),
            price,
            category: None,
        };
        let created = InventoryItem::default().decide(&put)?;
        let supplied = InventoryEvent::StockMoved {
            sku: sku.clone(),
            quantity: UNITS,
            reason: MovementReason::Received,
            reference: None,
        };
        let id = sku.to_string();
        self.append(&id, 1, Events::Inventory(created), None)
            .await?;
        self.append(&id, 2, Events::Inventory(vec![supplied]), None)
            .await?;
        let terms = Terms {
            name,
            price,
            status,
        };
        self.items.push((sku, terms));
        Ok(())
    }

    /// The next order. Living ones are spread evenly among the others.
    async fn order(&mut self) -> Result<()> {
        let number = self.orders;
        self.orders += 1;
        let all = self.shape.live + self.shape.finished();
        let lives = |number: u64| number * self.shape.live / all;
        let living = lives(number + 1) > lives(number);
        let (sku, terms) = self.items[usize::try_from(number % ITEMS)?].clone();
        let line = RequestedLine {
            sku,
            quantity: Quantity::new(1)?,
        };
        let (id, at) = (Uuid::now_v7(), self.time());
        let mut order = Order::default();
        let place = OrderCommand::Place {
            id: OrderId(id),
            user_id: UserId(Uuid::from_u128(u128::from(number % 1_000))),
            lines: vec![(line, Some(terms))],
            at,
        };
        let placed = order.decide(&place)?;
        placed.iter().for_each(|event| order.apply_event(event));
        let id = id.to_string();
        let key = || Uuid::new_v4().simple().to_string();
        let key = RecordedKey {
            key: key(),
            fingerprint: key(),
        };
        self.append(&id, 1, Events::Orders(placed), Some(key))
            .await?;
        if !living {
            let at = self.time();
            let cancelled = order.decide(&OrderCommand::Cancel { reason: None, at })?;
            self.append(&id, 2, Events::Orders(cancelled), None).await?;
        }
        Ok(())
    }

    /// The time goes evenly from the first record to the last.
    fn time(&self) -> Time {
        let share = u128::from(self.shape.days * MICROSECONDS_A_DAY) * u128::from(self.appended);
        let passed = share / u128::from(self.shape.records.max(1));
        let passed = i64::try_from(passed).unwrap_or(i64::MAX);
        Time::from_microseconds(i64::try_from(self.began).unwrap_or(0) + passed)
    }

    async fn append(
        &mut self,
        id: &str,
        version: u64,
        events: Events,
        key: Option<RecordedKey>,
    ) -> Result<()> {
        let aggregate_type = events.aggregate_type();
        let Some(topic) = aggregate_type
            .topic()
            .filter(|_| aggregate_type != AggregateType::Fence)
        else {
            return Ok(());
        };
        let record_id = RecordId(Uuid::now_v7());
        let record = Record {
            envelope: Envelope {
                format: FORMAT,
                id: record_id,
                epoch: self.epoch,
                aggregate_type,
                aggregate_id: id.to_owned(),
                version,
            },
            body: Body {
                events,
                actor: Actor::User {
                    id: UserId(Uuid::nil()),
                    role: Role::Customer,
                },
                key,
                correlation_id: record_id.0,
                causation_id: None,
                traceparent: None,
                time: self.time(),
            },
        };
        self.group.push(Entry {
            partition: self.layout.partition_of(topic, id),
            key: id.to_owned(),
            payload: Some(record.encode().into()),
            id: record_id,
        });
        self.appended += 1;
        if self.group.len() == GROUP {
            self.hand_over(IN_FLIGHT_MAX).await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.hand_over(1).await?;
        while self.under_way.count.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ensure!(
            !self.under_way.failed.load(Ordering::Relaxed),
            "an append failed"
        );
        Ok(())
    }

    /// Hands the group over once no more than so many appends are under way.
    async fn hand_over(&mut self, at_most: usize) -> Result<()> {
        while self.under_way.count.load(Ordering::Relaxed) >= at_most {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ensure!(
            !self.under_way.failed.load(Ordering::Relaxed),
            "an append failed"
        );
        self.under_way
            .count
            .fetch_add(self.group.len(), Ordering::Relaxed);
        let deliveries: Arc<dyn Deliveries> = self.under_way.clone();
        self.log
            .append(std::mem::take(&mut self.group), &deliveries);
        Ok(())
    }
}

/// Microseconds since 1970, by this machine's clock.
fn now_in_microseconds() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_micros()
}
