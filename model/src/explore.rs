//! Runs the checker, and keeps what it found.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::action::Action;
use crate::promises::Promise;
use crate::protocol::Protocol;
use crate::rules::Rule;
use crate::scenario::Scenario;
use crate::state::State;

/// A scenario that takes more steps than this is too large for one machine.
const STEPS_MAX: usize = 200_000_000;

/// What an exploration found.
pub(crate) struct Explored {
    pub(crate) states: usize,
    pub(crate) depth: usize,
    pub(crate) time: Duration,
    /// Every state within the bounds was seen, or a promise was broken.
    pub(crate) finished: bool,
    pub(crate) broken: Option<Broken>,
}

pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) how: &'static str,
    pub(crate) history: Vec<(Action, State)>,
    pub(crate) first: State,
}

/// Explores a scenario without some rules, breadth-first and on one thread, until a promise is
/// broken or every state was seen.
pub(crate) fn explore(scenario: &Scenario, without: &[Rule]) -> Explored {
    let protocol = Protocol::new(scenario.clone(), without);
    let start = Instant::now();
    let checker = protocol
        .clone()
        .checker()
        .threads(1)
        .target_state_count(STEPS_MAX)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let broken = checker.discoveries().into_values().next().map(|path| {
        let states = path.into_vec();
        let first = states[0].0;
        let last = states[states.len() - 1].0;
        let (promise, how) = protocol
            .broken(&last)
            .expect("the last state of a discovery breaks a promise");
        let actions = states.iter().filter_map(|(_, action)| *action);
        let after = states.iter().skip(1).map(|(state, _)| *state);
        Broken {
            promise,
            how,
            history: actions.zip(after).collect(),
            first,
        }
    });
    Explored {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        time: start.elapsed(),
        finished: broken.is_some() || checker.state_count() < STEPS_MAX,
        broken,
    }
}
