//! Words in columns (states, roles, reasons): the same words as in records, by the same serde
//! forms, so that a new state of the domain needs nothing here.

use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

/// The word for a value whose serialised form is one word.
///
/// # Panics
/// When it is not: a mistake in the program, found by its first test.
pub fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => panic!("{other:?} is not one word"),
    }
}

/// The value that a word stands for.
///
/// # Errors
/// When no value has that word.
pub fn meaning<'de, T: Deserialize<'de>>(word: &'de str) -> Result<T, Error> {
    let deserializer: StrDeserializer<'de, Error> = word.into_deserializer();
    T::deserialize(deserializer)
}

#[cfg(test)]
mod tests {
    use domain::order::OrderStatus;

    use super::*;

    #[test]
    fn a_word_means_what_it_was_made_of() {
        assert_eq!(word(OrderStatus::Cancelled), "cancelled");
        assert_eq!(meaning("cancelled"), Ok(OrderStatus::Cancelled));
        assert!(meaning::<OrderStatus>("lost").is_err());
    }
}
