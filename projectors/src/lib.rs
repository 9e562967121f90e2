//! LOG → READ MODEL: takes the log into the tables that queries are answered from.
//!
//! In: records of every partition, in order. Out: rows of MySQL, MariaDB or SQLite. In the order
//! in which a record passes them: [`source`] tells which log it is, [`projector`] reads
//! partitions step by step, [`fold`] applies the reader's rule, [`users`], [`orders`],
//! [`inventory`] and [`user_keys`] are the projections, [`changes`] is what a batch comes to, and
//! [`store`] writes it. [`Projectors`] keeps projectors running; [`status`] says how they do.
//! [`replay`](mod@replay) rebuilds everything beside the live tables, and [`digest`](mod@digest) compares.
//!
//! What must stay true:
//! - Rows and checkpoint move in one transaction; two projectors of one partition are told apart
//!   by the checkpoint. So a record counts once, whoever dies when.
//! - A record that cannot be read, or a gap, stops its partition and is named. Nothing is skipped
//!   that was not judged.
//! - The same log gives the same rows, however it is cut into batches and on whatever store.

mod changes;
pub mod digest;
pub mod fold;
mod inventory;
mod orders;
pub mod projector;
pub mod replay;
mod running;
pub mod source;
pub mod status;
pub mod store;
mod user_keys;
mod users;

pub use digest::{Digest, digest};
pub use fold::{Mark, StopReason};
pub use projector::{Progress, Projector, ProjectorError};
pub use replay::{ReplayError, ReplayProgress, Replayed, replay};
pub use running::{NeverCaughtUp, Projectors};
pub use status::PartitionStatus;
pub use store::{FOLD_VERSION, ReadModels, StoreError};
