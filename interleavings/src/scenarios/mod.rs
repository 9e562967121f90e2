//! What must hold, whatever the schedule.

pub mod batch;
pub mod commit;
pub mod read_back;
pub mod turns;
