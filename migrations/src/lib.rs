//! The read models' tables: what they hold, how to reach them and how they come to be.
//!
//! Shared by the two sides that never meet elsewhere: `projectors`, which writes the rows, and
//! `query-api`, which reads them. What both must see alike is stated here once: [`database`] opens
//! either store and reads its rows through one door, [`foreign`] is the door for a third one, [`schema`] creates the tables and tells
//! whether they are there, [`search`] folds text for searching, and [`words`], [`ledger`] and
//! [`history`] say what stands in columns that are not plain. The statements are in `mysql/` and `sqlite/`, side by side.
//!
//! What must stay true: the same log gives the same answers on every store. Hence every text that
//! is compared is compared by its bytes, times and money are plain integers, ids are 16 bytes, and
//! no rule is left to a collation. A migration must be safe beside the running version: it adds,
//! and only a later one takes away.

pub mod database;
mod database_error;
pub mod foreign;
pub mod history;
pub mod ledger;
pub mod lent;
pub mod schema;
pub mod scratch;
pub mod search;
pub mod words;

pub use database::{Database, DatabaseError, Row, Value};
