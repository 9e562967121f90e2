//! The column that lists are searched in: name and SKU without regard to case.
//!
//! Folded here and not by the database, because no two collations agree on what is equal (field
//! report R15). The column is then searched by its bytes, so `%` and `_` mean themselves (R14).

use unicode_normalization::UnicodeNormalization;

/// Stands between name and SKU in the column. Neither can hold it, so no needle spans both.
const BORDER: char = '\n';

/// What the column `inventory.search` holds for an item.
pub fn haystack(name: &str, sku: &str) -> String {
    let mut folded = folded(name);
    folded.push(BORDER);
    folded.push_str(&self::folded(sku));
    folded
}

/// What to look for in [`haystack`], or `None` when nothing can match: control characters are in
/// no name and no SKU.
pub fn needle(query: &str) -> Option<String> {
    let folded = folded(query);
    (!folded.contains(char::is_control)).then_some(folded)
}

/// Folds character by character, never by context: otherwise the final sigma of a needle would not
/// be found in the middle of a word. Down, up and down again makes one of ß, ẞ and ss, and of σ
/// and ς.
fn folded(text: &str) -> String {
    text.nfc()
        .flat_map(char::to_lowercase)
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(query: &str, name: &str) -> bool {
        needle(query).is_some_and(|needle| haystack(name, "SKU-1").contains(&needle))
    }

    #[test]
    fn case_does_not_matter_in_any_script() {
        assert!(finds("STRASSE", "Hauptstraße"));
        assert!(finds("straẞe", "HAUPTSTRASSE"));
        assert!(finds("ΟΔΟΣ", "οδοσήμανση"));
        assert!(finds("cafe\u{301}", "CAFÉ"));
        assert!(finds("sku-1", "anything"));
    }

    #[test]
    fn accents_matter() {
        assert!(!finds("cafe", "Café"));
    }

    #[test]
    fn no_needle_spans_name_and_sku() {
        assert!(!finds("lamp\nsku", "Lamp"));
        assert!(!finds("lampsku", "Lamp"));
    }

    #[test]
    fn the_longest_name_and_sku_fit_the_column() {
        let widest = (0..=u32::from(char::MAX))
            .filter_map(char::from_u32)
            .map(|c| folded(&c.to_string()).len())
            .max();
        let most = widest.expect("there are characters") * 200 + 1 + 64;
        assert!(most <= 2600, "{most}");
    }
}
