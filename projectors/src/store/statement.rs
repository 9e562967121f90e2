//! Statements that write many rows at once, in the SQL of either store.

use super::literal::{Dialect, Literal};

/// What becomes of a column of a row that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnConflict {
    /// It is part of the key, or stays.
    Keep,
    /// It gets the new value.
    Replace,
    /// The new value is added to it.
    Add,
}

/// A kind of row and how it is written.
#[derive(Debug)]
pub(crate) struct Upsert {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [(&'static str, OnConflict)],
    /// What makes two rows the same; empty where that would be an error.
    pub(crate) key: &'static [&'static str],
}

/// A row that can be written.
pub(crate) trait Written {
    /// How.
    const UPSERT: Upsert;
    /// Its values, in the order of the columns.
    fn literals(&self) -> Vec<Literal<'_>>;
}

/// One statement stays below this many bytes, where a row allows it: far below what servers take
/// by default (16 MiB), and enough that the parser's and the network's fixed costs vanish.
const STATEMENT_BYTES_MAX: usize = 1 << 20;

/// Collects statements. Tables may be written beside the live ones: see `suffix`.
#[derive(Debug)]
pub(crate) struct Script {
    dialect: Dialect,
    suffix: &'static str,
    statements: Vec<String>,
}

impl Script {
    pub(crate) fn new(dialect: Dialect, suffix: &'static str) -> Self {
        let statements = vec![];
        Self {
            dialect,
            suffix,
            statements,
        }
    }

    /// The statements, in order.
    pub(crate) fn into_statements(self) -> Vec<String> {
        self.statements
    }

    /// Writes rows in this order, in as few statements as their size allows.
    pub(crate) fn write<'r, R: Written + 'r>(&mut self, rows: impl IntoIterator<Item = &'r R>) {
        let mut sql = String::new();
        for row in rows {
            if sql.is_empty() {
                self.begin(&mut sql, &R::UPSERT);
            } else {
                sql.push(',');
            }
            push_list(self.dialect, &mut sql, row.literals());
            if sql.len() > STATEMENT_BYTES_MAX {
                self.finish(std::mem::take(&mut sql), &R::UPSERT);
            }
        }
        if !sql.is_empty() {
            self.finish(sql, &R::UPSERT);
        }
    }

    /// Deletes the rows with these keys.
    pub(crate) fn delete<'r>(
        &mut self,
        table: &str,
        key: &str,
        keys: impl IntoIterator<Item = Literal<'r>>,
    ) {
        if let Some(list) = literals(self.dialect, keys) {
            let suffix = self.suffix;
            self.statements
                .push(format!("DELETE FROM {table}{suffix} WHERE {key} IN {list}"));
        }
    }

    fn begin(&self, sql: &mut String, upsert: &Upsert) {
        let columns: Vec<&str> = upsert.columns.iter().map(|(name, _)| *name).collect();
        let (table, suffix, columns) = (upsert.table, self.suffix, columns.join(", "));
        sql.push_str(&format!("INSERT INTO {table}{suffix} ({columns}) VALUES "));
    }

    fn finish(&mut self, mut sql: String, upsert: &Upsert) {
        if !upsert.key.is_empty() {
            sql.push_str(&upsert.conflict_clause(self.dialect));
        }
        self.statements.push(sql);
    }
}

impl Upsert {
    /// MySQL and MariaDB agree on `VALUES(column)` and on nothing newer.
    fn conflict_clause(&self, dialect: Dialect) -> String {
        let new = |column: &str| match dialect {
            Dialect::MySql => format!("VALUES({column})"),
            Dialect::Sqlite => format!("excluded.{column}"),
        };
        let updates: Vec<String> = self
            .columns
            .iter()
            .filter_map(|(column, on_conflict)| match on_conflict {
                OnConflict::Keep => None,
                OnConflict::Replace => Some(format!("{column} = {}", new(column))),
                OnConflict::Add => Some(format!("{column} = {column} + {}", new(column))),
            })
            .collect();
        let key = self.key.join(", ");
        match (dialect, updates.is_empty()) {
            (Dialect::Sqlite, true) => format!(" ON CONFLICT ({key}) DO NOTHING"),
            (Dialect::Sqlite, false) => {
                format!(" ON CONFLICT ({key}) DO UPDATE SET {}", updates.join(", "))
            }
            (Dialect::MySql, true) => {
                format!(" ON DUPLICATE KEY UPDATE {0} = {0}", self.key[0])
            }
            (Dialect::MySql, false) => {
                format!(" ON DUPLICATE KEY UPDATE {}", updates.join(", "))
            }
        }
    }
}

/// `(literal, …)`, or `None` when there is nothing to list.
pub(crate) fn literals<'r>(
    dialect: Dialect,
    values: impl IntoIterator<Item = Literal<'r>>,
) -> Option<String> {
    let mut sql = String::new();
    push_list(dialect, &mut sql, values);
    (sql != "()").then_some(sql)
}

fn push_list<'r>(
    dialect: Dialect,
    sql: &mut String,
    values: impl IntoIterator<Item = Literal<'r>>,
) {
    sql.push('(');
    for (index, value) in values.into_iter().enumerate() {
        if index > 0 {
            sql.push(',');
        }
        dialect.push(sql, value);
    }
    sql.push(')');
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held(String, i64);

    impl Written for Held {
        const UPSERT: Upsert = Upsert {
            table: "inventory",
            columns: &[("sku", OnConflict::Keep), ("held", OnConflict::Add)],
            key: &["sku"],
        };
        fn literals(&self) -> Vec<Literal<'_>> {
            vec![Literal::text(&self.0), Literal::Integer(self.1)]
        }
    }

    fn script(dialect: Dialect, rows: &[Held]) -> Vec<String> {
        let mut script = Script::new(dialect, "");
        script.write(rows);
        script.into_statements()
    }

    #[test]
    fn many_rows_are_one_statement() {
        let rows = [Held("A".to_owned(), 1), Held("B".to_owned(), -2)];
        assert_eq!(
            script(Dialect::Sqlite, &rows),
            ["INSERT INTO inventory (sku, held) VALUES ('A',1),('B',-2) \
              ON CONFLICT (sku) DO UPDATE SET held = held + excluded.held"]
        );
        assert_eq!(
            script(Dialect::MySql, &rows),
            ["INSERT INTO inventory (sku, held) VALUES ('A',1),('B',-2) \
              ON DUPLICATE KEY UPDATE held = held + VALUES(held)"]
        );
    }

    #[test]
    fn no_rows_are_no_statement() {
        assert!(script(Dialect::MySql, &[]).is_empty());
    }

    #[test]
    fn a_statement_does_not_outgrow_its_limit_by_more_than_a_row() {
        let sku = "x".repeat(64);
        let rows: Vec<_> = (0..40_000).map(|held| Held(sku.clone(), held)).collect();
        let statements = script(Dialect::MySql, &rows);
        assert!(statements.len() > 1);
        assert!(
            statements
                .iter()
                .all(|sql| sql.len() < STATEMENT_BYTES_MAX + 1000)
        );
    }
}
