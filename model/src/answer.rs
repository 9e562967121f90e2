//! What a client is told, and whether it was true.

use crate::commands::{CANCELLED, DISCONTINUED, Kind};
use crate::log::Reading;
use crate::promises::Promise;
use crate::protocol::Protocol;
use crate::state::{ATTEMPTS, Answer, State, Step, Task, bit};

impl Protocol {
    /// The last step before the promise: what a client is told.
    pub(crate) fn answer(&self, state: &mut State, task: usize, answer: Answer) {
        if task >= ATTEMPTS || state.tasks[task].answer != Answer::None {
            return;
        }
        state.tasks[task].answer = answer;
        match answer {
            Answer::No => {
                // One of two masters does not know of attempts on the other: S5's stated limit.
                let epoch = match self.scenario.faults.split {
                    0 => u8::MAX,
                    _ => state.tasks[task].epoch,
                };
                for other in 0..self.attempts() {
                    let begun = state.tasks[other].step != Step::Idle;
                    if begun && self.same_request(other, task) && state.tasks[other].epoch <= epoch
                    {
                        state.denied |= bit(other);
                    }
                }
                let fresh = !state.tasks[task].is(Task::REMEMBERED);
                if fresh && self.is_false_no(state, task) {
                    state.broken |= Promise::NoFalseNo as u8;
                }
            }
            Answer::Unavailable => {
                // Of this request, and of the record that it was told is void.
                state.denied |= bit(task);
                if let Some(record) = state.tasks[task].record.checked_sub(1) {
                    state.denied |= bit(usize::from(record));
                }
            }
            Answer::Yes if state.tasks[task].is(Task::AGREES) => {
                let book = self.fold(state, &Reading::TRUE);
                if book.version[self.aggregate(task)] == 0 {
                    state.broken |= Promise::NothingLost as u8;
                }
            }
            _ => {}
        }
    }

    pub(crate) fn is_false_no(&self, state: &State, task: usize) -> bool {
        let book = self.fold(state, &Reading::TRUE);
        let epoch = state.tasks[task].epoch;
        let aggregate = self.aggregate(task);
        let earlier = |maker: usize| book.is_valid(maker) && book.epoch[maker] <= epoch;
        match *self.kind(task) {
            Kind::Cancel { order: maker } | Kind::GiveUp { user: maker } => {
                earlier(maker) && book.snapshot[aggregate] != CANCELLED
            }
            Kind::LogIn { user } => earlier(user),
            // Given up, but not settled: still a fact, as "out of stock" is.
            Kind::Register => {
                !(0..self.attempts()).any(|it| *self.kind(it) == Kind::Register && earlier(it))
            }
            Kind::Create { .. } => book.version[aggregate] == 0,
            Kind::Order { .. } | Kind::Move { .. } if state.tasks[task].is(Task::REFUSES) => false,
            // Only of "unknown SKU": nothing else of theirs is a fact.
            Kind::Order { lines } => book.exists[lines[0].0],
            Kind::Move { sku, .. } => book.exists[sku],
            Kind::Reprice { .. } | Kind::Discontinue { .. } => {
                book.version[aggregate] != 0 && book.snapshot[aggregate] != DISCONTINUED
            }
        }
    }
}
