//! What a batch does to the tables, folded to one row each, and the statements that do it.

use std::collections::BTreeMap;

use domain::ids::{OrderId, UserId};
use domain::sku::Sku;
use domain::stock::StockMovement;
use domain::text::Note;
use domain::time::Time;
use migrations::ledger::{LedgerActor, LedgerReason, movement_id};
use migrations::words::word;
use record::Actor;
use uuid::Uuid;

use crate::fold::Applicable;
use crate::inventory::ItemRow;
use crate::orders::OrderRow;
use crate::store::literal::{Dialect, Literal};
use crate::store::statement::{OnConflict, Script, Upsert, Written};
use crate::user_keys::KeyRow;
use crate::users::UserRow;

/// Everything that one batch changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) orders: Vec<OrderRow>,
    pub(crate) users: Vec<UserRow>,
    pub(crate) items: Vec<ItemRow>,
    pub(crate) movements: Vec<MovementRow>,
    /// `None` where a key was erased.
    pub(crate) keys: BTreeMap<Uuid, Option<Vec<u8>>>,
    held: BTreeMap<Sku, i64>,
}

/// What orders hold of an item, added to its row. The item's own record may come later: then this
/// makes a stub that lists do not show.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HeldRow<'a> {
    sku: &'a Sku,
    held: i64,
}

/// A row of `inventory_movements`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MovementRow {
    pub(crate) sku: Sku,
    pub(crate) at: Time,
    pub(crate) id: [u8; 16],
    pub(crate) quantity: i64,
    pub(crate) reason: LedgerReason,
    pub(crate) order_id: Option<OrderId>,
    pub(crate) actor: LedgerActor,
    pub(crate) actor_id: Option<UserId>,
    pub(crate) reference: Option<Note>,
}

impl MovementRow {
    /// A movement of a record, by its number there.
    pub(crate) fn new(
        record: &Applicable,
        number: u16,
        movement: StockMovement,
        reason: LedgerReason,
        at: Time,
    ) -> Self {
        let (actor, actor_id) = match &record.body.actor {
            Actor::User { id, .. } => (LedgerActor::User, Some(*id)),
            Actor::Anonymous { .. } => (LedgerActor::Anonymous, None),
            Actor::Operator => (LedgerActor::Operator, None),
        };
        Self {
            sku: movement.sku,
            at,
            id: movement_id(record.position, number),
            quantity: movement.quantity,
            reason,
            order_id: None,
            actor,
            actor_id,
            reference: None,
        }
    }
}

impl Changes {
    /// Adds to what orders hold of an item.
    pub(crate) fn hold(&mut self, sku: Sku, units: i64) {
        *self.held.entry(sku).or_default() += units;
    }

    /// The statements. Rows that many partitions write (what is held) come last and sorted, so
    /// that their locks are short and never taken crosswise.
    pub(crate) fn statements(&self, dialect: Dialect, suffix: &'static str) -> Vec<String> {
        let mut script = Script::new(dialect, suffix);
        script.write(&self.users);
        script.write(&self.orders);
        script.write(&self.movements);
        let kept: Vec<KeyRow> = self.keys.iter().filter_map(kept).collect();
        script.write(&kept);
        let erased = self.keys.iter().filter(|(_, wrapped)| wrapped.is_none());
        script.delete(
            "user_keys",
            "key_id",
            erased.map(|(key_id, _)| Literal::Bytes(key_id.as_bytes())),
        );
        script.write(&self.items);
        let held: Vec<HeldRow<'_>> = self
            .held
            .iter()
            .filter(|(_, held)| **held != 0)
            .map(|(sku, held)| HeldRow { sku, held: *held })
            .collect();
        script.write(&held);
        script.into_statements()
    }
}

fn kept((key_id, wrapped): (&Uuid, &Option<Vec<u8>>)) -> Option<KeyRow> {
    Some(KeyRow {
        key_id: *key_id,
        wrapped: wrapped.clone()?,
    })
}

impl Written for HeldRow<'_> {
    const UPSERT: Upsert = Upsert {
        table: "inventory",
        columns: &[("sku", OnConflict::Keep), ("held", OnConflict::Add)],
        key: &["sku"],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        vec![
            Literal::text(self.sku.as_str()),
            Literal::Integer(self.held),
        ]
    }
}

impl Written for MovementRow {
    /// A movement that stands there already is an error: the checkpoint moves with the rows.
    const UPSERT: Upsert = Upsert {
        table: "inventory_movements",
        columns: &[
            ("sku", OnConflict::Keep),
            ("happened_at", OnConflict::Keep),
            ("id", OnConflict::Keep),
            ("quantity", OnConflict::Keep),
            ("reason", OnConflict::Keep),
            ("order_id", OnConflict::Keep),
            ("actor", OnConflict::Keep),
            ("actor_id", OnConflict::Keep),
            ("reference", OnConflict::Keep),
        ],
        key: &[],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        let order = self.order_id.as_ref();
        let actor = self.actor_id.as_ref();
        let reference = self.reference.as_ref();
        vec![
            Literal::text(self.sku.as_str()),
            Literal::Integer(self.at.microseconds()),
            Literal::Bytes(&self.id),
            Literal::Integer(self.quantity),
            Literal::text(word(self.reason)),
            order.map_or(Literal::Null, |id| Literal::Bytes(id.0.as_bytes())),
            Literal::text(word(self.actor)),
            actor.map_or(Literal::Null, |id| Literal::Bytes(id.0.as_bytes())),
            reference.map_or(Literal::Null, |note| Literal::text(note.as_str())),
        ]
    }
}
