//! A shop's log, written by hand from the description of the format, so that the audit is not
//! tested with the code that it checks. Faults are planted by changing a [`Record`] before it is
//! appended, or an entry afterwards.

use std::collections::HashMap;

use audit::{Audit, Check, Evidence, Report};
use serde_json::{Value, json};
use uuid::Uuid;

/// What every unit costs.
pub(crate) const PRICE: i64 = 100;

/// Whose orders these are.
pub(crate) const BUYER: u128 = 0;

const PARTITIONS: [(&str, u16); 5] = [
    ("users", 0),
    ("orders", 0),
    ("orders", 1),
    ("inventory", 0),
    ("inventory", 1),
];

/// An entry of the log.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) topic: &'static str,
    pub(crate) partition: u16,
    pub(crate) offset: u64,
    pub(crate) bytes: String,
}

/// A record before it is appended.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) format: u16,
    pub(crate) id: Uuid,
    pub(crate) epoch: u64,
    pub(crate) version: u64,
    pub(crate) topic: &'static str,
    pub(crate) partition: u16,
    pub(crate) aggregate: String,
    pub(crate) events: Value,
    pub(crate) movements: Value,
    pub(crate) key: Option<&'static str>,
    pub(crate) second: i64,
}

impl Record {
    fn bytes(&self) -> String {
        let mut body = json!({
            "events": self.events,
            "movements": self.movements,
            "actor": {"type": "operator"},
            "correlation_id": self.id,
            "time": time(self.second),
        });
        if let Some(key) = self.key {
            body["key"] = json!({"key": key, "fingerprint": "f"});
        }
        envelope(self, self.topic, &body.to_string())
    }
}

fn envelope(record: &Record, kind: &str, body: &str) -> String {
    let Record {
        format,
        id,
        epoch,
        version,
        aggregate,
        ..
    } = record;
    format!(
        r#"{{"format":"{format:03}","id":"{id}","epoch":"{epoch:020}","version":"{version:020}","type":"{kind}","aggregate":"{aggregate}","body":{body}}}"#
    )
}

/// Seconds since 2026 began, for less than a month.
fn time(second: i64) -> String {
    let (day, rest) = (second / 86_400, second % 86_400);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!(
        "2026-01-{:02}T{hour:02}:{minute:02}:{second:02}.000000Z",
        day + 1
    )
}

/// The id of an order by its number.
pub(crate) fn order(number: u128) -> Uuid {
    Uuid::from_u128(0xA000_0000 + number)
}

/// A log that grows.
#[derive(Debug, Default)]
pub(crate) struct Shop {
    pub(crate) entries: Vec<Written>,
    pub(crate) epoch: u64,
    ends: HashMap<(&'static str, u16), u64>,
    versions: HashMap<String, u64>,
    ids: u128,
}

impl Shop {
    /// One epoch was opened, the buyer registered, and `A` came into the catalogue with 10 units.
    pub(crate) fn open() -> Self {
        let mut shop = Self::default();
        shop.open_epoch();
        shop.append(shop.registered(BUYER, "buyer"));
        shop.append(shop.created("A"));
        shop.append(shop.moved("A", 10));
        shop
    }

    /// The end of a partition.
    pub(crate) fn end(&self, topic: &'static str, partition: u16) -> u64 {
        self.ends.get(&(topic, partition)).copied().unwrap_or(0)
    }

    fn write(&mut self, topic: &'static str, partition: u16, bytes: String) -> u64 {
        let end = self.ends.entry((topic, partition)).or_default();
        let offset = *end;
        *end += 1;
        self.entries.push(Written {
            topic,
            partition,
            offset,
            bytes,
        });
        offset
    }

    pub(crate) fn open_epoch(&mut self) {
        let fences = self.begin_epoch();
        let opened = json!({"type": "opened", "epoch": self.epoch, "fences": fences});
        self.write("epochs", 0, opened.to_string());
    }

