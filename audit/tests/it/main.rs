//! Every check goes red for its own fault, and no other does.

mod comparisons;
mod effects;
mod gate;
mod ledger;
mod log;
mod shop;
mod stock;
mod table;
