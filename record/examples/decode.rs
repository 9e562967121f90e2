//! What decoding a record costs every reader of the log, in CPU time where the kernel tells it, so
//! that a busy machine does not blur it.
//!
//! ```text
//! cargo run --release -p record --example decode
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use domain::ids::{OrderId, UserId};
use domain::inventory::{ItemStatus, Terms};
use domain::money::{Currency, Money};
use domain::order::{Order, OrderCommand, RequestedLine};
use domain::quantity::Quantity;
use domain::sku::Sku;
use domain::text::Name;
use domain::time::Time;
use domain::user::Role;
use record::envelope::FORMAT;
use record::{
    Actor, AggregateType, Body, Envelope, Events, Recalled, Record, RecordId, RecordedKey,
};
use uuid::Uuid;

const ROUNDS: u32 = 300_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (placed, cancelled) = life()?;
    for (what, bytes) in [("placed", &placed), ("cancelled", &cancelled)] {
        println!("{what}: {} bytes", bytes.len());
        time("  envelope", || {
            let _ = black_box(Envelope::decode(black_box(bytes)));
        });
        time("  what a fold needs", || {
            let decoded = Envelope::decode(black_box(bytes));
            let _ = black_box(decoded.map(|(envelope, body)| Recalled::decode(&envelope, body)));
        });
        time("  whole record", || {
            let _ = black_box(Record::decode(black_box(bytes)));
        });
    }
    Ok(())
}

fn time(what: &str, mut work: impl FnMut()) {
    let (began, cpu) = (Instant::now(), cpu_time());
    (0..ROUNDS).for_each(|_| work());
    let spent = match (cpu, cpu_time()) {
        (Some(before), Some(after)) => after - before,
        _ => began.elapsed(),
    };
    println!("{what}: {:?}", spent / ROUNDS);
}

/// What this thread has run so far.
fn cpu_time() -> Option<Duration> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// An order that is placed and cancelled, as the commit path writes it.
fn life() -> Result<(Vec<u8>, Vec<u8>), Box<dyn std::error::Error>> {
    let terms = Terms {
        name: Name::parse("A lamp, on sale")?,
        price: Money::price(1999, Currency::parse("EUR")?)?,
        status: ItemStatus::Active,
    };
    let line = RequestedLine {
        sku: Sku::parse("lamp-0017")?,
        quantity: Quantity::new(2)?,
    };
    let (id, at) = (
        Uuid::from_u128(7),
        Time::from_microseconds(1_700_000_000_123_456),
    );
    let mut order = Order::default();
    let place = OrderCommand::Place {
        id: OrderId(id),
        user_id: UserId(Uuid::from_u128(8)),
        lines: vec![(line, Some(terms))],
        at,
    };
    let placed = order.decide(&place)?;
    placed.iter().for_each(|event| order.apply_event(event));
    let cancelled = order.decide(&OrderCommand::Cancel { reason: None, at })?;
    let encoded = |events, version| {
        let envelope = Envelope {
            format: FORMAT,
            id: RecordId(Uuid::from_u128(9)),
            epoch: 1,
            aggregate_type: AggregateType::Orders,
            aggregate_id: id.to_string(),
            version,
        };
        let body = Body {
            events: Events::Orders(events),
            actor: Actor::User {
                id: UserId(Uuid::from_u128(8)),
                role: Role::Customer,
            },
            key: Some(RecordedKey {
                key: "0123456789abcdef0123456789abcdef".to_owned(),
                fingerprint: "fedcba9876543210fedcba9876543210".to_owned(),
            }),
            correlation_id: Uuid::from_u128(10),
            causation_id: None,
            traceparent: None,
            time: at,
        };
        Record { envelope, body }.encode()
    };
    Ok((encoded(placed, 1), encoded(cancelled, 2)))
}
