//! One attempt of a command: from what the domain decided to the gate's command and the record.

use std::sync::Arc;

use bytes::Bytes;
use domain::time::Time;
use event_log::EventLog;
use record::envelope::{FORMAT, VERSION_AT};
use record::{Body, Envelope, Events, Record, RecordId};

use crate::epoch::OpenEpoch;
use crate::gate::{AggregateKey, Append, Decide, Expected, Intent, Refusal};
use crate::handler::{CommitError, Decided, Handler, Loaded, Needs, Request};

/// What stays the same through all steps of one attempt.
pub(crate) struct Attempt<'a> {
    pub(crate) epoch: &'a Arc<OpenEpoch>,
    pub(crate) generation: u64,
    pub(crate) record: RecordId,
    pub(crate) request: &'a Request,
}

impl Attempt<'_> {
    /// Turns what the domain decided into the gate's command.
    pub(crate) fn prepare(
        &self,
        log: &dyn EventLog,
        handler: &dyn Handler,
        loaded: &Loaded,
        decided: Result<Decided, Refusal>,
        now: Time,
    ) -> Result<(Decide, Option<Append>), CommitError> {
        let aggregate = handler.aggregate();
        let terms = handler.skus().into_iter().map(|sku| {
            let version = loaded
                .items
                .get(&sku)
                .map_or(0, |value| value.terms_version);
            (sku, version)
        });
        let (intent, append) = match decided {
            Err(refusal) => (Intent::Refuse(refusal), None),
            Ok(decided) => {
                let version = loaded
                    .aggregate
                    .as_ref()
                    .map_or(0, |aggregate| aggregate.version);
                let expected = match handler.needs() {
                    Needs::NextVersion => Expected::Next,
                    Needs::Fresh | Needs::State => Expected::Version(version),
                };
                let append = self.append_of(log, &aggregate, expected, decided, now)?;
                (Intent::Append(Box::new(append.clone())), Some(append))
            }
        };
        let command = Decide {
            record: self.record,
            aggregate,
            key: self.request.key.clone(),
            generation: self.generation,
            terms: terms.collect(),
            intent,
        };
        Ok((command, append))
    }

    fn append_of(
        &self,
        log: &dyn EventLog,
        aggregate: &AggregateKey,
        expected: Expected,
        decided: Decided,
        now: Time,
    ) -> Result<Append, CommitError> {
        let topic = aggregate
            .kind
            .topic()
            .expect("commands are about users, orders and items");
        let movements = decided.events.movements();
        let taken = movements.iter().filter(|movement| movement.quantity < 0);
        let takes = taken
            .map(|movement| (movement.sku.clone(), -movement.quantity))
            .collect();
        let supply = match decided.events {
            Events::Inventory(_) => movements.iter().map(|movement| movement.quantity).sum(),
            Events::Users(_) | Events::Orders(_) => 0,
        };
        let version = match expected {
            Expected::Version(version) => version + 1,
            Expected::Next => 0,
        };
        let record = self.record(aggregate, version, decided.events, now);
        let payload = Bytes::from(record.encode());
        if payload.len() > log.payload_bytes_max() {
            return Err(CommitError::TooLarge);
        }
        Ok(Append {
            expected,
            partition: log.layout().partition_of(topic, &aggregate.id),
            payload,
            snapshot: decided.snapshot,
            claims: decided.claims,
            takes,
            supply,
            available: decided.available,
            discontinued: decided.discontinued.map(|terms| (version, terms)),
        })
    }

    fn record(&self, aggregate: &AggregateKey, version: u64, events: Events, time: Time) -> Record {
        let envelope = Envelope {
            format: FORMAT,
            id: self.record,
            epoch: self.epoch.number(),
            aggregate_type: aggregate.kind,
            aggregate_id: aggregate.id.to_string(),
            version,
        };
        let body = Body {
            events,
            actor: self.request.actor.clone(),
            key: self.request.key.clone(),
            correlation_id: self.request.correlation_id,
            causation_id: None,
            traceparent: self.request.traceparent.clone(),
            time,
        };
        Record { envelope, body }
    }
}

/// The record's bytes with the version that the gate gave it.
pub(crate) fn with_version(append: &Append, version: u64) -> Bytes {
    match append.expected {
        Expected::Version(_) => append.payload.clone(),
        Expected::Next => {
            let mut bytes = append.payload.to_vec();
            bytes[VERSION_AT].copy_from_slice(format!("{version:020}").as_bytes());
            bytes.into()
        }
    }
}
