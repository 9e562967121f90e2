//! The command side as a whole, over real logs and gates.

#![expect(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod commit;
mod completion;
mod fold;
mod gate;
mod http;
mod http_contract;
mod http_idempotency;
mod http_import;
mod http_inventory;
mod http_orders;
mod http_sessions;
mod http_users;
mod recovery;
mod snapshots;
mod unreadable;
mod waiting;
