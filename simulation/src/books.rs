//! What the clients know: every command, each attempt at it and the answer.

use std::fmt;
use std::time::Duration;

use command_api::commit::CommitError;
use command_api::gate::Refusal;
use domain::ids::{OrderId, UserId};
use domain::user::Role;
use record::Position;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Create or change an item.
    Put {
        /// The item.
        sku: String,
        /// Its price.
        price: i64,
    },
    /// Move stock in or out.
    Move {
        /// The item.
        sku: String,
        /// Units.
        units: i64,
    },
    /// Set what is available.
    Set {
        /// The item.
        sku: String,
        /// Units wanted.
        available: i64,
        /// Units expected.
        expected: i64,
    },
    /// Take no more orders.
    Discontinue {
        /// The item.
        sku: String,
    },
    /// Place an order.
    Place {
        /// Item and units.
        lines: Vec<(String, i64)>,
    },
    /// Cancel an order that was acknowledged.
    Cancel {
        /// Which.
        order: OrderId,
    },
    /// Open an account.
    Register {
        /// The number of its address.
        address: usize,
    },
    /// Change the name of a user who was acknowledged.
    Rename {
        /// Who.
        user: UserId,
        /// The new name.
        name: String,
    },
    /// Change what such a user may do.
    SetRole {
        /// Who.
        user: UserId,
        /// What.
        role: Role,
    },
    /// Log in, with the right password.
    LogIn {
        /// The number of the account's address.
        address: usize,
    },
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { sku, price } => write!(f, "put {sku} at {price}"),
            Self::Move { sku, units } => write!(f, "move {units} of {sku}"),
            Self::Set {
                sku,
                available,
                expected,
            } => write!(f, "set {sku} from {expected} to {available}"),
            Self::Discontinue { sku } => write!(f, "discontinue {sku}"),
            Self::Place { lines } => {
                let lines: Vec<_> = lines.iter().map(|(sku, n)| format!("{n} {sku}")).collect();
                write!(f, "order {}", lines.join(" and "))
            }
            Self::Cancel { order } => {
                write!(f, "cancel order …{}", &order.to_string()[24..])
            }
            Self::Register { address } => write!(f, "register person-{address}"),
            Self::Rename { user, name } => {
                write!(f, "call user …{} {name}", &user.to_string()[24..])
            }
            Self::SetRole { user, role } => {
                write!(f, "make user …{} {role:?}", &user.to_string()[24..])
            }
            Self::LogIn { address } => write!(f, "log in as person-{address}"),
        }
    }
}

/// What an acknowledged command is about, where its answer names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// The item that was asked about.
    Item,
    /// An order.
    Order(OrderId),
    /// A user.
    User(UserId),
}

/// The answer to one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A 2xx.
    Done {
        /// Its consistency token.
        position: Position,
        /// What it is about.
        made: Made,
    },
    /// A rule refuses.
    Refused(Refusal),
    /// Address and password do not fit.
    InvalidCredentials,
    /// A 2xx that says something else than was asked for.
    Wrong(String),
    /// The key was used for something else.
    KeyReused,
    /// This request changed nothing.
    Unavailable(String),
    /// Nobody knows.
    Unknown(String),
}

impl Answer {
    /// The answer that an error is.
    pub fn of(error: CommitError) -> Self {
        match error {
            CommitError::Refused { refusal, .. } => Self::Refused(refusal),
            CommitError::KeyReused => Self::KeyReused,
            CommitError::TooLarge => Self::Unavailable("too large".to_owned()),
            CommitError::Busy => Self::Unavailable("busy".to_owned()),
            CommitError::Unavailable(why) => Self::Unavailable(why),
            CommitError::OutcomeUnknown(why) => Self::Unknown(why),
        }
    }

    /// The word for statistics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Refused(_) | Self::InvalidCredentials => "refused",
            Self::Wrong(_) => "wrong",
            Self::KeyReused => "key reused",
            Self::Unavailable(_) => "unavailable",
            Self::Unknown(_) => "outcome unknown",
        }
    }

    /// Whether trying again with the same key is what a client does now.
    pub fn asks_again(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unknown(_))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { position, .. } => write!(f, "done at {position}"),
            Self::Refused(refusal) => write!(f, "refused: {refusal:?}"),
            Self::InvalidCredentials => f.write_str("invalid credentials"),
            Self::Wrong(what) => write!(f, "done, but with {what}"),
            Self::KeyReused => f.write_str("key reused"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
            Self::Unknown(why) => write!(f, "outcome unknown: {why}"),
        }
    }
}

/// One attempt at a command.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it was sent.
    pub sent: Duration,
    /// When it was answered.
    pub answered: Duration,
    /// The lowest epoch that it can have been decided in, where that is known.
    pub epoch: Option<u64>,
    /// Whether two masters served at some moment of it.
    pub split: bool,
    /// The answer.
    pub answer: Answer,
}

/// One command of a client.
#[derive(Debug, Clone)]
pub struct Command {
    /// What is wanted.
    pub wish: Wish,
    /// Its idempotency key.
    pub key: Option<String>,
    /// The fingerprint of the request.
    pub fingerprint: String,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
}
