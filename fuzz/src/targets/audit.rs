//! One record, read by the program and by the audit, which share no code.
//!
//! What the program reads the audit must read too, with the same movements: otherwise it cries
//! wolf. What the program cannot read at all, it must not call a record. Only records with ids and
//! times spelled as the program writes them are compared: the audit insists on it, the program's
//! reader does not look.

use audit::{Audit, Check, Evidence, GateItem};
use domain::ids::OrderId;
use domain::sku::Sku;
use domain::time::Time;
use record::envelope::VERSION_AT;
use record::{Envelope, Events, Record, RecordId, Topic};
use serde_json::Value;
use uuid::Uuid;

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let mut bytes = bytes.to_vec();
    let Ok((envelope, _)) = Envelope::decode(&bytes) else {
        let report = audited("orders", 0, &bytes, vec![]);
        assert_ne!(
            broken(&report, Check::Readable),
            0,
            "only the audit finds an envelope"
        );
        return;
    };
    let Some(topic) = envelope.aggregate_type.topic() else {
        return;
    };
    let id = envelope.aggregate_id.as_str();
    let made_here = match topic {
        Topic::Inventory => Sku::parse(id).is_ok(),
        _ => id.parse::<OrderId>().is_ok(),
    };
    if !made_here {
        return;
    }
    // An audit that begins here expects the first version.
    bytes[VERSION_AT].copy_from_slice(b"00000000000000000001");
    let record = Record::decode(&bytes);
    let spelled = serde_json::from_slice(&bytes).is_ok_and(|json| is_as_written(&json));
    let movements = match &record {
        Ok(record) => record.body.events.movements(),
        Err(_) => vec![],
    };
    let items = movements.iter().map(|movement| GateItem {
        sku: movement.sku.to_string(),
        available: movement.quantity,
        supplied: match &record {
            Ok(Record { body, .. }) if matches!(body.events, Events::Inventory(_)) => {
                movement.quantity
            }
            _ => 0,
        },
    });
    let report = audited(topic.as_str(), envelope.epoch, &bytes, items.collect());
    if record.is_ok() && spelled {
        assert_eq!(
            broken(&report, Check::Readable),
            0,
            "only the program reads it: {report:?}"
        );
        assert_eq!(broken(&report, Check::Movements), 0, "{report:?}");
    }
}

/// Whether every id and time in it is spelled in the one way that the program writes.
fn is_as_written(json: &Value) -> bool {
    match json {
        Value::String(text) => {
            let time = Time::parse(text).map_or(text.clone(), |time| time.to_string());
            let id = Uuid::try_parse(text).map_or(text.clone(), |id| id.to_string());
            time == *text && id == *text
        }
        Value::Array(values) => values.iter().all(is_as_written),
        Value::Object(members) => members.values().all(is_as_written),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn audited(topic: &str, epoch: u64, bytes: &[u8], gate: Vec<GateItem>) -> audit::Report {
    let mut audit = Audit::new();
    let fence = Envelope::fence(epoch, RecordId(Uuid::nil())).encode("null");
    audit.take_in(topic, 0, 0, &fence);
    audit.take_in(topic, 0, 1, bytes);
    audit.finish(&Evidence {
        gate: Ok(gate),
        ..Evidence::default()
    })
}

fn broken(report: &audit::Report, check: Check) -> u64 {
    report.of(check).map_or(0, |check| check.broken)
}
