//! Runs the checker, and keeps what it found.

use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::claims::{Duel, Signs};
use crate::history;
use crate::promises::Promise;
use crate::protocol::Protocol;
use crate::rules::Rule;
use crate::scenario::Scenario;

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
    /// What else it breaks, and in how many steps.
    pub(crate) then: Option<(Promise, usize)>,
    /// One line per step.
    pub(crate) history: Vec<String>,
    /// What stands in the log in the end.
    pub(crate) log: Vec<String>,
}

/// Explores a scenario without some rules, breadth-first and on one thread, until a promise is
/// broken or every state was seen.
pub(crate) fn explore(scenario: &Scenario, without: &[Rule]) -> Explored {
    explore_asking(scenario, without, &Promise::ALL)
}

/// The same, until one of some promises is broken.
pub(crate) fn explore_asking(
    scenario: &Scenario,
    without: &[Rule],
    promises: &[Promise],
) -> Explored {
    if let Some(signs) = scenario.claims {
        return explore_claims(signs, without);
    }
    let protocol = Protocol::new(scenario.clone(), without).asking(promises);
    search(protocol.clone(), |path| {
        let states = path.into_vec();
        let first = states[0].0;
        let last = states[states.len() - 1].0;
        let (promise, how) = protocol.broken(&last)?;
        let actions = states.iter().filter_map(|(_, action)| *action);
        let after = states.iter().skip(1).map(|(state, _)| *state);
        let steps: Vec<_> = actions.zip(after).collect();
        Some(Broken {
            promise,
            how,
            then: None,
            history: history::steps(&first, &steps),
            log: history::log(scenario, &last),
        })
    })
}

fn explore_claims(signs: Signs, without: &[Rule]) -> Explored {
    let duel = Duel {
        signs,
        without: without.to_vec(),
    };
    search(duel.clone(), |path| {
        let states = path.into_vec();
        let steps = states.windows(2).filter_map(|pair| match pair {
            [(before, Some(tick)), (after, _)] => Some(Duel::describe(before, *tick, after)),
            _ => None,
        });
        Some(Broken {
            promise: Promise::NothingLeaks,
            how: duel.broken(&states[states.len() - 1].0)?,
            then: None,
            history: steps.collect(),
            log: Vec::new(),
        })
    })
}

fn search<M>(model: M, tell: impl Fn(Path<M::State, M::Action>) -> Option<Broken>) -> Explored
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + PartialEq + std::fmt::Debug + std::hash::Hash + Send + Sync,
    M::Action: Clone + PartialEq + std::fmt::Debug,
{
    let start = Instant::now();
    let checker = model
        .checker()
        .threads(1)
        .target_state_count(STEPS_MAX)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let broken = checker.discoveries().into_values().next().and_then(tell);
    Explored {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        time: start.elapsed(),
        finished: broken.is_some() || checker.state_count() < STEPS_MAX,
        broken,
    }
}