    /// Claims and fences an epoch, whose node then dies before it says that it is open.
    pub(crate) fn begin_epoch(&mut self) -> Value {
        self.claim();
        let mut fences = json!({});
        for (topic, partition) in PARTITIONS {
            let offset = self.fence(topic, partition);
            fences[format!("{topic}/{partition}")] = json!(offset);
        }
        fences
    }

    /// Claims an epoch, and no more.
    pub(crate) fn claim(&mut self) {
        self.epoch = self.end("epochs", 0) + 1;
        let claim = json!({"type": "claim", "id": Uuid::nil(), "interface": 1, "base": 1,
            "layout": {"users": 1, "orders": 2, "inventory": 2}, "node": Uuid::nil(),
            "shop": {"currency": "EUR", "secrets_check": ""}});
        self.write("epochs", 0, claim.to_string());
    }

    /// Appends the current epoch's fence once more.
    pub(crate) fn fence(&mut self, topic: &'static str, partition: u16) -> u64 {
        let fence = Record {
            version: 0,
            aggregate: String::new(),
            ..self.record(topic, "", json!([]), json!([]))
        };
        self.write(topic, partition, envelope(&fence, "fence", "{}"))
    }

    /// Appends a record; later ones of its aggregate follow its version.
    pub(crate) fn append(&mut self, record: Record) -> Record {
        self.ids += 1;
        self.versions
            .insert(record.aggregate.clone(), record.version);
        self.write(record.topic, record.partition, record.bytes());
        record
    }

    fn count(&self, topic: &str) -> u64 {
        let partitions = PARTITIONS.iter().filter(|(of, _)| *of == topic);
        partitions.count() as u64
    }

    fn record(
        &self,
        topic: &'static str,
        aggregate: &str,
        events: Value,
        movements: Value,
    ) -> Record {
        let hash = aggregate
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        Record {
            format: 1,
            id: Uuid::from_u128(0xB000_0000 + self.ids),
            epoch: self.epoch,
            version: self.versions.get(aggregate).unwrap_or(&0) + 1,
            topic,
            partition: (hash % self.count(topic)) as u16,
            aggregate: aggregate.to_owned(),
            events,
            movements,
            key: None,
            second: self.ids as i64,
        }
    }

    pub(crate) fn created(&self, sku: &str) -> Record {
        let event = json!({"type": "item-created", "sku": sku, "name": "N",
            "price": {"amount": PRICE, "currency": "EUR"}, "category": null});
        self.record("inventory", sku, json!([event]), json!([]))
    }

    pub(crate) fn changed(&self, sku: &str, name: &str, price: i64) -> Record {
        let event = json!({"type": "item-changed", "name": name,
            "price": {"amount": price, "currency": "EUR"}, "category": "light"});
        self.record("inventory", sku, json!([event]), json!([]))
    }

    pub(crate) fn discontinued(&self, sku: &str) -> Record {
        let event = json!({"type": "item-discontinued"});
        self.record("inventory", sku, json!([event]), json!([]))
    }

    pub(crate) fn moved(&self, sku: &str, quantity: i64) -> Record {
        let event = json!({"type": "stock-moved", "sku": sku, "quantity": quantity,
            "reason": "received", "reference": null});
        let movements = json!([{"sku": sku, "quantity": quantity}]);
        self.record("inventory", sku, json!([event]), movements)
    }

    /// Lines have to be sorted by SKU.
    pub(crate) fn placed(&self, number: u128, lines: &[(&str, i64)]) -> Record {
        let total: i64 = lines.iter().map(|(_, quantity)| PRICE * quantity).sum();
        let id = order(number).to_string();
        let event = json!({"type": "order-placed", "id": id, "user_id": order(BUYER),
            "lines": lines.iter().map(|(sku, quantity)| line(sku, *quantity)).collect::<Vec<_>>(),
            "total": {"amount": total, "currency": "EUR"}, "at": time(self.ids as i64)});
        self.record("orders", &id, json!([event]), units(lines, -1))
    }

