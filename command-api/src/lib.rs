//! Command → reservation → log.

pub mod gate;
