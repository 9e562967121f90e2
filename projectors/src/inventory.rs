//! The projection of inventory: one row per item with what its own records say, and the ledger's
//! entries for units that come and go otherwise than by orders.
//!
//! The row has columns of two kinds. Those written here are what the item's records say, one
//! partition's business, judged by `version`. `held` and `sold` are sums over the orders'
//! partitions ([`crate::changes::HeldRow`]); nothing here touches them.

use domain::inventory::{InventoryEvent, ItemStatus};
use domain::money::{Currency, Money};
use domain::sku::Sku;
use domain::text::{Category, Name};
use domain::time::Time;
use migrations::words::word;
use migrations::{DatabaseError, Row, search};

use crate::changes::{Changes, MovementRow};
use crate::fold::{Applicable, Impossible, Projected, Rows};
use crate::store::literal::Literal;
use crate::store::statement::{OnConflict, Upsert, Written};

/// The part of a row of `inventory` that an item's own records make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemRow {
    sku: Sku,
    name: Name,
    category: Option<Category>,
    price: Money,
    status: ItemStatus,
    created_at: Time,
    version: u64,
    supplied: i64,
}

/// Takes the events of one record into the rows.
///
/// # Errors
/// When they cannot follow what is known of the item.
pub(crate) fn fold(
    rows: &mut Rows<ItemRow>,
    record: &Applicable,
    events: &[InventoryEvent],
    changes: &mut Changes,
) -> Result<(), Impossible> {
    for (number, event) in (0..).zip(events) {
        if let InventoryEvent::ItemCreated {
            sku,
            name,
            price,
            category,
        } = event
        {
            if rows.get_mut(record).is_some() {
                return Err(Impossible("the item was created before"));
            }
            let row = ItemRow {
                sku: sku.clone(),
                name: name.clone(),
                category: category.clone(),
                price: *price,
                status: ItemStatus::Active,
                created_at: record.body.time,
                version: record.envelope.version,
                supplied: 0,
            };
            rows.insert(record, row);
            continue;
        }
        let row = rows.get_mut(record).ok_or(NEVER_CREATED)?;
        row.apply(event);
        if let InventoryEvent::StockMoved {
            reason, reference, ..
        } = event
        {
            let time = record.body.time;
            for movement in domain::inventory::movements(std::slice::from_ref(event)) {
                changes.movements.push(MovementRow {
                    reference: reference.clone(),
                    ..MovementRow::new(record, number, movement, (*reason).into(), time)
                });
            }
        }
    }
    rows.get_mut(record).ok_or(NEVER_CREATED)?.version = record.envelope.version;
    Ok(())
}

const NEVER_CREATED: Impossible = Impossible("the item was never created");

impl ItemRow {
    fn apply(&mut self, event: &InventoryEvent) {
        match event {
            InventoryEvent::ItemCreated { .. } => {}
            InventoryEvent::ItemChanged {
                name,
                price,
                category,
            } => {
                self.name = name.clone();
                self.price = *price;
                self.category.clone_from(category);
                self.status = ItemStatus::Active;
            }
            InventoryEvent::StockMoved { quantity, .. } => self.supplied += quantity,
            InventoryEvent::ItemDiscontinued => self.status = ItemStatus::Discontinued,
        }
    }
}

impl Projected for ItemRow {
    /// A stub (version 0) is no item yet.
    const KNOWN: &'static str = "SELECT sku, name, category, price, currency, status, created_at, \
         version, supplied FROM inventory";

    fn aggregate_id(&self) -> String {
        self.sku.as_str().to_owned()
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn read(row: &Row) -> Result<Self, DatabaseError> {
        let currency = row.parsed(4, Currency::parse)?;
        let price = Money::price(row.integer(3)?, currency)
            .map_err(|error| DatabaseError::Unreadable(error.to_string()))?;
        let category = match row.optional_text(2)? {
            None => None,
            Some(_) => Some(row.parsed(2, Category::parse)?),
        };
        Ok(Self {
            sku: row.parsed(0, Sku::parse)?,
            name: row.parsed(1, Name::parse)?,
            category,
            price,
            status: row.word(5)?,
            created_at: Time::from_microseconds(row.integer(6)?),
            version: row.unsigned(7)?,
            supplied: row.integer(8)?,
        })
    }
}

impl Written for ItemRow {
    const UPSERT: Upsert = Upsert {
        table: "inventory",
        columns: &[
            ("sku", OnConflict::Keep),
            ("name", OnConflict::Replace),
            ("search", OnConflict::Replace),
            ("category", OnConflict::Replace),
            ("price", OnConflict::Replace),
            ("currency", OnConflict::Replace),
            ("status", OnConflict::Replace),
            ("created_at", OnConflict::Replace),
            ("version", OnConflict::Replace),
            ("supplied", OnConflict::Replace),
        ],
        key: &["sku"],
    };

    fn literals(&self) -> Vec<Literal<'_>> {
        let search = search::haystack(self.name.as_str(), self.sku.as_str());
        let category = self.category.as_ref();
        vec![
            Literal::text(self.sku.as_str()),
            Literal::text(self.name.as_str()),
            Literal::text(search),
            category.map_or(Literal::Null, |category| Literal::text(category.as_str())),
            Literal::Integer(self.price.amount()),
            Literal::text(self.price.currency().to_string()),
            Literal::text(word(self.status)),
            Literal::Integer(self.created_at.microseconds()),
            Literal::unsigned(self.version),
            Literal::Integer(self.supplied),
        ]
    }
}
