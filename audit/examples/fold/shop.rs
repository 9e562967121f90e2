//! The log of a made-up shop, written by hand from the description of the format: every user has
//! three orders, half of them have two lines, a tenth are cancelled, each has an idempotency key.
//! Also included by `holdfast`'s example, which writes it to where `holdfast audit` finds it.

const SKUS: u64 = 1_000;
const ORDERS_PER_USER: u64 = 3;

/// How many partitions each topic has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) users: u16,
    pub(crate) orders: u16,
    pub(crate) inventory: u16,
}

/// An entry of the log.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) topic: &'static str,
    pub(crate) partition: u16,
    /// The message key.
    #[allow(dead_code, reason = "where a log is made of it, it has keys")]
    pub(crate) aggregate: String,
    pub(crate) entry: String,
}

/// Writes the log of so many orders, entry by entry.
pub(crate) fn write(orders: u64, layout: Layout, mut append: impl FnMut(Written)) {
    let mut fences = vec![];
    let topics = [
        ("users", layout.users),
        ("orders", layout.orders),
        ("inventory", layout.inventory),
    ];
    for (topic, count) in topics {
        for partition in 0..count {
            fences.push(format!(r#""{topic}/{partition}":0"#));
            append(Written {
                topic,
                partition,
                aggregate: String::new(),
                entry: entry(0, 0, "fence", "", "null"),
            });
        }
    }
    let Layout {
        users,
        orders: of_orders,
        inventory,
    } = layout;
    let claim = format!(
        r#"{{"type":"claim","base":1,"layout":{{"users":{users},"orders":{of_orders},"inventory":{inventory}}}}}"#
    );
    let fences = fences.join(",");
    let opened = format!(r#"{{"type":"opened","epoch":1,"fences":{{{fences}}}}}"#);
    for entry in [claim, opened] {
        append(Written {
            topic: "epochs",
            partition: 0,
            aggregate: String::new(),
            entry,
        });
    }
    let mut records = 0;
    let mut append = |topic, count, aggregate: &str, record: &dyn Fn(usize) -> String| {
        records += 1;
        append(Written {
            topic,
            partition: partition_of(aggregate, count),
            aggregate: aggregate.to_owned(),
            entry: record(records),
        });
    };
    for sku in 0..SKUS {
        let sku = format!("S{sku:05}");
        let events = format!(
            r#"{{"type":"item-created","sku":"{sku}","name":"A product","price":{{"amount":1999,"currency":"EUR"}},"category":null}},{{"type":"stock-moved","sku":"{sku}","quantity":100000000,"reason":"received","reference":null}}"#
        );
        let movements = format!(r#"{{"sku":"{sku}","quantity":100000000}}"#);
        append("inventory", inventory, &sku, &|number| {
            record(number, 1, "inventory", &sku, &events, &movements)
        });
    }
    for user in 0..orders.div_ceil(ORDERS_PER_USER) {
        let id = user_id(user);
        let event = format!(
            r#"{{"type":"user-registered","id":"{id}","email_hash":"{user:064x}","key_id":"{id}","role":"customer","at":"2026-01-31T12:00:00.000000Z"}}"#
        );
        append("users", users, &id, &|number| {
            record(number, 1, "users", &id, &event, "")
        });
    }
    for order in 0..orders {
        let user = user_id(order / ORDERS_PER_USER);
        let id = uuid::Uuid::from_u128(u128::from(order) << 64 | 0xA000).to_string();
        let lines = 1 + order % 2;
        let sku = |line| (order * 7 + line) % (SKUS - 1) / 2 + line * SKUS / 2;
        let skus: Vec<_> = (0..lines)
            .map(|line| format!("S{:05}", sku(line)))
            .collect();
        append("orders", of_orders, &id, &|number| {
            placed(number, &id, &user, &skus)
        });
        if order % 10 == 0 {
            append("orders", of_orders, &id, &|number| {
                cancelled(number, &id, &skus)
            });
        }
    }
}

/// FNV-1a of the id's bytes, modulo the topic's count.
fn partition_of(aggregate: &str, count: u16) -> u16 {
    let hash = aggregate
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    (hash % u64::from(count)) as u16
}

fn user_id(number: u64) -> String {
    uuid::Uuid::from_u128(u128::from(number) << 64 | 0xB000).to_string()
}

fn placed(number: usize, id: &str, user: &str, skus: &[String]) -> String {
    let line = |sku: &String| {
        format!(
            r#"{{"sku":"{sku}","name":"A product","quantity":2,"unit_price":{{"amount":1999,"currency":"EUR"}},"total":{{"amount":3998,"currency":"EUR"}}}}"#
        )
    };
    let lines = skus.iter().map(line).collect::<Vec<_>>().join(",");
    let total = 3998 * skus.len();
    let event = format!(
        r#"{{"type":"order-placed","id":"{id}","user_id":"{user}","lines":[{lines}],"total":{{"amount":{total},"currency":"EUR"}},"at":"2026-01-31T12:00:00.000000Z"}}"#
    );
    record(number, 1, "orders", id, &event, &units(skus, -2))
}

fn cancelled(number: usize, id: &str, skus: &[String]) -> String {
    let returned = units(skus, 2);
    let event = format!(
        r#"{{"type":"order-cancelled","returned":[{returned}],"at":"2026-01-31T12:00:00.000000Z"}}"#
    );
    record(number, 2, "orders", id, &event, &returned)
}

fn units(skus: &[String], quantity: i64) -> String {
    let one = |sku: &String| format!(r#"{{"sku":"{sku}","quantity":{quantity}}}"#);
    skus.iter().map(one).collect::<Vec<_>>().join(",")
}

fn record(
    number: usize,
    version: u64,
    kind: &str,
    aggregate: &str,
    events: &str,
    movements: &str,
) -> String {
    let id = uuid::Uuid::from_u128(number as u128);
    let body = format!(
        r#"{{"events":[{events}],"movements":[{movements}],"actor":{{"type":"user","id":"{id}","role":"customer"}},"key":{{"key":"{:032x}","fingerprint":"{number:032x}"}},"correlation_id":"{id}","time":"2026-01-31T12:00:00.000000Z"}}"#,
        number * 0x9E37_79B9
    );
    entry(number, version, kind, aggregate, &body)
}

fn entry(number: usize, version: u64, kind: &str, aggregate: &str, body: &str) -> String {
    let id = uuid::Uuid::from_u128(number as u128);
    format!(
        r#"{{"format":"001","id":"{id}","epoch":"{:020}","version":"{version:020}","type":"{kind}","aggregate":"{aggregate}","body":{body}}}"#,
        1
    )
}
