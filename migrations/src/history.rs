//! The JSON of an order's history, in the column `orders.history_json`: an array, oldest first.

use domain::text::Note;
use domain::time::Time;
use record::Actor;
use serde::{Deserialize, Serialize};

/// One step of an order's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The order's version after it.
    pub version: u64,
    /// When.
    pub at: Time,
    /// Who asked for it.
    pub actor: Actor,
    /// What happened.
    #[serde(flatten)]
    pub step: HistoryStep,
}

/// What happened to an order. What was placed stands in the order's own columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum HistoryStep {
    /// It was placed.
    OrderPlaced,
    /// It was cancelled.
    OrderCancelled {
        /// The reason that was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Note>,
    },
}

impl HistoryStep {
    /// The word that names it in answers.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::OrderPlaced => "order-placed",
            Self::OrderCancelled { .. } => "order-cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These texts stand in databases.
    #[test]
    fn the_stored_form_of_a_history_entry_never_changes() {
        let entry = HistoryEntry {
            version: 2,
            at: Time::from_microseconds(1),
            actor: Actor::Operator,
            step: HistoryStep::OrderCancelled {
                reason: Some(Note::parse("late").unwrap()),
            },
        };
        let text = r#"{"version":2,"at":"1970-01-01T00:00:00.000001Z","actor":{"type":"operator"},"type":"order-cancelled","reason":"late"}"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        assert_eq!(serde_json::from_str::<HistoryEntry>(text).unwrap(), entry);
    }
}
