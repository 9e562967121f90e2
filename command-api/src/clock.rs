//! Time and identifiers from outside, so that a test or a simulation can decide them.

use std::fmt;

use domain::time::Time;
use uuid::Uuid;

/// Tells the time. It informs records and ages sessions; no promise of the protocol rests on it.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Now.
    fn now(&self) -> Time;
}

/// Makes identifiers.
pub trait Ids: Send + Sync + fmt::Debug + 'static {
    /// A new id, never handed out before: version 7, so that ids made later sort later.
    fn next(&self) -> Uuid;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        let shift = failpoint::clock_shift_seconds() * 1_000_000;
        Time::from_microseconds(jiff::Timestamp::now().as_microsecond() + shift)
    }
}

/// Random version 7 UUIDs.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}
