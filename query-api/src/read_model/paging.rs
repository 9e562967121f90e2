//! Lists that stay stable under concurrent writes: newest first by (time of creation, id).
//!
//! A page starts after the last row of the one before, named by values that never change, so rows
//! neither vanish at a border nor move while the list is read (field reports R29, R31). Times are
//! exact to the microsecond in the cursor as in the column.

use domain::time::Time;
use migrations::{Database, DatabaseError, Row, Value};
use sqlx::AssertSqlSafe;

/// The place of a row in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct After {
    /// The row's time of creation.
    pub at: Time,
    /// The row's id: 16 bytes, or a SKU's.
    pub id: Vec<u8>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// Start behind this row; `None`: at the newest.
    pub after: Option<After>,
    /// At most so many rows.
    pub limit: u32,
}

impl Paging {
    /// The newest rows.
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// Its rows.
    pub items: Vec<T>,
    /// Where the next page starts; `None` when there is none.
    pub next: Option<After>,
}

/// The two columns that a list is ordered by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    /// The time of creation.
    pub(super) time: &'static str,
    /// What tells rows of one moment apart.
    pub(super) id: Id,
}

/// A column of ids. SQLite never finds text equal to bytes, so a cursor's id must be bound as the
/// kind that the column holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Id {
    /// Of 16 bytes.
    Bytes(&'static str),
    /// Of SKUs.
    Text(&'static str),
}

/// A question for one page. Its text is the program's own; whatever a client sent is bound.
pub(super) struct ListQuestion<'a> {
    sql: String,
    values: Vec<Value<'a>>,
}

impl<'a> ListQuestion<'a> {
    /// Starts with a `SELECT … FROM … WHERE …`.
    pub(super) fn new(select: &'static str, values: impl IntoIterator<Item = Value<'a>>) -> Self {
        Self {
            sql: select.to_owned(),
            values: values.into_iter().collect(),
        }
    }

    /// Only rows for which this holds too.
    pub(super) fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value<'a>>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    /// Asks for the page.
    pub(super) async fn page<T>(
        mut self,
        database: &Database,
        order: Order,
        paging: &'a Paging,
        read: impl Fn(&Row) -> Result<(T, After), DatabaseError>,
    ) -> Result<Page<T>, DatabaseError> {
        let time = order.time;
        let (Id::Bytes(id) | Id::Text(id)) = order.id;
        if let Some(after) = &paging.after {
            let at = Value::Integer(after.at.microseconds());
            // Not `(time, id) < (?, ?)`: MySQL finds no index range in a comparison of rows.
            let behind = format!("{time} <= ? AND ({time} < ? OR {id} < ?)");
            self.and(&behind, [at, at, order.id.of_cursor(&after.id)?]);
        }
        // One more than wanted tells whether there is a next page.
        self.sql
            .push_str(&format!(" ORDER BY {time} DESC, {id} DESC LIMIT ?"));
        self.values
            .push(Value::Integer(i64::from(paging.limit) + 1));
        let rows = database
            .select(AssertSqlSafe(self.sql), &self.values)
            .await?;
        let limit = paging.limit as usize;
        let mut items = Vec::with_capacity(limit.min(rows.len()));
        let mut last = None;
        for row in rows.iter().take(limit) {
            let (item, place) = read(row)?;
            items.push(item);
            last = Some(place);
        }
        let next = last.filter(|_| rows.len() > limit);
        Ok(Page { items, next })
    }
}

impl Id {
    fn of_cursor(self, id: &[u8]) -> Result<Value<'_>, DatabaseError> {
        match self {
            Self::Bytes(_) => Ok(Value::Bytes(id)),
            Self::Text(_) => std::str::from_utf8(id)
                .map(Value::Text)
                .map_err(|_| DatabaseError::Unreadable("the cursor's SKU is not text".to_owned())),
        }
    }
}
