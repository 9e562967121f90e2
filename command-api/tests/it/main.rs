//! The command side as a whole, over real logs and gates.

mod commit;
mod gate;
mod recovery;
