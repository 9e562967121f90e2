//! One entry as a line: for people, or as JSON.

use domain::inventory::InventoryEvent;
use domain::money::Money;
use domain::order::OrderEvent;
use domain::user::UserEvent;
use migrations::words::word;
use record::{Actor, Body, Envelope, Events};
use serde::Serialize;
use serde_json::value::RawValue;

use super::marks::{Mark, Marked};

/// A line for people. Sealed personal data is left out; text that clients sent is quoted, so that
/// nothing in it can act on a terminal.
pub(super) fn line(marked: &Marked) -> String {
    let position = marked.position.to_string();
    let mark = match marked.mark {
        Mark::Valid | Mark::Fence => "",
        Mark::Void => "VOID ",
        Mark::Duplicate => "DUPLICATE ",
        Mark::Gap => "GAP ",
        Mark::Unreadable => "UNREADABLE ",
    };
    let time = marked.body.as_ref().map(|body| body.time.to_string());
    let time = time.unwrap_or_default();
    let head = format!("{time:27}  {position:<16}  {mark}");
    match (&marked.envelope, &marked.body) {
        (Some(envelope), Some(body)) => format!("{head}{}", record(envelope, body)),
        (Some(envelope), None) if marked.mark == Mark::Fence => {
            format!("{head}epoch {} begins", envelope.epoch)
        }
        (Some(envelope), None) => format!("{head}{}", aggregate(envelope)),
        (None, _) => format!("{head}{} bytes that are no record", marked.payload.len()),
    }
}

fn aggregate(envelope: &Envelope) -> String {
    let noun = match envelope.aggregate_type.as_str() {
        "users" => "user",
        "orders" => "order",
        "inventory" => "item",
        other => other,
    };
    let Envelope {
        aggregate_id,
        version,
        epoch,
        ..
    } = envelope;
    format!("{noun} {aggregate_id} v{version} (epoch {epoch})")
}

fn record(envelope: &Envelope, body: &Body) -> String {
    let events: Vec<String> = match &body.events {
        Events::Users(events) => events.iter().map(user_event).collect(),
        Events::Orders(events) => events.iter().map(order_event).collect(),
        Events::Inventory(events) => events.iter().map(inventory_event).collect(),
    };
    let events = match events.as_slice() {
        [] => "nothing changed".to_owned(),
        events => events.join("; "),
    };
    let by = match &body.actor {
        Actor::User { id, role } => format!("{} {id}", word(*role)),
        Actor::Anonymous { .. } => "somebody without a token".to_owned(),
        Actor::Operator => "the operator".to_owned(),
    };
    format!("{}: {events} — by {by}", aggregate(envelope))
}

fn order_event(event: &OrderEvent) -> String {
    match event {
        OrderEvent::OrderPlaced { lines, total, .. } => {
            let lines = lines.iter().map(|line| {
                let price = money(line.unit_price);
                format!("{} × {} at {price}", line.quantity.get(), line.sku)
            });
            let lines = lines.collect::<Vec<_>>().join(", ");
            format!("placed {lines}; total {}", money(*total))
        }
        OrderEvent::OrderCancelled {
            returned, reason, ..
        } => {
            let returned = returned
                .iter()
                .map(|m| format!("{} × {}", m.quantity, m.sku));
            let returned = returned.collect::<Vec<_>>().join(", ");
            let reason = quoted(reason.as_ref().map(|reason| reason.as_str()));
            format!("cancelled, {returned} given back{reason}")
        }
    }
}

fn inventory_event(event: &InventoryEvent) -> String {
    match event {
        InventoryEvent::ItemCreated { name, price, .. } => {
            format!("created as {:?} at {}", name.as_str(), money(*price))
        }
        InventoryEvent::ItemChanged { name, price, .. } => {
            format!("changed to {:?} at {}", name.as_str(), money(*price))
        }
        InventoryEvent::StockMoved {
            quantity,
            reason,
            reference,
            ..
        } => {
            let reference = quoted(reference.as_ref().map(|reference| reference.as_str()));
            format!("{quantity:+} {}{reference}", word(*reason))
        }
        InventoryEvent::ItemDiscontinued => "discontinued".to_owned(),
    }
}

fn user_event(event: &UserEvent) -> String {
    match event {
        UserEvent::UserRegistered { role, .. } => format!("registered as {}", word(*role)),
        UserEvent::UserRenamed { .. } => "renamed".to_owned(),
        UserEvent::PasswordChanged { .. } => "changed the password".to_owned(),
        UserEvent::RoleChanged { role } => format!("is {} now", word(*role)),
        UserEvent::SessionStarted { session, .. } => format!("session {session} started"),
        UserEvent::SessionRefreshed { session, .. } => format!("session {session} refreshed"),
        UserEvent::SessionEnded { session } => format!("session {session} ended"),
    }
}

