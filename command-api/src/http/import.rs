//! The import of a catalogue: every line for itself, the file as a whole only where it cannot be
//! read at all. [`csv`] and [`ndjson`] read it into the same lines.

use std::collections::HashSet;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use contract::json::{check_content_type, read_bytes};
use contract::refused::{
    BadRequest, Forbidden, Invalid, TooLarge, Unauthorized, Unavailable, UnsupportedMediaType,
};
use contract::{FieldError, OptionalIdempotencyKey, Problem, Staff};
use domain::money::{Currency, Money};
use domain::quantity::Quantity;
use domain::sku::Sku;
use futures::{StreamExt as _, stream};
use record::RecordedKey;
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::asked::Asked;
use super::declined::declined;
use super::written::Written;
use crate::commands::import::{ImportRow, Imported};
use crate::commit::CommitError;

mod csv;
mod ndjson;

/// Lines that are committed at once. An import is in no hurry; orders are.
const LINES_AT_ONCE: usize = 32;
/// The most lines of a file: its answer has to be held in memory.
const LINES_MAX: usize = 200_000;

/// A line of the file.
#[derive(Debug)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: u64,
    /// The SKU as the line names it, good or bad.
    pub sku: Option<String>,
    /// What it asks for, or why it cannot be read.
    pub row: Result<ImportRow, Problem>,
}

/// What came of an import.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportReport {
    /// Lines that made an item.
    created: u64,
    /// Lines that found their item there.
    changed: u64,
    /// Lines that changed nothing, or of which it is not known.
    failed: u64,
    /// Each line that is not blank, in the file's order.
    results: Vec<LineResult>,
}

/// What came of a line.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LineResult {
    /// Its number in the file, from 1; the header of a CSV file is line 1.
    line: u64,
    /// The SKU that it names.
    #[schema(required = true)]
    sku: Option<String>,
    /// `created`, `changed` or `failed`.
    result: &'static str,
    /// Whether its opening stock was taken in: `false` where the item has had supply before, and
    /// `null` where the line has none.
    #[schema(required = true)]
    opening_stock_applied: Option<bool>,
    /// Why it failed.
    #[schema(value_type = Option<Problem>, required = true)]
    problem: Option<serde_json::Value>,
}

/// A file as it was sent.
#[derive(Debug)]
pub(super) struct File {
    text: String,
    format: Format,
}

/// How the lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Ndjson,
}

/// Imports a catalogue. Every line is put like an item; opening stock is applied once. Safe to
/// send again.
#[utoipa::path(
    post, path = "/v1/inventory/import", tag = "inventory", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a retry safe.")),
    request_body(
        description = "At most 16 MiB. CSV: RFC 4180 in UTF-8 with a header of sku, name, price \
                       (in minor units), category and stock, in any order. NDJSON: one object \
                       per line with the same members.",
        content((String = "text/csv"), (String = "application/x-ndjson")),
    ),
    responses(
        (status = 200, body = ImportReport),
        BadRequest, Unauthorized, Forbidden, TooLarge, UnsupportedMediaType, Invalid, Unavailable,
    )
)]
pub(super) async fn import_items(
    State(api): State<Api>,
    Staff(actor): Staff,
    OptionalIdempotencyKey(key): OptionalIdempotencyKey,
    asked: Asked,
    file: File,
) -> Result<Written<Json<ImportReport>>, Problem> {
    let lines = lines(file.format, &file.text, api.0.commands.currency())?;
    let file = file.text.into_bytes();
    let request = asked.keyed_file(&api.0.fingerprints, actor, key.as_ref(), &file);
    let imported = stream::iter(lines).map(|line| api.import_line(&request, line));
    let imported: Vec<_> = imported.buffered(LINES_AT_ONCE).collect().await;
    let (results, imported): (Vec<_>, Vec<_>) = imported.into_iter().unzip();
    let replayed = |line: &Option<Imported>| line.as_ref().is_some_and(|line| line.replayed);
    let replayed = !imported.is_empty() && imported.iter().all(replayed);
    let positions = imported
        .into_iter()
        .flatten()
        .flat_map(|line| line.positions);
    Ok(Written {
        answer: Json(ImportReport::of(results)),
        replayed,
        consistency_token: api.consistency_token(positions),
    })
}

