//! The simulated gate and log keep the contracts of the real ones, a seed is a history, and no
//! promise breaks in the seeds that are run here.

mod claims;
mod gate;
mod leaderless;
mod log;
#[cfg(feature = "planted")]
mod planted;
mod seeds;
