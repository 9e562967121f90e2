//! Files of a catalogue, as CSV and as NDJSON.
//!
//! Neither format panics; lines are numbered as the file has them, no item is taken twice; and the
//! rows that one format reads are read the same when they are written in the other.

use std::collections::BTreeSet;

use command_api::commands::import::ImportRow;
use command_api::http::import::{Format, lines};
use domain::money::Currency;
use serde_json::json;

/// Runs one input.
///
/// # Panics
/// When something does not hold.
pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for format in [Format::Csv, Format::Ndjson] {
        let Some(rows) = read(format, text) else {
            continue;
        };
        if rows.is_empty() {
            continue;
        }
        let ndjson: String = rows
            .iter()
            .map(|row| format!("{}\n", as_json(row)))
            .collect();
        assert_eq!(read(Format::Ndjson, &ndjson).as_ref(), Some(&rows));
        let header = "stock,category,price,name,sku\r\n".to_owned();
        let csv = header + &rows.iter().map(as_csv).collect::<String>();
        assert_eq!(read(Format::Csv, &csv).as_ref(), Some(&rows));
    }
}

/// The rows that can be imported, where the file can be read at all.
fn read(format: Format, text: &str) -> Option<Vec<ImportRow>> {
    let currency = Currency::parse("EUR").expect("it is one");
    let lines = lines(format, text, currency).ok()?;
    let numbers: Vec<_> = lines.iter().map(|line| line.number).collect();
    // A lone carriage return ends a row of CSV, but not a line.
    assert!(numbers.is_sorted(), "{numbers:?}");
    let last = 1 + text.bytes().filter(|byte| *byte == b'\n').count() as u64;
    assert!(
        numbers.iter().all(|number| (1..=last).contains(number)),
        "{numbers:?}"
    );
    let rows: Vec<_> = lines.into_iter().filter_map(|line| line.row.ok()).collect();
    let skus: BTreeSet<_> = rows.iter().map(|row| &row.sku).collect();
    assert_eq!(skus.len(), rows.len(), "an item is taken twice");
    Some(rows)
}

fn as_json(row: &ImportRow) -> serde_json::Value {
    json!({
        "sku": row.sku,
        "name": row.name,
        "price": row.price.amount(),
        "category": row.category,
        "stock": row.opening_stock,
    })
}

fn as_csv(row: &ImportRow) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let category = row.category.as_ref().map(|category| category.as_str());
    let stock = row.opening_stock.map(|units| units.get().to_string());
    format!(
        "{},{},{},{},{}\r\n",
        stock.unwrap_or_default(),
        category.map(quoted).unwrap_or_default(),
        row.price.amount(),
        quoted(row.name.as_str()),
        row.sku,
    )
}
