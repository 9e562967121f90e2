//! A small shop around a gate: commands as the commit path would send them.

use std::sync::Arc;

use domain::inventory::{ItemStatus, Terms};
use domain::money::{Currency, Money};
use domain::sku::Sku;
use domain::text::Name;
use record::envelope::FORMAT;
use record::{AggregateType, Envelope, Layout, Partition, Position, RecordId, Topic};
use uuid::Uuid;

use super::MakeGate;
use crate::gate::{
    AggregateKey, Append, Claim, Current, Decide, ENTRIES_PER_GENERATION, Expected, Figures, Gate,
    GateError, Intent, ItemValue, KeyEntry, Look, Looked, Rebuilt, Refusal, Settle, Settled,
    SettledTerms, Verdict,
};

/// The epoch that a shop opens with.
pub const EPOCH: u64 = 7;

/// A gate with an open epoch.
#[derive(Debug)]
pub struct Shop {
    /// The gate.
    pub gate: Arc<dyn Gate>,
    /// The epoch.
    pub current: Current,
}

impl Shop {
    /// Opens an empty shop.
    pub async fn open(make: MakeGate) -> Self {
        Self::with(make(ENTRIES_PER_GENERATION), vec![]).await
    }

    /// Opens a shop that sells item `A` and has this many units of it.
    pub async fn selling(make: MakeGate, available: i64) -> Self {
        Self::with(make(ENTRIES_PER_GENERATION), item("A", available)).await
    }

    /// Opens a shop on a gate, rebuilt from these pieces.
    pub async fn with(gate: Arc<dyn Gate>, pieces: Vec<Rebuilt>) -> Self {
        let current = open_epoch(&*gate, EPOCH, pieces)
            .await
            .expect("an empty gate opens");
        Self { gate, current }
    }

    /// Decides one command.
    pub async fn decide(&self, command: &Decide) -> Verdict {
        self.decide_all(std::slice::from_ref(command))
            .await
            .remove(0)
    }

    /// Decides commands in one call.
    pub async fn decide_all(&self, commands: &[Decide]) -> Vec<Verdict> {
        self.gate
            .decide(&self.current, commands)
            .await
            .expect("the epoch is open")
            .answers
    }

    /// Decides one command and settles its record.
    pub async fn commit(&self, command: &Decide) -> Verdict {
        let verdict = self.decide(command).await;
        assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
        assert_eq!(self.settle(&settling(command)).await, Settled::Done);
        verdict
    }

    /// Settles one record.
    pub async fn settle(&self, record: &Settle) -> Settled {
        self.try_settle(record).await.expect("the epoch is open")
    }

    /// Settles one record, if the gate can.
    ///
    /// # Errors
    /// The gate's.
    pub async fn try_settle(&self, record: &Settle) -> Result<Settled, GateError> {
        let records = std::slice::from_ref(record);
        Ok(self
            .gate
            .settle(&self.current, records, &[])
            .await?
            .answers
            .remove(0))
    }

    /// Looks at one thing.
    pub async fn look(&self, look: Look) -> Looked {
        self.gate
            .load(&self.current, &[look])
            .await
            .expect("the epoch is open")
            .answers
            .remove(0)
    }

    /// Looks at a SKU's value.
    pub async fn value(&self, name: &str) -> ItemValue {
        match self.look(Look::Item(sku(name))).await {
            Looked::Item(value) => value,
            other => panic!("{name} has no value: {other:?}"),
        }
    }

    /// Units available of item `A`.
    pub async fn available(&self) -> i64 {
        self.value("A").await.available
    }

    /// The newest generation of refusals.
    pub async fn generation(&self) -> u64 {
        self.gate
            .load(&self.current, &[])
            .await
            .expect("the epoch is open")
            .generation
    }
}

