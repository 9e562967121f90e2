//! Upserts alone, for the benchmark: rows of orders as the projectors write them, without a log
//! and without a checkpoint. For tables that nobody reads.

use domain::ids::{OrderId, UserId};
use domain::money::{Currency, Money};
use domain::time::Time;
use migrations::DatabaseError;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::ReadModels;
use super::statement::Script;
use crate::orders::OrderRow;

/// Rows of one statement, as a projector has them under load.
pub const ROWS_PER_STATEMENT: usize = 1_000;

impl ReadModels {
    /// Upserts new orders, [`ROWS_PER_STATEMENT`] of them, in one statement.
    ///
    /// # Errors
    /// When the store does not answer or refuses.
    pub async fn upsert_alone(&self) -> Result<(), DatabaseError> {
        let rows: Vec<_> = (0..ROWS_PER_STATEMENT).map(|_| row()).collect();
        let mut script = Script::new(self.dialect(), self.suffix);
        script.write(&rows);
        for statement in script.into_statements() {
            self.database.execute(AssertSqlSafe(statement)).await?;
        }
        Ok(())
    }
}

/// An order of one unit, of a size that is usual.
fn row() -> OrderRow {
    /// What the one line takes as JSON.
    const LINE: &str = r#"[{"sku":"lamp-01","name":"A lamp","quantity":1,"unit_price":{"amount":1999,"currency":"EUR"},"total":{"amount":1999,"currency":"EUR"}}]"#;
    let currency = Currency::parse("EUR").expect("three capital letters are a currency");
    let price = Money::price(1999, currency).expect("an amount within bounds is a price");
    let (order, user) = (OrderId(Uuid::now_v7()), UserId(Uuid::from_u128(7)));
    OrderRow::placed(
        order,
        user,
        price,
        LINE.to_owned(),
        Time::from_microseconds(1),
    )
}
