//! What is generated: a shop's opening stock and rounds of commands, those of a round sent at once.
//!
//! Commands are numbered through the whole history and refer to one another by these numbers, so
//! that a history can be read without running it. A command that refers to one that turned out to
//! be refused is passed over when the history is played.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::Index;

/// Few enough that commands meet.
pub(crate) const CUSTOMERS: [&str; 3] = ["Kim", "Lou", "Max"];
/// As above; a history's own SKUs end in these letters.
pub(crate) const SKUS: [&str; 3] = ["A", "B", "C"];
/// The price of every item when a history begins.
pub(crate) const OPENING_PRICE: i64 = 1000;

/// A history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    /// Units of each SKU at first; `None`: it is not in the catalogue.
    pub(crate) opening: Vec<Option<i64>>,
    pub(crate) rounds: Vec<Round>,
}

/// Commands that are sent at once.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    /// What happens while they run.
    pub(crate) fault: Option<Fault>,
    pub(crate) commands: Vec<Numbered>,
}

/// A command and its number in the history.
#[derive(Debug, Clone)]
pub(crate) struct Numbered {
    pub(crate) number: usize,
    pub(crate) command: Command,
}

/// One command, by small numbers. Each has an idempotency key of its own but for the last two.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    /// Lines of (SKU, units); a SKU may stand in several.
    Place {
        customer: usize,
        lines: Vec<(usize, i64)>,
    },
    /// Of the order that the command of this number placed.
    Cancel {
        placed_by: usize,
        by: Canceller,
    },
    Move {
        sku: usize,
        units: i64,
    },
    /// Expects what was available when the round began, or more by this.
    SetStock {
        sku: usize,
        available: i64,
        off_by: i64,
    },
    /// Creates the item or changes its price; makes it active.
    Put {
        sku: usize,
        price: i64,
    },
    Discontinue {
        sku: usize,
    },
    /// The same request again, by its key: of an earlier round, or of this one and so at once.
    Again {
        of: usize,
    },
    /// The key of a request of an earlier round, with another body.
    Reuse {
        of: usize,
    },
}

/// Who wants to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Canceller {
    Owner,
    Staff,
    /// Another customer, to whom the order does not exist.
    Stranger,
}

/// What may happen to the servers while a round's commands run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The whole, or one process of the write side.
    KillServer,
    FlushRedis,
    FlushScripts,
}

/// Histories, with these faults now and then.
pub(crate) fn histories(faults: &'static [Fault]) -> impl Strategy<Value = History> {
    let opening = (
        (0..=6_i64).prop_map(Some),
        (0..=6_i64).prop_map(Some),
        prop::option::weighted(0.7, 0..=6_i64),
    );
    let drafts = prop::collection::vec(draft(), 1..=10);
    let rounds = prop::collection::vec((fault(faults), drafts), 1..=5);
    // What stands first is made shorter first.
    (rounds, opening).prop_map(|(drafts, (a, b, c))| numbered(vec![a, b, c], drafts))
}

fn fault(faults: &'static [Fault]) -> BoxedStrategy<Option<Fault>> {
    if faults.is_empty() {
        return Just(None).boxed();
    }
    prop::option::of(prop::sample::select(faults)).boxed()
}

/// A command that does not know yet what stands before it.
#[derive(Debug, Clone)]
enum Draft {
    Whole(Command),
    Cancel(Index, Canceller),
    Again(Index),
    Reuse(Index),
}

fn draft() -> impl Strategy<Value = Draft> {
    let sku = || 0..SKUS.len();
    let lines = prop::collection::vec((sku(), 1..=3_i64), 1..=4);
    let canceller = prop_oneof![
        4 => Just(Canceller::Owner),
        2 => Just(Canceller::Staff),
        1 => Just(Canceller::Stranger),
    ];
    let index = any::<Index>;
    prop_oneof![
        8 => (0..CUSTOMERS.len(), lines)
            .prop_map(|(customer, lines)| Draft::Whole(Command::Place { customer, lines })),
        4 => (index(), canceller).prop_map(|(order, by)| Draft::Cancel(order, by)),
        2 => (sku(), (-4..=5_i64).prop_filter("a movement is never of 0", |units| *units != 0))
            .prop_map(|(sku, units)| Draft::Whole(Command::Move { sku, units })),
        1 => (sku(), 0..=6_i64, prop_oneof![3 => Just(0), 1 => Just(1_i64)]).prop_map(
            |(sku, available, off_by)| Draft::Whole(Command::SetStock { sku, available, off_by })
        ),
        2 => (sku(), 1..=9_i64)
            .prop_map(|(sku, price)| Draft::Whole(Command::Put { sku, price: price * 100 })),
        1 => sku().prop_map(|sku| Draft::Whole(Command::Discontinue { sku })),
        3 => index().prop_map(Draft::Again),
        1 => index().prop_map(Draft::Reuse),
    ]
}