/// Opens an epoch, rebuilt from these pieces.
///
/// # Errors
/// The gate's.
pub async fn open_epoch(
    gate: &dyn Gate,
    epoch: u64,
    pieces: Vec<Rebuilt>,
) -> Result<Current, GateError> {
    let mut rebuild = gate.begin_rebuild(epoch).await?;
    rebuild.write(pieces).await?;
    let fences = Layout::uniform(2).partitions_of_record();
    rebuild
        .publish(
            fences
                .into_iter()
                .map(|partition| (partition, epoch * 10))
                .collect(),
        )
        .await
}

/// A UUID of a number.
pub fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A record id of a number.
pub fn id(number: u128) -> RecordId {
    RecordId(uuid(number))
}

/// A SKU.
pub fn sku(name: &str) -> Sku {
    Sku::parse(name).expect("a SKU")
}

/// An order.
pub fn order(number: u128) -> AggregateKey {
    let id = uuid(number).to_string().into();
    AggregateKey {
        kind: AggregateType::Orders,
        id,
    }
}

/// A user.
pub fn user(number: u128) -> AggregateKey {
    AggregateKey {
        kind: AggregateType::Users,
        ..order(number)
    }
}

/// An item's aggregate.
pub fn item_key(name: &str) -> AggregateKey {
    AggregateKey {
        kind: AggregateType::Inventory,
        id: name.into(),
    }
}

/// Active terms with this price.
pub fn terms(price: i64) -> Terms {
    let currency = Currency::parse("EUR").expect("a currency");
    Terms {
        name: Name::parse("A lamp | \"bright\"").expect("a name"),
        price: Money::price(price, currency).expect("a price"),
        status: ItemStatus::Active,
    }
}

/// The value of an item that was just created with this many units.
pub fn value(available: i64) -> ItemValue {
    ItemValue {
        available,
        supplied: available,
        terms_version: 1,
        terms: terms(100),
    }
}

/// The pieces of an item with version 1 and this many units.
pub fn item(name: &str, available: i64) -> Vec<Rebuilt> {
    let aggregate = Rebuilt::Aggregate {
        key: item_key(name),
        version: 1,
        snapshot: "{}".to_owned(),
    };
    vec![aggregate, Rebuilt::Item(sku(name), value(available))]
}

/// Where a record of an aggregate goes.
pub fn partition_of(aggregate: &AggregateKey) -> Partition {
    let topic = aggregate.kind.topic().unwrap_or(Topic::Epochs);
    Layout::uniform(2).partition_of(topic, &aggregate.id)
}

