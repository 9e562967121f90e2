//! READ MODEL → ANSWER.

pub mod read_model;
