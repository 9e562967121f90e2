//! One JSON object per line, with the members that the columns of a CSV file have.

use contract::{Problem, json};
use domain::money::Currency;
use domain::sku::Sku;
use domain::text::{Category, Name};
use serde::Deserialize;
use serde_json::Value;

use super::{LINES_MAX, Line, opening_stock, price, too_many_lines};
use crate::commands::import::ImportRow;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    sku: Sku,
    name: Name,
    price: i64,
    category: Option<Category>,
    stock: Option<i64>,
}

/// The lines of a file.
pub(super) fn lines(text: &str, currency: Currency) -> Result<Vec<Line>, Problem> {
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(text.split('\n')) {
        if text.trim_ascii().is_empty() {
            continue;
        }
        if lines.len() == LINES_MAX {
            return Err(too_many_lines());
        }
        let row = json::parse::<Row>(text.as_bytes());
        let sku = match &row {
            Ok((row, _)) => Some(row.sku.to_string()),
            Err(_) => named(text),
        };
        lines.push(Line {
            number,
            sku,
            row: row.and_then(|(row, _)| row.checked(currency)),
        });
    }
    Ok(lines)
}

/// The SKU that a bad line names.
fn named(text: &str) -> Option<String> {
    let line: Value = serde_json::from_str(text).ok()?;
    line["sku"].as_str().map(str::to_owned)
}

impl Row {
    fn checked(self, currency: Currency) -> Result<ImportRow, Problem> {
        let price = price(self.price, currency);
        let opening_stock = opening_stock(self.stock.unwrap_or(0));
        match (price, opening_stock) {
            (Ok(price), Ok(opening_stock)) => Ok(ImportRow {
                sku: self.sku,
                name: self.name,
                price,
                category: self.category,
                opening_stock,
            }),
            (price, stock) => {
                let errors = [price.err(), stock.err()];
                Err(Problem::invalid_body(
                    errors.into_iter().flatten().collect(),
                ))
            }
        }
    }
}
