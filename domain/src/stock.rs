//! What events do to stock, in one place, so that no reader computes a rule of its own.

use serde::{Deserialize, Serialize};

use crate::sku::Sku;

/// What one record does to the availability of one SKU: a function of its events.
///
/// `quantity` is the signed change of what is available. In a record of the `inventory` topic it
/// changes what is *supplied* by the same amount; in a record of the `orders` topic it changes
/// what is *held* by the opposite amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockMovement {
    /// The item.
    pub sku: Sku,
    /// Units; positive: more is available; never zero.
    pub quantity: i64,
}

/// Sums movements per SKU (sorted by SKU), leaving out those that cancel out. The same SKU named
/// twice must be judged by its sum (scenario T3).
pub fn sum_per_sku(movements: impl IntoIterator<Item = StockMovement>) -> Vec<StockMovement> {
    let mut sums: Vec<StockMovement> = movements.into_iter().collect();
    sums.sort_by(|a, b| a.sku.cmp(&b.sku));
    sums.dedup_by(|next, sum| {
        let same = next.sku == sum.sku;
        if same {
            sum.quantity += next.quantity;
        }
        same
    });
    sums.retain(|sum| sum.quantity != 0);
    sums
}
