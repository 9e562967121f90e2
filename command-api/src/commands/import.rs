//! Importing the catalogue: one line is one item, with the stock that it opens with.

use domain::inventory::MovementReason;
use domain::money::Money;
use domain::quantity::Quantity;
use domain::sku::Sku;
use domain::text::{Category, Name, Note};
use record::{Position, RecordedKey};

use crate::commands::Commands;
use crate::commit::{CommitError, Request};

/// A line of an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportRow {
    /// The item.
    pub sku: Sku,
    /// Its name.
    pub name: Name,
    /// Its price.
    pub price: Money,
    /// Its category.
    pub category: Option<Category>,
    /// Units that it opens with.
    pub opening_stock: Option<Quantity>,
}

/// What a line led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Whether the item is new.
    pub created: bool,
    /// Whether its opening stock counts now, by this or an earlier import; `None` where the line
    /// has none.
    pub opening_stock_applied: Option<bool>,
    /// Whether the item's record answers an earlier attempt of the same key.
    pub replayed: bool,
    /// Where the line's records stand.
    pub positions: Vec<Position>,
}

impl Commands {
    /// Puts the item and, once, its opening stock. Safe to repeat: the stock has a key that is the
    /// item's own, and when that is forgotten, an item that has supply opens no more. (One whose
    /// supply was all written off by then would open again.)
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn import(&self, request: Request, row: ImportRow) -> Result<Imported, CommitError> {
        let ImportRow {
            sku,
            name,
            price,
            category,
            opening_stock,
        } = row;
        let opening = Request {
            key: Some(self.opening_key(&sku)),
            ..request.clone()
        };
        let put = self
            .put_item(request, sku.clone(), name, price, category)
            .await?;
        let mut imported = Imported {
            created: put.value.created,
            opening_stock_applied: None,
            replayed: put.replayed,
            positions: vec![put.position],
        };
        let Some(units) = opening_stock else {
            return Ok(imported);
        };
        let is_first = put.value.figures.supplied == 0;
        imported.opening_stock_applied = Some(is_first);
        if is_first {
            let (reason, reference) = (MovementReason::Received, Note::parse("opening stock").ok());
            let moved = self.move_stock(opening, sku, units.into(), reason, reference);
            imported.positions.push(moved.await?.position);
        }
        Ok(imported)
    }

    /// The key of an item's opening stock. It stands for whatever the first import says.
    fn opening_key(&self, sku: &Sku) -> RecordedKey {
        let tag = |label| {
            let key = self.personal.secrets.fingerprint_key();
            key.short_tag(label, &[sku.as_str().as_bytes()])
        };
        RecordedKey {
            key: tag("opening-stock-key"),
            fingerprint: tag("opening-stock"),
        }
    }
}
