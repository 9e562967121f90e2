//! A history as people read it.

use std::fmt::Write as _;

use crate::action::Action;
use crate::commands::name;
use crate::scenario::Scenario;
use crate::state::{ATTEMPTS, Answer, Phase, State, Step};

/// One line per step.
pub(crate) fn steps(first: &State, history: &[(Action, State)]) -> Vec<String> {
    let before = std::iter::once(first).chain(history.iter().map(|(_, after)| after));
    let steps = before.zip(history);
    steps
        .map(|(before, (action, after))| format!("{action}{}", outcome(before, after)))
        .collect()
}

/// One line per partition; fences stand between bars.
pub(crate) fn log(scenario: &Scenario, state: &State) -> Vec<String> {
    let partitions = state.log.iter().enumerate().take(scenario.partitions);
    partitions
        .map(|(index, partition)| {
            let mut line = format!("partition {index}:");
            for entry in partition.entries() {
                let _ = if entry.is_fence() {
                    write!(line, " |{}|", entry.epoch)
                } else {
                    let (by, version) = (name(entry.attempt()), entry.aggregate_version());
                    write!(line, " {by}(epoch {}, version {version})", entry.epoch)
                };
            }
            line
        })
        .collect()
}

/// What a step changed, as far as clients and nodes see it.
fn outcome(before: &State, after: &State) -> String {
    let mut text = String::new();
    for (task, (was, is)) in before.tasks.iter().zip(&after.tasks).enumerate() {
        if was.answer != is.answer && task < ATTEMPTS {
            let answer = match is.answer {
                Answer::Yes => "2xx",
                Answer::No => "refused",
                Answer::Unavailable => "unavailable: nothing changed",
                Answer::Unknown => "outcome unknown",
                Answer::None => "nothing",
            };
            let _ = write!(text, "; {} is answered {answer}", name(task));
        } else if was.step == Step::Decide && is.step != was.step && is.record != 0 {
            let (of, version) = (name(usize::from(is.record) - 1), is.version & 0x0f);
            let _ = write!(text, ": the record of {of}, version {version}");
        }
    }
    for (was, is) in before.recoveries.iter().zip(&after.recoveries) {
        if was.epoch != is.epoch {
            let _ = write!(text, ": epoch {}", is.epoch);
        } else if was.phase != is.phase && is.phase == Phase::Done {
            text.push_str(": done or stopped");
        }
    }
    text
}