impl Api {
    async fn import_line(
        &self,
        request: &crate::commit::Request,
        line: Line,
    ) -> (LineResult, Option<Imported>) {
        let imported = match line.row {
            Ok(row) => {
                let key = request
                    .key
                    .as_ref()
                    .map(|key| self.key_of_line(key, &row.sku));
                let request = crate::commit::Request {
                    key,
                    ..request.clone()
                };
                let imported = self.0.commands.import(request, row).await;
                imported.map_err(|error: CommitError| declined("item")(error))
            }
            Err(problem) => Err(problem),
        };
        let result = LineResult {
            line: line.number,
            sku: line.sku,
            result: match &imported {
                Ok(imported) if imported.created => "created",
                Ok(_) => "changed",
                Err(_) => "failed",
            },
            opening_stock_applied: imported.as_ref().ok().and_then(|i| i.opening_stock_applied),
            problem: imported.as_ref().err().map(Problem::to_json),
        };
        (result, imported.ok())
    }

    /// The file's key and the line's SKU make the line's key; the whole file is what it is
    /// compared by.
    fn key_of_line(&self, key: &RecordedKey, sku: &Sku) -> RecordedKey {
        let parts = [key.key.as_bytes(), sku.as_str().as_bytes()];
        let secret = self.0.commands.secrets().fingerprint_key();
        RecordedKey {
            key: secret.short_tag("import-line", &parts),
            fingerprint: key.fingerprint.clone(),
        }
    }
}

impl ImportReport {
    fn of(results: Vec<LineResult>) -> Self {
        let count = |name| {
            results
                .iter()
                .map(|line| u64::from(line.result == name))
                .sum()
        };
        Self {
            created: count("created"),
            changed: count("changed"),
            failed: count("failed"),
            results,
        }
    }
}

/// Reads the lines that are not blank.
///
/// # Errors
/// 413 or 422 where the file cannot be read at all.
pub fn lines(format: Format, text: &str, currency: Currency) -> Result<Vec<Line>, Problem> {
    let mut lines = match format {
        Format::Csv => csv::lines(text, currency)?,
        Format::Ndjson => ndjson::lines(text, currency)?,
    };
    let mut named = HashSet::new();
    for line in &mut lines {
        if let Some(sku) = &line.sku
            && !named.insert(sku.clone())
        {
            let detail = "A line above names this SKU; keep one of them.";
            line.row = Err(Problem::invalid_body(vec![FieldError::new("/sku", detail)]));
        }
    }
    Ok(lines)
}

impl<S: Send + Sync> FromRequest<S> for File {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let headers = request.headers().clone();
        let bytes = read_bytes(request, state).await?;
        if bytes.is_empty() {
            return Err(Problem::missing_body().saying("Send the file as the body."));
        }
        let accepted = "text/csv or application/x-ndjson";
        check_content_type(&headers, accepted, |essence| format_of(essence).is_some())?;
        let format =
            announced(&headers).ok_or_else(|| Problem::unsupported_media_type(accepted))?;
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        let text = String::from_utf8(bytes.to_vec()).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
            unreadable(format!(
                "It is not UTF-8 (line {line}); save it in this encoding."
            ))
        })?;
        Ok(Self { text, format })
    }
}

fn announced(headers: &HeaderMap) -> Option<Format> {
    let media_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = media_type.split(';').next().unwrap_or_default();
    format_of(&essence.trim().to_ascii_lowercase())
}

fn format_of(essence: &str) -> Option<Format> {
    match essence {
        "text/csv" => Some(Format::Csv),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Format::Ndjson),
        _ => None,
    }
}

/// The whole file is refused.
fn unreadable(why: impl Into<String>) -> Problem {
    Problem::invalid_body(vec![FieldError::new("", why.into())])
}

fn too_many_lines() -> Problem {
    Problem::body_too_large().saying("A file has at most 200000 lines; split it.")
}

/// A price in the shop's currency.
fn price(amount: i64, currency: Currency) -> Result<Money, FieldError> {
    Money::price(amount, currency).map_err(|error| FieldError::new("/price", error))
}

/// Opening stock: a quantity, or none at all.
fn opening_stock(units: i64) -> Result<Option<Quantity>, FieldError> {
    if units == 0 {
        return Ok(None);
    }
    let quantity = Quantity::new(units)
        .map_err(|_| FieldError::new("/stock", "It must be a whole number from 0 to 1000000."))?;
    Ok(Some(quantity))
}
