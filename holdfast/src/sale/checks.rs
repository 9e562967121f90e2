//! What must hold after a sale, each beside what was found.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use contract::answers::{Item, Movement, Order};
use contract::headers::IDEMPOTENT_REPLAYED;
use domain::order::OrderStatus;

use crate::load::call::Call;
use crate::load::check::Check;
use crate::load::client::Client;
use crate::load::shop::Shop;
use crate::load::tally::{Tally, placed_order};

/// A sale that is over.
#[derive(Debug)]
pub(crate) struct Sold<'a> {
    /// What was on sale.
    pub(crate) sku: &'a str,
    /// Units that were in stock.
    pub(crate) stock: u32,
    /// One order per buyer.
    pub(crate) calls: &'a [Call],
    /// What they were answered.
    pub(crate) tally: &'a Tally,
}

impl Sold<'_> {
    /// Checks everything that the public API shows.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn check(&self, shop: &Shop, within: Duration) -> Result<Vec<Check>> {
        let mut checks = self.of_the_answers();
        checks.extend(self.of_a_repeated_order(shop).await?);
        let sold = u64::try_from(self.tally.placed.len())?;
        let caught_up = shop.caught_up(self.sku, sold, within).await?;
        let item = match caught_up {
            Some(item) => item,
            None => shop.item(self.sku).await?,
        };
        checks.push(self.of_the_orders(shop).await?);
        checks.extend(self.of_the_item(&item));
        checks.extend(self.of_the_ledger(&shop.ledger(self.sku).await?));
        Ok(checks)
    }

    fn of_the_answers(&self) -> Vec<Check> {
        let (tally, buyers) = (self.tally, self.calls.len());
        let sold_out = usize::try_from(tally.sold_out).unwrap_or(usize::MAX);
        let expected = buyers.min(usize::try_from(self.stock).unwrap_or(usize::MAX));
        let distinct: BTreeSet<_> = tally.placed.iter().map(|placed| placed.order).collect();
        vec![
            Check::equal(
                "buyers answered 201 or 409 out-of-stock",
                buyers,
                tally.placed.len() + sold_out,
            ),
            Check::equal("orders placed (201)", expected, tally.placed.len()),
            Check::equal(
                "of those, different ones",
                tally.placed.len(),
                distinct.len(),
            ),
        ]
    }

    /// The first buyer sends the same order under the same key once more.
    async fn of_a_repeated_order(&self, shop: &Shop) -> Result<Option<Check>> {
        let Some(placed) = self.tally.placed.first() else {
            return Ok(None);
        };
        let answer = Client::of(&shop.writes)
            .send(&self.calls[placed.call])
            .await
            .answer?;
        let replayed = answer.headers.contains_key(IDEMPOTENT_REPLAYED);
        let found = match placed_order(&answer) {
            Some(order) if order == placed.order && replayed => "the same order".to_owned(),
            _ => format!(
                "{} {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            ),
        };
        let expected = "the same order".to_owned();
        Ok(Some(Check::equal(
            "an order that is sent again under its key",
            expected,
            found,
        )))
    }

    fn of_the_item(&self, item: &Item) -> Vec<Check> {
        let (stock, sold) = (i64::from(self.stock), self.sold());
        vec![
            Check::equal("units supplied", stock, item.supplied),
            Check::equal("units held by orders", sold, item.held + item.sold),
            Check::equal("units available", stock - sold, item.available),
            Check::equal(
                "available + held + sold",
                item.supplied,
                item.available + item.held + item.sold,
            ),
        ]
    }

    /// Every 201 is an order of one unit that anybody may look up.
    async fn of_the_orders(&self, shop: &Shop) -> Result<Check> {
        let mut client = Client::of(&shop.reads);
        let mut found = 0;
        for placed in &self.tally.placed {
            let order = shop.order(&mut client, placed.order).await?;
            found += usize::from(order.is_some_and(|order| self.is_ours(&order)));
        }
        Ok(Check::equal(
            "orders found as they were placed",
            self.tally.placed.len(),
            found,
        ))
    }

    fn is_ours(&self, order: &Order) -> bool {
        let one_unit = |line: &contract::answers::OrderLine| {
            line.sku.as_str() == self.sku && line.quantity.get() == 1
        };
        order.status == OrderStatus::Placed
            && matches!(order.lines.as_slice(), [line] if one_unit(line))
    }

    fn of_the_ledger(&self, ledger: &[Movement]) -> Vec<Check> {
        let ordered: BTreeSet<_> = ledger
            .iter()
            .filter_map(|movement| movement.order_id)
            .collect();
        let placed: BTreeSet<_> = self
            .tally
            .placed
            .iter()
            .map(|placed| placed.order)
            .collect();
        let sum: i64 = ledger.iter().map(|movement| movement.quantity).sum();
        vec![
            Check::equal("orders in the item's ledger", placed.len(), ordered.len()),
            Check::equal(
                "of those, answered 201",
                placed.len(),
                ordered.intersection(&placed).count(),
            ),
            Check::equal(
                "sum of the ledger",
                i64::from(self.stock) - self.sold(),
                sum,
            ),
        ]
    }

    fn sold(&self) -> i64 {
        i64::try_from(self.tally.placed.len()).unwrap_or(i64::MAX)
    }
}