/// Numbers the commands and lets them refer to what stands before them. What would refer to
/// nothing is left out.
fn numbered(opening: Vec<Option<i64>>, drafts: Vec<(Option<Fault>, Vec<Draft>)>) -> History {
    let mut rounds: Vec<Round> = vec![];
    // Requests and placements of earlier rounds, and requests up to now.
    let (mut requests, mut placements, mut all) = (vec![], vec![], vec![]);
    let mut next = 1;
    for (fault, drafts) in drafts {
        let mut commands = vec![];
        for draft in drafts {
            let pick = |index: Index, from: &[usize]| {
                (!from.is_empty()).then(|| from[index.index(from.len())])
            };
            let command = match draft {
                Draft::Whole(command) => Some(command),
                Draft::Cancel(index, by) => {
                    pick(index, &placements).map(|placed_by| Command::Cancel { placed_by, by })
                }
                Draft::Again(index) => pick(index, &all).map(|of| Command::Again { of }),
                Draft::Reuse(index) => pick(index, &requests).map(|of| Command::Reuse { of }),
            };
            let Some(command) = command else { continue };
            if !matches!(command, Command::Again { .. } | Command::Reuse { .. }) {
                all.push(next);
            }
            commands.push(Numbered {
                number: next,
                command,
            });
            next += 1;
        }
        requests.clone_from(&all);
        placements.extend(
            commands
                .iter()
                .filter(|numbered| matches!(numbered.command, Command::Place { .. }))
                .map(|numbered| numbered.number),
        );
        rounds.push(Round { fault, commands });
    }
    History { opening, rounds }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "opening stock:")?;
        for (sku, units) in SKUS.iter().zip(&self.opening) {
            match units {
                Some(units) => write!(f, " {sku} {units}")?,
                None => write!(f, " {sku} not in the catalogue")?,
            }
        }
        for (number, round) in self.rounds.iter().enumerate() {
            write!(f, "\nround {}, at once:", number + 1)?;
            for numbered in &round.commands {
                write!(f, "\n  {numbered}")?;
            }
            if let Some(fault) = round.fault {
                write!(f, "\n  and meanwhile {fault}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.number, self.command)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place { customer, lines } => {
                write!(f, "{} orders", CUSTOMERS[*customer])?;
                for (number, (sku, units)) in lines.iter().enumerate() {
                    let comma = if number == 0 { "" } else { "," };
                    write!(f, "{comma} {units} {}", SKUS[*sku])?;
                }
                Ok(())
            }
            Self::Cancel { placed_by, by } => {
                let who = match by {
                    Canceller::Owner => "its owner cancels",
                    Canceller::Staff => "staff cancels",
                    Canceller::Stranger => "a stranger cancels",
                };
                write!(f, "{who} the order of #{placed_by}")
            }
            Self::Move { sku, units } => write!(f, "{units:+} {} moved", SKUS[*sku]),
            Self::SetStock {
                sku,
                available,
                off_by,
            } => {
                write!(f, "{} set to {available}", SKUS[*sku])?;
                match off_by {
                    0 => write!(f, " from what it was"),
                    _ => write!(f, " from {off_by} more than it was"),
                }
            }
            Self::Put { sku, price } => write!(f, "{} put at {price}", SKUS[*sku]),
            Self::Discontinue { sku } => write!(f, "{} discontinued", SKUS[*sku]),
            Self::Again { of } => write!(f, "#{of} again"),
            Self::Reuse { of } => write!(f, "the key of #{of} with another body"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillServer => "the server is killed and started again",
            Self::FlushRedis => "Redis is flushed",
            Self::FlushScripts => "Redis forgets its scripts",
        })
    }
}
