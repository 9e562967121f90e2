//! A fingerprint of the read models, to compare two of them: live and rebuilt, on one store and
//! the other.
//!
//! Over the values of all rows in the order of their keys; not over checkpoints, which tell when
//! and not what. The same log gives the same digest: "a replay from nothing gives the same rows"
//! can be seen and printed. Personal data is compared as it is stored, sealed.

use std::fmt;

use migrations::{DatabaseError, Row};
use sha2::{Digest as _, Sha256};
use sqlx::AssertSqlSafe;

use crate::store::ReadModels;

/// A table of rows that the log alone determines.
struct Table {
    name: &'static str,
    columns: &'static [Column],
    /// The primary key.
    order_by: &'static str,
}

#[derive(Clone, Copy)]
enum Column {
    Integer(&'static str),
    /// Text or bytes, which are the same here.
    Bytes(&'static str),
}

use Column::{Bytes, Integer};

const TABLES: &[Table] = &[
    Table {
        name: "orders",
        columns: &[
            Bytes("id"),
            Bytes("user_id"),
            Bytes("status"),
            Integer("total"),
            Bytes("currency"),
            Integer("placed_at"),
            Integer("version"),
            Bytes("lines_json"),
            Bytes("history_json"),
        ],
        order_by: "id",
    },
    Table {
        name: "inventory",
        columns: &[
            Bytes("sku"),
            Bytes("name"),
            Bytes("search"),
            Bytes("category"),
            Integer("price"),
            Bytes("currency"),
            Bytes("status"),
            Integer("created_at"),
            Integer("version"),
            Integer("supplied"),
            Integer("held"),
            Integer("sold"),
        ],
        order_by: "sku",
    },
    Table {
        name: "inventory_movements",
        columns: &[
            Bytes("sku"),
            Integer("happened_at"),
            Bytes("id"),
            Integer("quantity"),
            Bytes("reason"),
            Bytes("order_id"),
            Bytes("actor"),
            Bytes("actor_id"),
            Bytes("reference"),
        ],
        order_by: "sku, happened_at, id",
    },
    Table {
        name: "users",
        columns: &[
            Bytes("id"),
            Bytes("email_hash"),
            Bytes("key_id"),
            Bytes("email"),
            Bytes("name"),
            Bytes("role"),
            Integer("created_at"),
            Integer("version"),
        ],
        order_by: "id",
    },
    Table {
        name: "user_keys",
        columns: &[Bytes("key_id"), Bytes("wrapped")],
        order_by: "key_id",
    },
];

/// The fingerprint of read models. Shown as 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// One per table, in a fixed order.
    pub tables: Vec<TableDigest>,
}

/// The fingerprint of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDigest {
    /// The table's name.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// SHA-256 over its rows.
    pub sha256: [u8; 32],
}

impl Digest {
    /// The names of tables that are not the same here and there.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let pairs = self.tables.iter().zip(&other.tables);
        pairs
            .filter(|(here, there)| here != there)
            .map(|(here, _)| here.table)
            .collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = Sha256::new();
        for table in &self.tables {
            all.update(table.sha256);
        }
        let all: [u8; 32] = all.finalize().into();
        all.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Digests the read models. To compare them, nobody may write meanwhile.
///
/// # Errors
/// When the store does not answer.
pub async fn digest(read_models: &ReadModels) -> Result<Digest, DatabaseError> {
    let mut tables = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        tables.push(digest_of(read_models, table).await?);
    }
    Ok(Digest { tables })
}

async fn digest_of(read_models: &ReadModels, table: &Table) -> Result<TableDigest, DatabaseError> {
    let names: Vec<&str> = table
        .columns
        .iter()
        .map(|(Integer(name) | Bytes(name))| *name)
        .collect();
    let (name, suffix, order_by) = (table.name, read_models.suffix, table.order_by);
    let columns = names.join(", ");
    let sql = format!("SELECT {columns} FROM {name}{suffix} ORDER BY {order_by}");
    let mut rows = 0;
    let mut sha256 = Sha256::new();
    let visit = |row: &Row| {
        rows += 1;
        for (index, column) in table.columns.iter().enumerate() {
            update(&mut sha256, row, index, *column)?;
        }
        Ok(())
    };
    read_models.database.each(AssertSqlSafe(sql), visit).await?;
    Ok(TableDigest {
        table: name,
        rows,
        sha256: sha256.finalize().into(),
    })
}

/// Every value says where it ends, so that no two rows look like other two.
fn update(
    sha256: &mut Sha256,
    row: &Row,
    index: usize,
    column: Column,
) -> Result<(), DatabaseError> {
    match column {
        Integer(_) => sha256.update(row.integer(index)?.to_be_bytes()),
        Bytes(_) => match row.optional_bytes(index)? {
            None => sha256.update([0]),
            Some(bytes) => {
                sha256.update([1]);
                sha256.update((bytes.len() as u64).to_be_bytes());
                sha256.update(&bytes);
            }
        },
    }
    Ok(())
}
