//! CSV as spreadsheets write it: RFC 4180, either line end, blank lines anywhere.

use contract::{FieldError, Problem};
use csv::{ReaderBuilder, StringRecord};
use domain::money::Currency;
use domain::sku::Sku;
use domain::text::{Category, Name};

use super::{LINES_MAX, Line, opening_stock, price, too_many_lines, unreadable};
use crate::commands::import::ImportRow;

/// Where each column stands; those that may be missing are `None` then.
#[derive(Debug, Clone, Copy)]
struct Columns {
    sku: usize,
    name: usize,
    price: usize,
    category: Option<usize>,
    stock: Option<usize>,
}

/// The lines of a file.
pub(super) fn lines(text: &str, currency: Currency) -> Result<Vec<Line>, Problem> {
    check_quotes(text)?;
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut counter = LineCounter::new(text);
    let mut columns = None;
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| unreadable(format!("It is not CSV: {error}.")))?;
        let number = counter.line_of(&record);
        match columns {
            None => columns = Some((Columns::of(&record)?, record.len())),
            // A spreadsheet writes an empty row as delimiters only.
            Some(_) if record.iter().all(str::is_empty) => {}
            Some(_) if lines.len() == LINES_MAX => return Err(too_many_lines()),
            Some((columns, width)) => lines.push(columns.line(number, &record, width, currency)),
        }
    }
    match columns {
        Some(_) => Ok(lines),
        None => Err(unreadable(
            "It has no header; begin it with sku,name,price.",
        )),
    }
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Self, Problem> {
        let [mut sku, mut name, mut price, mut category, mut stock] = [None; 5];
        for (index, column) in header.iter().enumerate() {
            let place = match column {
                "sku" => &mut sku,
                "name" => &mut name,
                "price" => &mut price,
                "category" => &mut category,
                "stock" => &mut stock,
                _ => {
                    let known = "the columns are sku, name, price, category and stock";
                    return Err(unreadable(format!(
                        "The column {column:?} is not known; {known}."
                    )));
                }
            };
            if place.replace(index).is_some() {
                return Err(unreadable(format!("The column {column} stands twice.")));
            }
        }
        let needed = |place: Option<usize>, column| {
            place.ok_or_else(|| unreadable(format!("The column {column} is missing.")))
        };
        Ok(Self {
            sku: needed(sku, "sku")?,
            name: needed(name, "name")?,
            price: needed(price, "price")?,
            category,
            stock,
        })
    }

    fn line(&self, number: u64, record: &StringRecord, width: usize, currency: Currency) -> Line {
        let row = if record.len() == width {
            self.row(record, currency).map_err(Problem::invalid_body)
        } else {
            let found = record.len();
            let detail = format!("It has {found} fields, but the header has {width}.");
            Err(Problem::invalid_body(vec![FieldError::new("", detail)]))
        };
        Line {
            number,
            sku: record.get(self.sku).map(str::to_owned),
            row,
        }
    }

    /// The row, or everything that is wrong with it.
    fn row(&self, record: &StringRecord, currency: Currency) -> Result<ImportRow, Vec<FieldError>> {
        let field = |index: usize| record.get(index).unwrap_or_default();
        let optional = |index: Option<usize>| index.map(field).filter(|text| !text.is_empty());
        let invalid = |pointer| move |error| FieldError::new(pointer, error);
        let sku = Sku::parse(field(self.sku)).map_err(invalid("/sku"));
        let name = Name::parse(field(self.name)).map_err(invalid("/name"));
        let amount = whole_number("/price", field(self.price));
        let price = amount.and_then(|amount| price(amount, currency));
        let category = optional(self.category).map(Category::parse).transpose();
        let category = category.map_err(invalid("/category"));
        let stock = optional(self.stock).map_or(Ok(0), |text| whole_number("/stock", text));
        let stock = stock.and_then(opening_stock);
        match (sku, name, price, category, stock) {
            (Ok(sku), Ok(name), Ok(price), Ok(category), Ok(opening_stock)) => Ok(ImportRow {
                sku,
                name,
                price,
                category,
                opening_stock,
            }),
            (sku, name, price, category, stock) => {
                let errors = [
                    sku.err(),
                    name.err(),
                    price.err(),
                    category.err(),
                    stock.err(),
                ];
                Err(errors.into_iter().flatten().collect())
            }
        }
    }
}

fn whole_number(pointer: &'static str, text: &str) -> Result<i64, FieldError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or_else(|| FieldError::new(pointer, "It must be a whole number, digits only."))
}

/// Refuses a quote that never ends: the reader would take the rest of the file for one field.
fn check_quotes(text: &str) -> Result<(), Problem> {
    #[derive(PartialEq)]
    enum At {
        FieldStart,
        Plain,
        Quoted,
        Quote,
    }
    let (mut at, mut line, mut opened) = (At::FieldStart, 1, 1);
    for byte in text.bytes() {
        line += u32::from(byte == b'\n');
        at = match (at, byte) {
            (At::FieldStart, b'"') => {
                opened = line;
                At::Quoted
            }
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) | (At::Quote, b'"') => At::Quoted,
            (_, b',' | b'\r' | b'\n') => At::FieldStart,
            (At::FieldStart | At::Plain | At::Quote, _) => At::Plain,
        };
    }
    if at == At::Quoted {
        return Err(unreadable(format!(
            "The quote that begins in line {opened} never ends."
        )));
    }
    Ok(())
}

/// Numbers the lines. The reader's own number of a record is that of the blank lines before it.
struct LineCounter<'a> {
    text: &'a [u8],
    offset: usize,
    line: u64,
}

impl<'a> LineCounter<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text: text.as_bytes(),
            offset: 0,
            line: 1,
        }
    }

    fn line_of(&mut self, record: &StringRecord) -> u64 {
        let begins = record.position().map_or(0, csv::Position::byte);
        let begins = usize::try_from(begins).unwrap_or(usize::MAX);
        while let Some(byte) = self.text.get(self.offset)
            && (self.offset < begins || matches!(byte, b'\r' | b'\n'))
        {
            self.line += u64::from(*byte == b'\n');
            self.offset += 1;
        }
        self.line
    }
}
