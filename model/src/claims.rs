//! How claims keep from duelling: the one thing of the protocol that needs time, in a model of its
//! own.
//!
//! Two nodes stand on the two sides of a split of Redis. Each sees the other's claims in `epochs`,
//! and neither sees the other's Redis, so each would recover its own whenever the other's epoch is
//! the newer one. Time passes in ticks. A recovery takes [`RECOVERY`] of them, longer than the first
//! wait; what a node waits before it claims doubles with every claim that led to no `Opened`.
//!
//! Nothing here is needed for safety: an epoch that is displaced is fenced. It is about the system
//! being put in order in the end rather than claimed for ever.

use stateright::{Model, Property};

use crate::rules::Rule;

/// What a recovery takes, in ticks.
const RECOVERY: u8 = 5;
const WAIT_FIRST: u8 = 1;
const WAIT_MAX: u8 = 16;
/// More claims than this in a row without an `Opened` are a duel.
const UNOPENED_MAX: u8 = 5;
/// Ticks that are looked at: time enough for several rounds.
const TICKS: u8 = 120;

/// Whether signs of life reach the other node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signs {
    /// Any of them may be lost.
    MayBeLost,
    /// They arrive within the tick.
    Arrive,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Waits(u8),
    Recovers(u8),
    Serves,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claims {
    nodes: [Node; 2],
    /// Whose claim is the newest.
    newest: usize,
    /// Claims in a row that led to no `Opened`.
    unopened: u8,
    /// An epoch that was open, and whose signs of life arrived, was displaced.
    displaced: bool,
    tick: u8,
}

/// One tick, in which the node that waits gets a sign of life or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    sign: bool,
}

#[derive(Clone)]
pub(crate) struct Duel {
    pub(crate) signs: Signs,
    pub(crate) without: Vec<Rule>,
}

impl Duel {
    fn keeps(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    fn wait(&self, unopened: u8) -> u8 {
        if !self.keeps(Rule::WaitsBeforeClaim) {
            return 0;
        }
        if !self.keeps(Rule::WaitDoubles) {
            return WAIT_FIRST;
        }
        WAIT_FIRST
            .checked_shl(u32::from(unopened))
            .map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX))
    }

    /// Why a state is not what was promised.
    pub(crate) fn broken(&self, state: &Claims) -> Option<&'static str> {
        if state.unopened > UNOPENED_MAX {
            Some("claims follow each other, and no epoch opens")
        } else if state.displaced && self.signs == Signs::Arrive {
            Some("a living epoch was displaced by a claim")
        } else {
            None
        }
    }

    pub(crate) fn describe(before: &Claims, tick: Tick, after: &Claims) -> String {
        let sign = if tick.sign { "a sign of life; " } else { "" };
        let claims = match before.newest == after.newest {
            true => String::new(),
            false => format!("node {} claims; ", after.newest),
        };
        let [one, other] = after.nodes;
        format!(
            "{sign}{claims}node 0 {one}, node 1 {other}, {} claims unopened",
            after.unopened
        )
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Waits(left) => write!(f, "waits {left}"),
            Self::Recovers(left) => write!(f, "recovers {left}"),
            Self::Serves => f.write_str("serves"),
        }
    }
}

impl Model for Duel {
    type State = Claims;
    type Action = Tick;

    /// Node 0 has just claimed, for its Redis lost everything; node 1's is split off and sees it.
    fn init_states(&self) -> Vec<Claims> {
        vec![Claims {
            nodes: [Node::Recovers(RECOVERY), Node::Waits(self.wait(1))],
            newest: 0,
            unopened: 1,
            displaced: false,
            tick: 0,
        }]
    }

    fn actions(&self, _: &Claims, actions: &mut Vec<Tick>) {
        actions.push(Tick { sign: true });
        if self.signs == Signs::MayBeLost {
            actions.push(Tick { sign: false });
        }
    }

    fn next_state(&self, last: &Claims, tick: Tick) -> Option<Claims> {
        let mut state = *last;
        state.tick = last.tick.checked_add(1).filter(|tick| *tick <= TICKS)?;
        let (ahead, behind) = (last.newest, 1 - last.newest);
        if let Node::Recovers(left) = last.nodes[ahead] {
            state.nodes[ahead] = if left > 1 {
                Node::Recovers(left - 1)
            } else {
                // `Opened`: a living epoch.
                state.unopened = 0;
                Node::Serves
            };
        }
        // What is fenced stops, and waits for signs of life of who is ahead.
        let answered = tick.sign && self.keeps(Rule::AsksForSignOfLife);
        state.nodes[behind] = match last.nodes[behind] {
            Node::Waits(_) if answered => Node::Waits(self.wait(state.unopened)),
            Node::Waits(left) if left > 0 => Node::Waits(left - 1),
            Node::Waits(_) => {
                state.displaced |= state.nodes[ahead] == Node::Serves;
                state.newest = behind;
                state.unopened += 1;
                Node::Recovers(RECOVERY)
            }
            Node::Recovers(_) | Node::Serves => Node::Waits(self.wait(state.unopened)),
        };
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("claims do not duel", |duel, state| {
            duel.broken(state).is_none()
        })]
    }
}
