//! The rules that manifests cannot show: how files are named, and what pure rooms take from the
//! standard library.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Folders are named after what they hold in the field's words. These hold whatever nobody found a
/// place for.
const REFUSED_NAMES: &[&str] = &["common", "utils", "types", "helpers"];

/// Words that do not belong into the sources of some rooms; their unit tests are free.
struct Refused {
    rooms: &'static [&'static str],
    words: &'static [&'static str],
    because: &'static str,
}

const REFUSED: &[Refused] = &[
    Refused {
        rooms: &["domain/src", "record/src", "contract/src"],
        words: &[
            "std::fs",
            "std::process",
            "std::env",
            "tokio::fs",
            "tokio::net",
            "tokio::process",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
        ],
        because: "this room does no I/O: let the caller do it",
    },
    Refused {
        rooms: &["domain/src", "record/src"],
        words: &[
            "SystemTime::now",
            "Instant::now",
            "Timestamp::now",
            "Zoned::now",
            "Uuid::now_v7",
            "Uuid::new_v4",
        ],
        because: "this room reads no clock and draws no lots, so that a replay gives the same: let \
                  the caller pass it in",
    },
];

/// Every Rust file of the checkout, by its path in it.
pub(super) fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("{} cannot be read.", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if entry.file_type()?.is_dir() {
                // `target` is what cargo made of the sources, and hidden folders are tools' own.
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                files.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// One sentence for every rule that a file breaks, by its path or by its text.
pub(super) fn broken_rules(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let mut broken = Vec::new();
    for name in path
        .with_extension("")
        .iter()
        .filter_map(|part| part.to_str())
    {
        if REFUSED_NAMES.contains(&name) {
            broken.push(format!(
                "{shown} is in {name:?}: name it after what it holds."
            ));
        }
    }
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(name) = refused_module(line) {
            broken.push(format!(
                "{shown}:{number} opens {name:?}: name it after what it holds."
            ));
        }
    }
    let of_room = |it: &&Refused| it.rooms.iter().any(|room| path.starts_with(room));
    for refused in REFUSED.iter().filter(of_room) {
        let code = text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]");
        for (number, line) in (1..).zip(code) {
            let because = refused.because;
            broken.extend(
                refused
                    .word_in(line)
                    .map(|word| format!("{shown}:{number} uses {word}, but {because}.")),
            );
        }
    }
    broken
}

impl Refused {
    fn word_in(&self, line: &str) -> Option<&'static str> {
        let code = line.split("//").next().unwrap_or(line);
        self.words
            .iter()
            .find(|word| code.contains(**word))
            .copied()
    }
}

/// The refused name of a module that is declared on this line.
fn refused_module(line: &str) -> Option<&str> {
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub"));
    if words.next() != Some("mod") {
        return None;
    }
    let name = words.next()?.trim_end_matches([';', '{']);
    REFUSED_NAMES.contains(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        broken_rules(Path::new(path), text).len()
    }

    #[test]
    fn a_folder_or_module_named_after_nothing_is_refused() {
        assert_eq!(count("record/src/utils/hex.rs", ""), 1);
        assert_eq!(count("record/src/types.rs", ""), 1);
        assert_eq!(
            count(
                "record/src/lib.rs",
                "pub(crate) mod helpers;\nmod common {\n}"
            ),
            2
        );
        assert_eq!(count("record/src/commons.rs", "mod types_of_stock;"), 0);
    }

    #[test]
    fn a_pure_room_reads_no_clock() {
        let line = "let now = Timestamp::now();";
        assert_eq!(count("domain/src/order.rs", line), 1);
        assert_eq!(count("contract/src/token.rs", line), 0);
        assert_eq!(
            count("domain/src/order.rs", "/// Not `Timestamp::now()`."),
            0
        );
        let of_tests = format!("#[cfg(test)]\nmod tests {{\n{line}");
        assert_eq!(count("domain/src/order.rs", &of_tests), 0);
    }

    #[test]
    fn what_both_apis_say_alike_opens_no_socket() {
        let line = "let stream = tokio::net::TcpStream::connect(address).await?;";
        assert_eq!(count("contract/src/token.rs", line), 1);
        assert_eq!(count("query-api/src/http.rs", line), 0);
    }
}