/// A record that changes nothing, on version `expected` of its aggregate (0 creates it).
pub fn change(record: u128, aggregate: AggregateKey, expected: u64) -> Decide {
    let envelope = Envelope {
        format: FORMAT,
        id: id(record),
        epoch: EPOCH,
        aggregate_type: aggregate.kind,
        aggregate_id: aggregate.id.to_string(),
        version: expected + 1,
    };
    let append = Append {
        expected: Expected::Version(expected),
        partition: partition_of(&aggregate),
        payload: envelope.encode(r#"{"bar":"|"}"#).into(),
        snapshot: Some(format!(r#"{{"version":{},"bar":"|"}}"#, expected + 1)),
        claims: vec![],
        takes: vec![],
        supply: 0,
        available: None,
        discontinued: None,
    };
    Decide {
        record: id(record),
        aggregate,
        key: None,
        generation: 0,
        terms: vec![],
        intent: Intent::Append(Box::new(append)),
    }
}

/// An order with the number of its record, decided on version 1 of the terms of what it takes.
pub fn place(record: u128, takes: &[(&str, i64)]) -> Decide {
    let mut command = change(record, order(record), 0);
    let mut names: Vec<&str> = takes.iter().map(|(name, _)| *name).collect();
    names.dedup();
    command.terms = names.into_iter().map(|name| (sku(name), 1)).collect();
    appended(command, |append| {
        append.takes = takes
            .iter()
            .map(|(name, units)| (sku(name), *units))
            .collect();
    })
}

/// A movement of stock.
pub fn movement(record: u128, name: &str, units: i64) -> Decide {
    let command = change(record, item_key(name), 0);
    appended(command, |append| {
        append.expected = Expected::Next;
        append.snapshot = None;
        append.supply = units;
        append.takes = if units < 0 {
            vec![(sku(name), -units)]
        } else {
            vec![]
        };
    })
}

/// A discontinuation of an item with this version.
pub fn discontinue(record: u128, name: &str, version: u64) -> Decide {
    let terms = Terms {
        status: ItemStatus::Discontinued,
        ..terms(100)
    };
    appended(change(record, item_key(name), version), |append| {
        append.discontinued = Some((version + 1, terms));
    })
}

/// A registration with a claim.
pub fn register(record: u128, claim: &str) -> Decide {
    let owner = user(record);
    let claims = vec![claimed(claim, &owner)];
    appended(change(record, owner, 0), |append| append.claims = claims)
}

/// A claim of a user.
pub fn claimed(name: &str, owner: &AggregateKey) -> Claim {
    Claim {
        name: name.to_owned(),
        owner: owner.id.clone(),
    }
}

/// The same command with an idempotency key.
pub fn keyed(command: Decide, key: &str, fingerprint: &str) -> Decide {
    let key = KeyEntry {
        key: key.to_owned(),
        fingerprint: fingerprint.to_owned(),
    };
    Decide {
        key: Some(key),
        ..command
    }
}

/// The same command as a refusal of the domain.
pub fn refused_by_domain(command: Decide, refusal: Refusal) -> Decide {
    Decide {
        intent: Intent::Refuse(refusal),
        ..command
    }
}

/// The same command with something else in what it appends.
pub fn appended(mut command: Decide, edit: impl FnOnce(&mut Append)) -> Decide {
    if let Intent::Append(append) = &mut command.intent {
        edit(append);
    }
    command
}

/// What settles a command's record: its positive supply becomes available.
pub fn settling(command: &Decide) -> Settle {
    let supply = match &command.intent {
        Intent::Append(append) => append.supply,
        Intent::Refuse(_) => 0,
    };
    Settle {
        record: command.record,
        aggregate: command.aggregate.clone(),
        position: position(command),
        key: command.key.as_ref().map(|key| key.key.clone()),
        gives: match supply {
            ..=0 => vec![],
            units => vec![(sku(&command.aggregate.id), units)],
        },
        terms: None,
        claims_given_up: vec![],
    }
}

/// The same with terms.
pub fn settling_terms(command: &Decide, version: u64, price: i64, creates: bool) -> Settle {
    Settle {
        terms: Some(SettledTerms {
            version,
            terms: terms(price),
            creates,
        }),
        ..settling(command)
    }
}

/// Where a command's record is made to stand.
pub fn position(command: &Decide) -> Position {
    Position {
        partition: partition_of(&command.aggregate),
        offset: (command.record.0.as_u128() % 1_000_000) as u64 + 100,
    }
}

/// An accepted first version.
pub fn accepted(version: u64, figures: &[(&str, i64, i64)]) -> Verdict {
    let figures = figures.iter().map(|(name, available, supplied)| {
        let figures = Figures {
            available: *available,
            supplied: *supplied,
        };
        (sku(name), figures)
    });
    Verdict::Accepted {
        version,
        predecessor: None,
        figures: figures.collect(),
    }
}

/// A refusal that was made now and rests on nothing.
pub fn refused(refusal: Refusal) -> Verdict {
    Verdict::Refused {
        refusal,
        replayed: false,
        rests_on: None,
    }
}

/// "Out of stock" of item `A`.
pub fn out_of_stock(requested: i64, available: i64) -> Refusal {
    Refusal::OutOfStock {
        sku: sku("A"),
        requested,
        available,
    }
}