/// In minor units, as everywhere in the API: `1999 EUR` is 19.99 €.
fn money(money: Money) -> String {
    format!("{} {}", money.amount(), money.currency())
}

fn quoted(text: Option<&str>) -> String {
    text.map(|text| format!(" ({text:?})")).unwrap_or_default()
}

/// A line of JSON: where the record stands, whether it counts, and its own JSON untouched.
pub(super) fn json(marked: &Marked) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        topic: &'static str,
        partition: u16,
        offset: u64,
        mark: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        record: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        unreadable: Option<String>,
    }
    // A line break inside the record's JSON would break the line; the program writes none.
    let record = serde_json::from_slice::<&RawValue>(&marked.payload)
        .ok()
        .filter(|record| !record.get().contains(['\n', '\r']));
    let line = Line {
        topic: marked.position.partition.topic.as_str(),
        partition: marked.position.partition.number,
        offset: marked.position.offset,
        mark: marked.mark.as_str(),
        record,
        unreadable: match record {
            Some(_) => None,
            None => Some(String::from_utf8_lossy(&marked.payload).into_owned()),
        },
    };
    serde_json::to_string(&line).expect("a line has only text keys and serialisable values")
}

#[cfg(test)]
mod tests {
    use record::{Partition, Position, Topic};

    use super::*;
    use crate::log::marks::Marks;

    fn entry(kind: &str, epoch: u64, version: u64, body: &str) -> String {
        let (id, aggregate) = (uuid::Uuid::nil(), if kind == "fence" { "" } else { "A" });
        format!(
            r#"{{"format":"001","id":"{id}","epoch":"{epoch:020}","version":"{version:020}","type":"{kind}","aggregate":"{aggregate}","body":{body}}}"#
        )
    }

    fn moved(epoch: u64, version: u64) -> String {
        let body = r#"{"events":[{"type":"stock-moved","sku":"A","quantity":-4,"reason":"damaged","reference":"a\"b"}],"movements":[{"sku":"A","quantity":-4}],"actor":{"type":"operator"},"correlation_id":"00000000-0000-0000-0000-000000000000","time":"2026-01-31T12:00:00.000000Z"}"#;
        entry("inventory", epoch, version, body)
    }

    fn marked(entries: &[String]) -> Vec<Marked> {
        let mut marks = Marks::default();
        let partition = Partition {
            topic: Topic::Inventory,
            number: 0,
        };
        let mark = |(offset, entry): (usize, &String)| {
            let offset = offset as u64;
            marks.mark(Position { partition, offset }, entry.clone().into_bytes())
        };
        entries.iter().enumerate().map(mark).collect()
    }

    #[test]
    fn what_does_not_count_is_marked() {
        let entries = [
            entry("fence", 2, 0, "{}"),
            moved(1, 1),
            moved(2, 1),
            moved(2, 1),
            moved(2, 5),
            "{}".to_owned(),
            entry("inventory", 2, 6, "{}"),
        ];
        let marks = marked(&entries).into_iter().map(|marked| marked.mark);
        let expected = [
            Mark::Fence,
            Mark::Void,
            Mark::Valid,
            Mark::Duplicate,
            Mark::Gap,
            Mark::Unreadable,
            Mark::Unreadable,
        ];
        assert_eq!(marks.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn people_read_lines() {
        let lines = marked(&[entry("fence", 2, 0, "{}"), moved(1, 1)]);
        assert_eq!(line(&lines[0]).trim(), "inventory/0@0     epoch 2 begins");
        assert_eq!(
            line(&lines[1]),
            r#"2026-01-31T12:00:00.000000Z  inventory/0@1     VOID item A v1 (epoch 1): -4 damaged ("a\"b") — by the operator"#
        );
    }

    #[test]
    fn programs_read_the_record_as_it_stands() {
        let shown = marked(&[moved(1, 1), "no \"JSON\"".to_owned()]);
        let record = format!(
            r#"{{"topic":"inventory","partition":0,"offset":0,"mark":"valid","record":{}}}"#,
            moved(1, 1)
        );
        assert_eq!(json(&shown[0]), record);
        assert!(json(&shown[1]).ends_with(r#""mark":"unreadable","unreadable":"no \"JSON\""}"#));
    }
}