    pub(crate) fn cancelled(&self, number: u128, returned: &[(&str, i64)]) -> Record {
        let event = json!({"type": "order-cancelled", "returned": units(returned, 1),
            "at": time(self.ids as i64)});
        let id = order(number).to_string();
        self.record("orders", &id, json!([event]), units(returned, 1))
    }

    /// A user whose address has this hash.
    pub(crate) fn registered(&self, number: u128, email_hash: &str) -> Record {
        let id = order(number).to_string();
        let event = json!({"type": "user-registered", "id": id, "email_hash": email_hash,
            "key_id": order(number), "role": "customer", "at": time(self.ids as i64)});
        self.record("users", &id, json!([event]), json!([]))
    }

    pub(crate) fn became(&self, number: u128, role: &str) -> Record {
        let event = json!({"type": "role-changed", "role": role});
        self.record(
            "users",
            &order(number).to_string(),
            json!([event]),
            json!([]),
        )
    }

    /// The last entry of a topic, to be damaged.
    pub(crate) fn last_of(&mut self, topic: &str) -> &mut Written {
        let mut newest_first = self.entries.iter_mut().rev();
        newest_first
            .find(|entry| entry.topic == topic)
            .expect("the topic has entries")
    }

    pub(crate) fn audit(&self) -> Report {
        self.audit_with(&Evidence::default())
    }

    pub(crate) fn audit_with(&self, evidence: &Evidence) -> Report {
        let mut audit = Audit::new();
        for entry in &self.entries {
            let Written {
                topic,
                partition,
                offset,
                bytes,
            } = entry;
            audit.take_in(topic, *partition, *offset, bytes.as_bytes());
        }
        audit.finish(evidence)
    }
}

/// A line of an order.
pub(crate) fn line(sku: &str, quantity: i64) -> Value {
    json!({"sku": sku, "name": "say \"N\"", "quantity": quantity,
        "unit_price": {"amount": PRICE, "currency": "EUR"},
        "total": {"amount": PRICE * quantity, "currency": "EUR"}})
}

fn units(lines: &[(&str, i64)], sign: i64) -> Value {
    lines
        .iter()
        .map(|(sku, quantity)| json!({"sku": sku, "quantity": sign * quantity}))
        .collect()
}

/// Exactly these checks are broken, each once: check, what about, since where, and words of what
/// was found.
#[track_caller]
pub(crate) fn assert_broken(report: &Report, expected: &[(Check, &str, &str, &str)]) {
    let found: Vec<_> = report
        .broken()
        .flat_map(|check| check.differences.iter().map(|d| (check.check, d)))
        .collect();
    assert_eq!(report.ok, expected.is_empty(), "{report}");
    assert_eq!(found.len(), expected.len(), "{report}");
    for ((check, difference), (expected, about, since, words)) in found.iter().zip(expected) {
        assert_eq!(check, expected, "{report}");
        assert_eq!(difference.about, *about, "{report}");
        let place = difference.since.map(|place| place.to_string());
        assert_eq!(place.unwrap_or_default(), *since, "{report}");
        assert!(difference.found.contains(words), "{report}");
    }
}

#[test]
fn a_sound_log_keeps_every_promise() {
    let mut shop = Shop::open();
    shop.append(shop.created("B"));
    shop.append(shop.moved("B", 5));
    shop.append(shop.placed(1, &[("A", 2), ("B", 5)]));
    shop.append(shop.placed(2, &[("A", 8)]));
    shop.append(shop.cancelled(1, &[("A", 2), ("B", 5)]));
    shop.open_epoch();
    shop.append(shop.placed(3, &[("A", 2)]));
    let report = shop.audit();
    assert_broken(&report, &[]);
    assert_eq!(
        (
            report.counts.valid,
            report.counts.epochs,
            report.counts.orders
        ),
        (9, 2, 3)
    );
}
