//! What the columns of `inventory_movements` mean.

use domain::inventory::MovementReason;
use record::{Position, Topic};
use serde::{Deserialize, Serialize};

/// Why the available units of an item changed, in the column `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerReason {
    /// New supply.
    Received,
    /// A customer sent units back.
    Returned,
    /// Units broke.
    Damaged,
    /// Units cannot be found.
    Lost,
    /// The shelf was counted and differs.
    Recount,
    /// An order holds units.
    Order,
    /// A cancelled order gave its units back.
    Cancellation,
}

impl From<MovementReason> for LedgerReason {
    fn from(reason: MovementReason) -> Self {
        match reason {
            MovementReason::Received => Self::Received,
            MovementReason::Returned => Self::Returned,
            MovementReason::Damaged => Self::Damaged,
            MovementReason::Lost => Self::Lost,
            MovementReason::Recount => Self::Recount,
        }
    }
}

/// Who asked for it, in the column `actor`; which user stands in `actor_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerActor {
    /// A user with a token.
    User,
    /// Somebody without a token.
    Anonymous,
    /// The operator, or the program itself.
    Operator,
}

/// The id of a movement: its record's place in the log and its number within the record, big
/// endian, so that ids of one partition are ordered as the log is. The same at every replay.
pub fn movement_id(position: Position, number: u16) -> [u8; 16] {
    let topic = match position.partition.topic {
        Topic::Inventory => 1,
        Topic::Orders => 2,
        Topic::Users | Topic::Epochs | Topic::UserKeys => 0,
    };
    let mut id = [0; 16];
    id[0] = topic;
    id[1..3].copy_from_slice(&position.partition.number.to_be_bytes());
    id[3..11].copy_from_slice(&position.offset.to_be_bytes());
    id[11..13].copy_from_slice(&number.to_be_bytes());
    id
}
