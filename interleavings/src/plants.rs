//! Faults that are planted into the copy of command-api that is tested here, one at a time, to
//! show that the scenarios find what they look for. Each is a mistake that was nearly made, or
//! that a tired person makes: a wake-up left out, an order swapped, a condition dropped.
//!
//! Read by the build script too, which puts them in.

use std::cell::Cell;

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// The waiter of a record is registered after the gate decided it.
    RegisteredAfterDecide,
    /// A copy that is seen after its acknowledgement wakes nobody.
    SightWakesNobody,
    /// An acknowledgement that comes after the copy was seen wakes nobody.
    AcknowledgementWakesNobody,
    /// A copy counts as soon as it is seen.
    SightIsEnough,
    /// A waiter that came later is told *void*.
    LaterHearsVoid,
    /// A fence voids a record whose copy was seen before it.
    FenceVoidsWhatWasSeen,
    /// A tail that gives up leaves its waiters behind.
    GivesUpSilently,
    /// What failed to be appended is not appended again.
    NotAppendedAgain,
    /// Questions of two epochs share a call.
    EpochsShareACall,
    /// The first question of the next epoch is lost.
    OvertakenQuestionIsLost,
    /// A call that was repeated is told as if it had run once.
    RepeatIsNotTold,
    /// A call that has ended keeps its place.
    CallKeepsItsPlace,
    /// An aggregate's queue is dropped while somebody waits in it.
    QueueDroppedTooEarly,
    /// A closed epoch is not looked at.
    ClosedIsNotLookedAt,
    /// A record is settled in whatever epoch is open now.
    SettledInAnotherEpoch,
    /// A command under way does not count as one.
    DrainMissesCommands,
    /// Whether a record is in hand is asked first and relied on later.
    InHandIsAskedBefore,
}

impl Plant {
    /// Every one.
    pub const ALL: [Self; 17] = [
        Self::RegisteredAfterDecide,
        Self::SightWakesNobody,
        Self::AcknowledgementWakesNobody,
        Self::SightIsEnough,
        Self::LaterHearsVoid,
        Self::FenceVoidsWhatWasSeen,
        Self::GivesUpSilently,
        Self::NotAppendedAgain,
        Self::EpochsShareACall,
        Self::OvertakenQuestionIsLost,
        Self::RepeatIsNotTold,
        Self::CallKeepsItsPlace,
        Self::QueueDroppedTooEarly,
        Self::ClosedIsNotLookedAt,
        Self::SettledInAnotherEpoch,
        Self::DrainMissesCommands,
        Self::InHandIsAskedBefore,
    ];
}

impl Plant {
    /// The scenario that has to find it.
    pub fn scenario(self) -> &'static str {
        match self {
            Self::SightWakesNobody
            | Self::AcknowledgementWakesNobody
            | Self::SightIsEnough
            | Self::LaterHearsVoid
            | Self::FenceVoidsWhatWasSeen
            | Self::GivesUpSilently
            | Self::NotAppendedAgain => "read_back",
            Self::EpochsShareACall
            | Self::OvertakenQuestionIsLost
            | Self::RepeatIsNotTold
            | Self::CallKeepsItsPlace => "batch",
            Self::QueueDroppedTooEarly => "turns",
            Self::RegisteredAfterDecide => "overtaken",
            Self::DrainMissesCommands => "hung_up",
            Self::InHandIsAskedBefore => "chain",
            Self::ClosedIsNotLookedAt | Self::SettledInAnotherEpoch => "commit",
        }
    }
}

