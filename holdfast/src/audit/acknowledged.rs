//! What was acknowledged, read from a file: one per line, as clients were told it.

use std::path::Path;

use anyhow::{Context, Result};
use audit::{Acknowledged, Place};
use contract::ConsistencyTokens;
use contract::headers::CONSISTENCY_TOKEN;
use event_log::EventLog;
use personal_data::Secrets;
use record::{Partition, Position, Topic};
use uuid::Uuid;

use crate::settings::AuditArgs;

/// Reads the file. Empty lines, and those that begin with `#`, are passed over.
///
/// # Errors
/// One sentence that names the line that cannot be understood.
pub(super) async fn read(
    file: &Path,
    args: &AuditArgs,
    log: &dyn EventLog,
) -> Result<Vec<Acknowledged>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    let mut tokens = None;
    let mut acknowledged = vec![];
    let lines = (1..).zip(text.lines().map(str::trim));
    for (number, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if let Some(plain) = plain(line) {
            acknowledged.push(plain);
            continue;
        }
        if tokens.is_none() {
            tokens = Some(tokens_of(args, log).await?);
        }
        let places = tokens.as_ref().and_then(|tokens| places(tokens, line));
        let unknown = || {
            format!(
                "line {number} of {} names neither an id nor a place, and is no consistency token \
                 of this log",
                file.display()
            )
        };
        let places = places.with_context(unknown)?;
        acknowledged.extend(places.into_iter().map(Acknowledged::Place));
    }
    Ok(acknowledged)
}

/// An id, a `Location` or a place.
fn plain(line: &str) -> Option<Acknowledged> {
    if let Ok(id) = Uuid::try_parse(line) {
        return Some(Acknowledged::Id(id));
    }
    if let Some((before, id)) = line.rsplit_once("/orders/") {
        let path = before.ends_with("/v1");
        return Uuid::try_parse(id)
            .ok()
            .filter(|_| path)
            .map(Acknowledged::Order);
    }
    let (partition, offset) = line.split_once('@')?;
    let (topic, number) = partition.split_once('/')?;
    let partition = audit::Partition {
        topic: audit::Topic::parse(topic)?,
        number: number.parse().ok()?,
    };
    let offset = offset.parse().ok()?;
    Some(Acknowledged::Place(Place { partition, offset }))
}

/// The reader of this log's tokens. They name the log by its first claim.
async fn tokens_of(args: &AuditArgs, log: &dyn EventLog) -> Result<ConsistencyTokens> {
    #[derive(serde::Deserialize)]
    struct FirstClaim {
        id: Uuid,
    }
    let file = match &args.secrets_file {
        Some(file) => file.clone(),
        None => args.data.data.join("secrets.json"),
    };
    let secrets = Secrets::open(&file).context("consistency tokens are read with the secrets")?;
    let first = Position {
        partition: Partition::EPOCHS,
        offset: 0,
    };
    let claim = log.read_at(first).await.context("the log has no claim")?;
    let claim: FirstClaim = serde_json::from_slice(&claim.payload)?;
    Ok(ConsistencyTokens::new(
        secrets.opaque_token_key().clone(),
        claim.id,
    ))
}

fn places(tokens: &ConsistencyTokens, line: &str) -> Option<Vec<Place>> {
    let headers = [(CONSISTENCY_TOKEN, line.parse().ok()?)];
    let positions = tokens.positions(&headers.into_iter().collect()).ok()?;
    // A registration's token also says where its key stands, which is no record.
    let records = positions
        .iter()
        .filter(|position| position.partition.topic != Topic::UserKeys);
    let places = records.map(|position| {
        let partition = audit::Partition {
            topic: audit::Topic::parse(position.partition.topic.as_str())?,
            number: position.partition.number,
        };
        let offset = position.offset;
        Some(Place { partition, offset })
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_locations_and_places_are_told_apart() {
        let id = "0190a6a2-0000-7000-8000-000000000007";
        let uuid = Uuid::try_parse(id).unwrap();
        assert_eq!(plain(id), Some(Acknowledged::Id(uuid)));
        for location in ["/v1/orders/", "http://shop.example/v1/orders/"] {
            let line = format!("{location}{id}");
            assert_eq!(plain(&line), Some(Acknowledged::Order(uuid)), "{line}");
        }
        let (topic, number) = (audit::Topic::Orders, 3);
        let partition = audit::Partition { topic, number };
        let place = Place {
            partition,
            offset: 17,
        };
        assert_eq!(plain("orders/3@17"), Some(Acknowledged::Place(place)));
        for other in ["orders", "orders/x@1", "/v2/orders/7", "AbCd_-09"] {
            assert_eq!(plain(other), None, "{other}");
        }
    }
}
