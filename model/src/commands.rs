//! What clients ask for, and what a record of it means to whoever folds it: the domain, as small as
//! the promises allow. Everything that a rule speaks of is here once: orders of one or two lines,
//! cancellations, movements of stock, items that come, change their price and go, an e-mail address
//! that is claimed and given up, a log-in that appends nothing.

use crate::state::{ATTEMPTS, SKUS, small};

/// Snapshots of orders.
pub(crate) const PLACED: u8 = 1;
pub(crate) const CANCELLED: u8 = 2;
/// Snapshots of items.
pub(crate) const ACTIVE: u8 = 1;
pub(crate) const DISCONTINUED: u8 = 2;
/// Snapshots of users.
pub(crate) const REGISTERED: u8 = 1;
pub(crate) const GAVE_UP: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Quantities of (SKU, quantity); a quantity of 0 is no line.
    Order {
        lines: [(usize, i8); 2],
    },
    /// Cancels the order that an attempt placed.
    Cancel {
        order: usize,
    },
    /// Supply, or a loss of stock.
    Move {
        sku: usize,
        quantity: i8,
    },
    Create {
        sku: usize,
    },
    Reprice {
        sku: usize,
    },
    Discontinue {
        sku: usize,
    },
    /// Claims the one e-mail address.
    Register,
    /// Gives it up.
    GiveUp {
        user: usize,
    },
    /// Appends nothing: loads the user and answers.
    LogIn {
        user: usize,
    },
}

/// What has to be so before a client sends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    /// An earlier attempt reached a node.
    Begun(usize),
    /// The record of another attempt is valid in the log: people see it.
    InLog(usize),
    /// Another attempt was answered 2xx.
    Answered(usize),
    /// A later epoch is the current one: the client was held up for that long.
    Epoch(u8),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Command {
    pub(crate) kind: Kind,
    /// Its idempotency key, named by the first attempt that carries it.
    pub(crate) key: Option<usize>,
    pub(crate) after: After,
}

pub(crate) fn order(sku: usize, quantity: i8) -> Command {
    lines([(sku, quantity), (sku, 0)])
}

pub(crate) fn lines(lines: [(usize, i8); 2]) -> Command {
    kind(Kind::Order { lines })
}

pub(crate) fn cancel(order: usize) -> Command {
    kind(Kind::Cancel { order }).after(After::InLog(order))
}

pub(crate) fn supply(sku: usize, quantity: i8) -> Command {
    kind(Kind::Move { sku, quantity })
}

pub(crate) fn kind(kind: Kind) -> Command {
    Command {
        kind,
        key: None,
        after: After::Nothing,
    }
}

impl Command {
    pub(crate) fn key(self, key: usize) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    pub(crate) fn after(self, after: After) -> Self {
        Self { after, ..self }
    }

    /// Whether the domain has to see its aggregate before it decides. (An order makes its own; a
    /// movement does not depend on the item's state; what a new item or user needs is checked by
    /// the script.)
    pub(crate) fn loads(&self) -> bool {
        matches!(
            self.kind,
            Kind::Cancel { .. }
                | Kind::Reprice { .. }
                | Kind::Discontinue { .. }
                | Kind::GiveUp { .. }
                | Kind::LogIn { .. }
        )
    }
}

/// The sum of an order's lines per SKU.
pub(crate) fn taken(kind: &Kind) -> [i8; SKUS] {
    let mut sums = [0; SKUS];
    if let Kind::Order { lines } = kind {
        for (sku, quantity) in lines {
            sums[*sku] += quantity;
        }
    }
    sums
}

/// The aggregate that a command is about. `maker` is the attempt whose id an order or user bears.
pub(crate) fn aggregate(kind: &Kind, maker: usize) -> usize {
    match *kind {
        Kind::Order { .. } | Kind::Register => SKUS + maker,
        Kind::Cancel { order } => SKUS + order,
        Kind::GiveUp { user } | Kind::LogIn { user } => SKUS + user,
        Kind::Move { sku, .. }
        | Kind::Create { sku }
        | Kind::Reprice { sku }
        | Kind::Discontinue { sku } => sku,
    }
}

/// The aggregate's snapshot after a command, which may leave it as it is.
pub(crate) fn snapshot_after(kind: &Kind, snapshot: u8) -> u8 {
    match kind {
        Kind::Order { .. } => PLACED,
        Kind::Cancel { .. } => CANCELLED,
        Kind::Move { .. } | Kind::Reprice { .. } | Kind::LogIn { .. } => snapshot,
        Kind::Create { .. } => ACTIVE,
        Kind::Discontinue { .. } => DISCONTINUED,
        Kind::Register => REGISTERED,
        Kind::GiveUp { .. } => GAVE_UP,
    }
}

/// A letter for people.
pub(crate) fn name(attempt: usize) -> char {
    debug_assert!(attempt < ATTEMPTS);
    char::from(b'a' + small(attempt))
}

pub(crate) fn sku_name(sku: usize) -> char {
    char::from(b'X' + small(sku))
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Order { lines } => {
                f.write_str("order")?;
                for (sku, quantity) in lines.iter().filter(|(_, quantity)| *quantity != 0) {
                    write!(f, " {quantity} {}", sku_name(*sku))?;
                }
            }
            Kind::Cancel { order } => write!(f, "cancel the order of {}", name(order))?,
            Kind::Move { sku, quantity } => write!(f, "move {quantity:+} {}", sku_name(sku))?,
            Kind::Create { sku } => write!(f, "create item {}", sku_name(sku))?,
            Kind::Reprice { sku } => write!(f, "reprice {}", sku_name(sku))?,
            Kind::Discontinue { sku } => write!(f, "discontinue {}", sku_name(sku))?,
            Kind::Register => f.write_str("register the e-mail")?,
            Kind::GiveUp { user } => write!(f, "the user of {} gives up the e-mail", name(user))?,
            Kind::LogIn { user } => write!(f, "the user of {} logs in", name(user))?,
        }
        if let Some(key) = self.key {
            write!(f, ", key {key}")?;
        }
        match self.after {
            After::Nothing => Ok(()),
            After::Begun(other) => write!(f, " (once {} was sent)", name(other)),
            After::InLog(other) => write!(f, " (once {} stands in the log)", name(other)),
            After::Answered(other) => write!(f, " (once {} was answered 2xx)", name(other)),
            After::Epoch(epoch) => write!(f, " (once epoch {epoch} is current)"),
        }
    }
}