thread_local! {
    static PLANTED: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// Whether this fault is in the code now. All tasks of an execution run on its one thread.
pub fn is(plant: Plant) -> bool {
    PLANTED.get() == Some(plant)
}

/// Plants a fault for what this thread does next, or none.
pub fn put(plant: Option<Plant>) {
    PLANTED.set(plant);
}

/// A text of command-api and what stands in its place in the copy, where `PLANTED` becomes the
/// question whether the fault is in.
pub struct Edit {
    pub plant: Plant,
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

/// Every place.
pub const EDITS: &[Edit] = &[
    Edit {
        plant: Plant::RegisteredAfterDecide,
        file: "commit.rs",
        from: "Some(append) => Some(self.register(attempt, append)?),",
        to: "Some(_) if PLANTED => None, Some(append) => Some(self.register(attempt, append)?),",
    },
    Edit {
        plant: Plant::RegisteredAfterDecide,
        file: "commit.rs",
        from: "let (Some(append), Some(waiter)) = (append, waiter) else {",
        to: "let waiter = match &append { \
                 Some(append) if PLANTED => Some(self.register(attempt, append)?), \
                 _ => waiter, \
             }; \
             let (Some(append), Some(waiter)) = (append, waiter) else {",
    },
    Edit {
        plant: Plant::SightWakesNobody,
        file: "read_back.rs",
        from: "seen.resolve_acknowledged(batch.partition, recent);",
        to: "if !PLANTED { seen.resolve_acknowledged(batch.partition, recent); }",
    },
    Edit {
        plant: Plant::AcknowledgementWakesNobody,
        file: "read_back.rs",
        from: "seen.resolve_acknowledged(partition, recent);",
        to: "if !PLANTED { seen.resolve_acknowledged(partition, recent); }",
    },
    Edit {
        plant: Plant::SightIsEnough,
        file: "read_back.rs",
        from: "acknowledged.is_some_and(|acknowledged| *offset <= acknowledged)",
        to: "PLANTED || acknowledged.is_some_and(|acknowledged| *offset <= acknowledged)",
    },
    Edit {
        plant: Plant::LaterHearsVoid,
        file: "read_back.rs",
        from: "(Sighting::Void, Waiting::Later) => {",
        to: "(Sighting::Void, Waiting::Later) if !PLANTED => {",
    },
    Edit {
        plant: Plant::FenceVoidsWhatWasSeen,
        file: "read_back.rs",
        from: "awaited.epoch < fence && awaited.seen.is_none()",
        to: "awaited.epoch < fence && (PLANTED || awaited.seen.is_none())",
    },
    Edit {
        plant: Plant::GivesUpSilently,
        file: "read_back.rs",
        from: "for (_, awaited) in seen.awaited.drain() {",
        to: "for (_, awaited) in seen.awaited.drain() { \
                 if PLANTED { std::mem::forget(awaited); continue; }",
    },
    Edit {
        plant: Plant::NotAppendedAgain,
        file: "read_back/tail.rs",
        from: "if read_back.is_in_flight(entry.id, entry.partition) {",
        to: "if !PLANTED && read_back.is_in_flight(entry.id, entry.partition) {",
    },
    Edit {
        plant: Plant::EpochsShareACall,
        file: "batch.rs",
        from: "if asked.epoch.number() == epoch.number() =>",
        to: "if PLANTED || asked.epoch.number() == epoch.number() =>",
    },
    Edit {
        plant: Plant::OvertakenQuestionIsLost,
        file: "batch.rs",
        from: "next = Some(asked);",
        to: "if PLANTED { std::mem::forget(asked.answer) } else { next = Some(asked) }",
    },
    Edit {
        plant: Plant::RepeatIsNotTold,
        file: "batch.rs",
        from: "if Instant::now() < deadline => may_have_run = true,",
        to: "if Instant::now() < deadline => may_have_run = !PLANTED,",
    },
    Edit {
        plant: Plant::CallKeepsItsPlace,
        file: "batch.rs",
        from: "drop(permit);",
        to: "if PLANTED { std::mem::forget(permit) } else { drop(permit) }",
    },
    Edit {
        plant: Plant::QueueDroppedTooEarly,
        file: "turns.rs",
        from: "Arc::strong_count(queue) == 1",
        to: "Arc::strong_count(queue) == 1 || PLANTED",
    },
    Edit {
        plant: Plant::ClosedIsNotLookedAt,
        file: "epoch/keeper.rs",
        from: "self.look.notify_one();",
        to: "if !PLANTED { self.look.notify_one(); }",
    },
    Edit {
        plant: Plant::SettledInAnotherEpoch,
        file: "commit.rs",
        from: "self.settle(attempt.epoch, &record, position, Settling::IfOthersWait)",
        to: "let now = if PLANTED { \
                 let mut state = self.keeper.state(); \
                 let is_open = |state: &crate::epoch::EpochState| \
                     matches!(state, crate::epoch::EpochState::Open(_)); \
                 match state.wait_for(is_open).await.as_deref() { \
                     Ok(crate::epoch::EpochState::Open(epoch)) => Some(Arc::clone(epoch)), \
                     _ => None, \
                 } \
             } else { None }; \
             self.settle(now.as_ref().unwrap_or(attempt.epoch), &record, position, Settling::IfOthersWait)",
    },
    Edit {
        plant: Plant::DrainMissesCommands,
        file: "commit.rs",
        from: "let result = this.run(request, &handler).await;",
        to: "let permit = if PLANTED { drop(permit); None } else { Some(permit) }; \
             let result = this.run(request, &handler).await;",
    },
    Edit {
        plant: Plant::InHandIsAskedBefore,
        file: "read_back/tail.rs",
        from: "    fn is_in_flight(&self, record: RecordId",
        to: "    pub(crate) fn is_in_flight(&self, record: RecordId",
    },
    Edit {
        plant: Plant::InHandIsAskedBefore,
        file: "completion.rs",
        from: "if let Some(waiter) = self.read_back.join(id, pending.partition, number) {",
        to: "if PLANTED && self.read_back.is_in_flight(id, pending.partition) { \
                 chain.push(pending); \
                 break; \
             } \
             if let Some(waiter) = self.read_back.join(id, pending.partition, number) {",
    },
];
