//! The simulated store: SQLite in memory, asked on the run's own thread, with a network in between.
//!
//! The statements are the projectors' own. A transaction is one step; its answer may be lost.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use migrations::foreign::{Cell, ForeignDatabase};
use migrations::{DatabaseError, Value};
use parking_lot::Mutex;
use projectors::FOLD_VERSION;
use rusqlite::types::{Value as Stored, ValueRef};
use rusqlite::{Connection, params_from_iter};

use crate::link::Link;
use crate::plan::Fault;
use crate::replays::{self, Step};
use crate::world::World;

/// The tables that a copy has.
const TABLES: [&str; 8] = [
    "build",
    "log_source",
    "checkpoints",
    "orders",
    "inventory",
    "inventory_movements",
    "users",
    "user_keys",
];

type Rows = Vec<Vec<Stored>>;

/// The store behind every connection.
pub struct Store {
    world: Arc<World>,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    up: bool,
    copy: Option<Vec<(&'static str, Rows)>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// An empty store.
    ///
    /// # Errors
    /// When SQLite does not open.
    pub fn new(world: &Arc<World>) -> Result<Arc<Self>> {
        let connection = Connection::open_in_memory().context("SQLite does not open")?;
        let state = State {
            connection,
            up: true,
            copy: None,
        };
        Ok(Arc::new(Self {
            world: Arc::clone(world),
            state: Mutex::new(state),
        }))
    }

    /// Ends or starts the server.
    pub fn set_up(&self, up: bool) {
        self.state.lock().up = up;
    }

    /// Makes a copy, as a backup does.
    ///
    /// # Errors
    /// When a table cannot be read, as before the first start.
    pub fn copy(&self) -> Result<()> {
        let mut state = self.state.lock();
        let mut copy = Vec::new();
        for table in TABLES {
            copy.push((
                table,
                rows(&state.connection, &format!("SELECT * FROM {table}"))?,
            ));
        }
        state.copy = Some(copy);
        Ok(())
    }

    /// Restores the last copy, if there is one. Whether there was.
    ///
    /// # Errors
    /// When a table cannot be written.
    pub fn restore(&self) -> Result<bool> {
        let mut state = self.state.lock();
        let State {
            connection, copy, ..
        } = &mut *state;
        let Some(copy) = copy else { return Ok(false) };
        let transaction = connection.transaction()?;
        for (table, rows) in copy {
            transaction.execute(&format!("DELETE FROM {table}"), [])?;
            for row in rows.iter() {
                let places = vec!["?"; row.len()].join(",");
                let sql = format!("INSERT INTO {table} VALUES ({places})");
                transaction.execute(&sql, params_from_iter(row))?;
            }
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Lets the rows be those of a program that understood the log differently.
    ///
    /// # Errors
    /// When SQLite refuses, as before the first start.
    pub fn outdate(&self) -> Result<()> {
        let sql = format!("UPDATE log_source SET fold_version = {}", FOLD_VERSION + 1);
        self.state.lock().connection.execute_batch(&sql)?;
        Ok(())
    }

    /// Whether the rows, if there are any, are this program's.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn is_of_this_fold(&self) -> Result<bool> {
        let sql = format!("SELECT 1 FROM log_source WHERE fold_version <> {FOLD_VERSION}");
        Ok(self.read(&sql)?.is_empty())
    }

    /// Asks without a network, for the checks at the end.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn read(&self, sql: &str) -> Result<Vec<Vec<Stored>>> {
        Ok(rows(&self.state.lock().connection, sql)?)
    }
}

fn rows(connection: &Connection, sql: &str) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(sql)?;
    let columns = statement.column_count();
    let mut asked = statement.query([])?;
    let mut rows = Vec::new();
    while let Some(row) = asked.next()? {
        rows.push((0..columns).map(|i| row.get(i)).collect::<Result<_, _>>()?);
    }
    Ok(rows)
}

/// A process' connection to the store.
#[derive(Debug)]
pub struct StoreConnection {
    store: Arc<Store>,
    link: Arc<Link>,
}

impl StoreConnection {
    /// The connection of a process.
    pub fn new(store: &Arc<Store>, link: &Arc<Link>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(store),
            link: Arc::clone(link),
        })
    }

    async fn ask<T>(
        &self,
        commits: bool,
        step: Option<Step>,
        run: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DatabaseError> {
        self.link.pass().await;
        let world = &self.store.world;
        tokio::time::sleep(world.delay(0..=3)).await;
        if !self.store.state.lock().up || world.strikes(Fault::StoreFails) {
            return Err(DatabaseError::unanswered("the store is down"));
        }
        if let Some(step) = step {
            replays::reached(&self.link, step);
            self.link.pass().await;
        }
        let result = run(&mut self.store.state.lock().connection);
        if let Some(step) = step {
            replays::reached(&self.link, step);
        }
        if commits && world.strikes(Fault::CommitReplyLost) {
            world.say(
                "store",
                format!("{}: the answer to a commit is lost", self.link.name),
            );
            tokio::time::sleep(world.delay(100..=2_000)).await;
            self.link.pass().await;
            return Err(DatabaseError::unanswered("no answer to the commit"));
        }
        tokio::time::sleep(world.delay(0..=3)).await;
        self.link.pass().await;
        result.map_err(|error| DatabaseError::Unreadable(error.to_string()))
    }
}

impl ForeignDatabase for StoreConnection {
    fn select<'a>(
        &'a self,
        sql: &'a str,
        values: &'a [Value<'a>],
    ) -> BoxFuture<'a, Result<Vec<Vec<Cell>>, DatabaseError>> {
        let step = Step::of(sql);
        self.ask(false, step, move |connection| {
            select(connection, sql, values)
        })
        .boxed()
    }

    fn execute<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Result<u64, DatabaseError>> {
        self.ask(true, Step::of(sql), move |connection| {
            connection.execute_batch(sql)?;
            Ok(connection.changes())
        })
        .boxed()
    }

    fn all_or_nothing<'a>(
        &'a self,
        fence: &'a str,
        statements: &'a [String],
    ) -> BoxFuture<'a, Result<bool, DatabaseError>> {
        self.ask(true, Step::of(fence), move |connection| {
            let transaction = connection.transaction()?;
            if transaction.execute(fence, [])? == 0 {
                transaction.rollback()?;
                return Ok(false);
            }
            for statement in statements {
                transaction.execute_batch(statement)?;
            }
            transaction.commit()?;
            Ok(true)
        })
        .boxed()
    }
}

fn select(
    connection: &Connection,
    sql: &str,
    values: &[Value<'_>],
) -> rusqlite::Result<Vec<Vec<Cell>>> {
    let values = values.iter().map(|value| match value {
        Value::Integer(number) => Stored::Integer(*number),
        Value::Text(text) => Stored::Text((*text).to_owned()),
        Value::Bytes(bytes) => Stored::Blob(bytes.to_vec()),
    });
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut asked = statement.query(params_from_iter(values))?;
    let mut rows = Vec::new();
    while let Some(row) = asked.next()? {
        let cell = |column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null | ValueRef::Real(_) => Cell::Null,
                ValueRef::Integer(number) => Cell::Integer(number),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
            })
        };
        rows.push((0..columns).map(cell).collect::<rusqlite::Result<_>>()?);
    }
    Ok(rows)
}
