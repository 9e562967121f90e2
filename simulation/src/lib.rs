//! A SIMULATION OF THE REAL CODE: whole sales with everything that can go wrong, in one thread, from
//! one number.
//!
//! In: a seed. Out: whether the promises of the protocol held in it, and a history that reads like
//! a log. The commit path, keeper, recovery, completion, read-back and projectors are the ones that
//! are shipped; what is simulated is what lies outside of them: [`gate`], [`log`] and [`store`],
//! the network in between, time, identifiers, and the clients.
//!
//! What must stay true: **a seed is a history.** Nothing here asks the machine for time, randomness
//! or threads (see [`randomness`]): time stands still while there is something to do and jumps to the
//! next timer when there is not. So every failure can be repeated, and read.
//!
//! In the order of a run: [`plan`] says what a seed means, [`node`], [`team`] and [`clients`] run in
//! the [`site`], [`nemesis`],
//! [`recovery`] and [`replays`] do harm and put in order, [`checks`] looks at what is left,
//! [`mod@run`] does all of it.

pub mod books;
pub mod checks;
pub mod clients;
pub mod gate;
pub mod link;
pub mod log;
pub mod measured;
pub mod nemesis;
pub mod node;
pub mod people;
pub mod plan;
pub mod process;
pub mod randomness;
pub mod recovery;
pub mod replays;
pub mod run;
pub mod shop;
pub mod site;
pub mod snapshots;
pub mod store;
pub mod team;
pub mod totals;
pub mod versions;
pub mod world;
