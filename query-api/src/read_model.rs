//! READ MODEL → ANSWER: one function per question, the same answers from every store.
//!
//! [`orders`], [`inventory`] and [`users`] answer about the things themselves, [`progress`] how
//! much of the log is in the rows, [`dump`] all figures at once. [`paging`] keeps lists stable while
//! they are written to.
//!
//! What must stay true: nothing here writes; every question is one statement, so that an answer is
//! of one moment; and text is compared by its bytes (see `migrations`).

pub mod dump;
pub mod inventory;
pub mod orders;
pub mod paging;
pub mod progress;
pub mod users;

use std::path::Path;

pub use dump::{
    Dump, DumpedCheckpoint, DumpedEntry, DumpedItem, DumpedMovement, DumpedOrder, DumpedUser,
    HearMovement,
};
pub use inventory::{Item, ItemsFilter, Movement};
pub use migrations::history::{HistoryEntry, HistoryStep};
pub use migrations::ledger::{LedgerActor, LedgerReason};
pub use migrations::{Database, DatabaseError};
pub use orders::{Order, OrdersFilter};
pub use paging::{After, Page, Paging};
pub use progress::Checkpoint;
pub use users::User;

/// The read models of one shop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadModels {
    database: Database,
}

impl ReadModels {
    /// Reads from this store.
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Reads from MySQL or MariaDB. Connects when first asked.
    ///
    /// # Errors
    /// When the URL is malformed or names no database.
    pub fn mysql(url: &str, connections: u32) -> Result<Self, DatabaseError> {
        Database::mysql(url, connections).map(Self::new)
    }

    /// Reads from a SQLite file, which projectors create and write.
    pub fn sqlite(file: &Path, connections: u32) -> Self {
        Self::new(Database::sqlite_reader(file, connections))
    }

    /// Whether every table that this program asks is there. Until then it is not ready.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn has_schema(&self) -> Result<bool, DatabaseError> {
        migrations::schema::is_current(&self.database).await
    }
}
