//! The gates: one suite for both, and what only a real Redis can show.

mod histories;
mod memory;
pub(crate) mod redis;
