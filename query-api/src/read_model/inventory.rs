//! Inventory: items and the ledger of their movements.

use domain::ids::{OrderId, UserId};
use domain::inventory::ItemStatus;
use domain::money::{Currency, Money};
use domain::sku::Sku;
use domain::time::Time;
use migrations::ledger::{LedgerActor, LedgerReason};
use migrations::{DatabaseError, Row, Value, search};

use super::ReadModels;
use super::paging::{self, After, Id, ListQuestion, Page, Paging};

const BY_SKU: &str = "SELECT sku, name, category, price, currency, status, created_at, version, \
     supplied, held, sold FROM inventory WHERE version > 0 AND sku = ?";
const LIST: &str = "SELECT sku, name, category, price, currency, status, created_at, version, \
     supplied, held, sold FROM inventory WHERE version > 0";
const NEWEST_FIRST: paging::Order = paging::Order {
    time: "created_at",
    id: Id::Text("sku"),
};

const MOVEMENTS: &str = "SELECT sku, happened_at, id, quantity, reason, order_id, actor, actor_id, \
     reference FROM inventory_movements WHERE sku = ?";
const MOVEMENTS_NEWEST_FIRST: paging::Order = paging::Order {
    time: "happened_at",
    id: Id::Bytes("id"),
};

/// An item as far as its records and its orders' records are in the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its SKU.
    pub sku: Sku,
    /// Its name.
    pub name: String,
    /// Its category.
    pub category: Option<String>,
    /// The price of one unit.
    pub price: Money,
    /// Whether it can be ordered.
    pub status: ItemStatus,
    /// When it came into the catalogue.
    pub created_at: Time,
    /// The version of its own records.
    pub version: u64,
    /// Units that ever came, less those that went otherwise than by orders.
    pub supplied: i64,
    /// Units in orders that are alive but not fulfilled.
    pub held: i64,
    /// Units in fulfilled orders.
    pub sold: i64,
}

impl Item {
    /// Units that can be ordered. Never below zero: the partitions of the log are read
    /// independently, so units may be seen taken before the supply that they were taken from.
    pub fn available(&self) -> i64 {
        self.balance().max(0)
    }

    /// Whether the rows are known to be behind: [`Item::available`] hides a deficit.
    pub fn settling(&self) -> bool {
        self.balance() < 0 || self.held < 0 || self.supplied < 0
    }

    fn balance(&self) -> i64 {
        self.supplied - self.held - self.sold
    }
}

/// Which items a list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemsFilter {
    /// Only those of exactly this category (after NFC).
    pub category: Option<String>,
    /// Only those whose name or SKU has this in it, without regard to case.
    pub q: Option<String>,
    /// Only those with (or without) units that can be ordered.
    pub in_stock: Option<bool>,
}

/// One change of what is available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Its id: the record's place in the log.
    pub id: Vec<u8>,
    /// The item.
    pub sku: Sku,
    /// When.
    pub at: Time,
    /// Signed units.
    pub quantity: i64,
    /// Why.
    pub reason: LedgerReason,
    /// The order that took units or gave them back.
    pub order_id: Option<OrderId>,
    /// Who asked for it.
    pub actor: LedgerActor,
    /// Which user.
    pub actor_id: Option<UserId>,
    /// The reference that was given.
    pub reference: Option<String>,
}

impl ReadModels {
    /// One item.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn item(&self, sku: &Sku) -> Result<Option<Item>, DatabaseError> {
        let values = [Value::Text(sku.as_str())];
        let rows = self.database.select(BY_SKU, &values).await?;
        rows.first().map(item).transpose()
    }

    /// The items that came into the catalogue last.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn items(
        &self,
        filter: &ItemsFilter,
        paging: &Paging,
    ) -> Result<Page<Item>, DatabaseError> {
        let needle = filter.q.as_deref().map(search::needle);
        let mut question = ListQuestion::new(LIST, []);
        match &needle {
            None => {}
            Some(Some(needle)) => question.and("INSTR(search, ?) > 0", [Value::Text(needle)]),
            Some(None) => {
                let (items, next) = (vec![], None);
                return Ok(Page { items, next });
            }
        }
        if let Some(category) = &filter.category {
            question.and("category = ?", [Value::Text(category)]);
        }
        match filter.in_stock {
            None => {}
            Some(true) => question.and("supplied - held - sold > 0", []),
            Some(false) => question.and("supplied - held - sold <= 0", []),
        }
        let read = |row: &Row| {
            let item = item(row)?;
            let (at, id) = (item.created_at, item.sku.as_str().as_bytes().to_vec());
            Ok((item, After { at, id }))
        };
        question
            .page(&self.database, NEWEST_FIRST, paging, read)
            .await
    }

    /// The newest changes of what is available of an item. Empty where there is no such item.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn movements(
        &self,
        sku: &Sku,
        paging: &Paging,
    ) -> Result<Page<Movement>, DatabaseError> {
        let question = ListQuestion::new(MOVEMENTS, [Value::Text(sku.as_str())]);
        let read = |row: &Row| {
            let movement = movement(row)?;
            let (at, id) = (movement.at, movement.id.clone());
            Ok((movement, After { at, id }))
        };
        question
            .page(&self.database, MOVEMENTS_NEWEST_FIRST, paging, read)
            .await
    }
}

fn item(row: &Row) -> Result<Item, DatabaseError> {
    let currency = row.parsed(4, Currency::parse)?;
    Ok(Item {
        sku: row.parsed(0, Sku::parse)?,
        name: row.text(1)?,
        category: row.optional_text(2)?,
        price: Money::price(row.integer(3)?, currency)
            .map_err(|error| DatabaseError::Unreadable(error.to_string()))?,
        status: row.word(5)?,
        created_at: Time::from_microseconds(row.integer(6)?),
        version: row.unsigned(7)?,
        supplied: row.integer(8)?,
        held: row.integer(9)?,
        sold: row.integer(10)?,
    })
}

fn movement(row: &Row) -> Result<Movement, DatabaseError> {
    Ok(Movement {
        sku: row.parsed(0, Sku::parse)?,
        at: Time::from_microseconds(row.integer(1)?),
        id: row.bytes(2)?,
        quantity: row.integer(3)?,
        reason: row.word(4)?,
        order_id: row.optional_uuid(5)?.map(OrderId),
        actor: row.word(6)?,
        actor_id: row.optional_uuid(7)?.map(UserId),
        reference: row.optional_text(8)?,
    })
}
