//! The room rules: which crate may know which.
//!
//! The tree is the dataflow, and most of what Holdfast promises rests on arrows that do not exist:
//! what cannot reach Redis cannot decide by it. The tables below name every arrow that exists on
//! purpose. They are read here rather than by cargo-deny, because that takes minutes to build where
//! it is missing.

use anyhow::{Context, Result};
use serde_json::Value;

/// A crate of the workspace and those of the workspace that it may use.
struct Room {
    name: &'static str,
    uses: &'static [&'static str],
    /// More that its tests may use.
    tests_use: &'static [&'static str],
}

/// In the workspace's order.
const ROOMS: &[Room] = &[
    Room {
        name: "domain",
        uses: &[],
        tests_use: &[],
    },
    Room {
        name: "record",
        uses: &["domain"],
        tests_use: &[],
    },
    Room {
        name: "event-log",
        uses: &["record"],
        tests_use: &["domain"],
    },
    Room {
        name: "contract",
        uses: &["domain", "record", "personal-data"],
        tests_use: &[],
    },
    Room {
        name: "personal-data",
        uses: &["domain"],
        tests_use: &[],
    },
    Room {
        name: "failpoint",
        uses: &[],
        tests_use: &[],
    },
    Room {
        name: "command-api",
        uses: &[
            "domain",
            "record",
            "event-log",
            "contract",
            "personal-data",
            "failpoint",
        ],
        tests_use: &[],
    },
    Room {
        name: "projectors",
        uses: &["domain", "record", "event-log", "migrations", "failpoint"],
        tests_use: &["query-api"],
    },
    Room {
        name: "query-api",
        uses: &[
            "domain",
            "record",
            "contract",
            "personal-data",
            "migrations",
        ],
        tests_use: &["event-log", "projectors"],
    },
    Room {
        name: "migrations",
        uses: &["domain", "record"],
        tests_use: &[],
    },
    Room {
        name: "audit",
        uses: &[],
        tests_use: &[],
    },
    Room {
        name: "model",
        uses: &[],
        tests_use: &[],
    },
    Room {
        name: "simulation",
        uses: &[
            "domain",
            "record",
            "event-log",
            "personal-data",
            "command-api",
            "projectors",
            "migrations",
            "audit",
        ],
        tests_use: &[],
    },
    Room {
        name: "holdfast",
        uses: &[
            "domain",
            "record",
            "event-log",
            "contract",
            "personal-data",
            "failpoint",
            "command-api",
            "projectors",
            "query-api",
            "migrations",
            "audit",
        ],
        tests_use: &[],
    },
    Room {
        name: "interleavings",
        uses: &[
            "domain",
            "record",
            "event-log",
            "contract",
            "personal-data",
            "failpoint",
        ],
        tests_use: &[],
    },
    Room {
        name: "fuzz",
        uses: &[
            "domain",
            "record",
            "contract",
            "personal-data",
            "command-api",
            "audit",
        ],
        tests_use: &[],
    },
    Room {
        name: "xtask",
        uses: &[],
        tests_use: &[],
    },
];

/// A crate from outside that stays behind the doors of a few rooms.
struct Wrapped {
    name: &'static str,
    known_by: &'static [&'static str],
    /// More rooms whose tests may know it.
    known_by_tests_of: &'static [&'static str],
    because: &'static str,
}

const WRAPPED: &[Wrapped] = &[
    Wrapped {
        name: "redis",
        known_by: &["command-api", "interleavings"],
        known_by_tests_of: &["holdfast"],
        because: "only command-api knows Redis, for only the commit path may decide by it",
    },
    Wrapped {
        name: "rdkafka",
        known_by: &["event-log"],
        known_by_tests_of: &["holdfast"],
        because: "only event-log knows Kafka, so that every reader keeps the same rules of reading",
    },
    Wrapped {
        name: "rusqlite",
        known_by: &["event-log", "simulation"],
        known_by_tests_of: &["holdfast"],
        because: "only event-log knows the SQLite log; read models go through sqlx, and a simulated store runs their statements in its own thread",
    },
    Wrapped {
        name: "sqlx",
        known_by: &["projectors", "query-api", "migrations"],
        known_by_tests_of: &["holdfast"],
        because: "only projectors writes read models, and only it, query-api and migrations speak SQL",
    },
];

/// A room that may use nothing from outside but what is listed. Its tests are free.
struct Closed {
    name: &'static str,
    uses: &'static [&'static str],
    because: &'static str,
}

const CLOSED: &[Closed] = &[
    Closed {
        name: "domain",
        uses: &[
            "cqrs-es",
            "idna",
            "jiff",
            "serde",
            "thiserror",
            "unicode-normalization",
            "uuid",
        ],
        because: "the domain does no I/O, reads no clock and awaits nothing, so that its decisions can be replayed",
    },
    Closed {
        name: "record",
        uses: &[
            "bytes",
            "fnv",
            "jiff",
            "serde",
            "serde_json",
            "sha2",
            "thiserror",
            "uuid",
        ],
        because: "record does no I/O: writers and readers of every log share its bytes",
    },
    Closed {
        name: "contract",
        // tokio for timers and channels: that no socket or file is opened is seen in the sources.
        uses: &[
            "axum",
            "axum-extra",
            "base64",
            "bytes",
            "cqrs-es",
            "ed25519-dalek",
            "futures",
            "hmac",
            "idna",
            "jiff",
            "jsonwebtoken",
            "lru",
            "metrics",
            "parking_lot",
            "percent-encoding",
            "serde",
            "serde_json",
            "serde_path_to_error",
            "sha2",
            "subtle",
            "thiserror",
            "tokio",
            "tower",
            "tower-http",
            "tracing",
            "unicode-normalization",
            "utoipa",
            "utoipa-axum",
            "uuid",
            "zeroize",
        ],
        because: "contract does no I/O and knows no store: it is what both APIs say alike",
    },
    Closed {
        name: "audit",
        uses: &["fnv", "serde", "serde_json", "thiserror", "uuid"],
        because: "the audit reads the log in its own simple way, or it would share the faults that it looks for",
    },
];

/// A crate of the workspace as its manifest describes it.
pub(super) struct Crate {
    name: String,
    arrows: Vec<Arrow>,
}

struct Arrow {
    to: String,
    of_tests: bool,
}

/// Reads the workspace's crates from what `cargo metadata --no-deps` prints.
pub(super) fn crates(metadata: &Value) -> Result<Vec<Crate>> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages.")?;
    packages.iter().map(read_crate).collect()
}

fn read_crate(package: &Value) -> Result<Crate> {
    let name = |value: &Value| value["name"].as_str().map(str::to_owned);
    let dependencies = package["dependencies"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let arrows = dependencies.iter().map(|it| {
        Some(Arrow {
            to: name(it)?,
            of_tests: it["kind"].as_str() == Some("dev"),
        })
    });
    Ok(Crate {
        name: name(package).context("cargo metadata lists a package without a name.")?,
        arrows: arrows
            .collect::<Option<_>>()
            .context("cargo metadata lists a nameless crate.")?,
    })
}

/// One sentence for every arrow that should not be there.
pub(super) fn broken_rules(crates: &[Crate]) -> Vec<String> {
    let members: Vec<&str> = crates.iter().map(|it| it.name.as_str()).collect();
    let mut broken = Vec::new();
    for from in crates {
        let Some(room) = ROOMS.iter().find(|room| room.name == from.name) else {
            broken.push(format!(
                "{} is not in the table of rooms: add it to xtask/src/check/rooms.rs with what it may use.",
                from.name
            ));
            continue;
        };
        let of_members = |arrow: &&Arrow| members.contains(&arrow.to.as_str());
        let reason = |arrow: &Arrow| match of_members(&arrow) {
            true => room.forbids(arrow),
            false => forbids_outsider(room.name, arrow),
        };
        broken.extend(
            from.arrows
                .iter()
                .filter_map(|arrow| Some(sentence(room, arrow, &reason(arrow)?))),
        );
    }
    broken
}

impl Room {
    fn forbids(&self, arrow: &Arrow) -> Option<String> {
        let to = arrow.to.as_str();
        let allowed = self.uses.contains(&to) || (arrow.of_tests && self.tests_use.contains(&to));
        (!allowed).then(|| match self.uses {
            [] => "it uses no other crate of the workspace".to_owned(),
            uses => format!("of the workspace it uses only {}", uses.join(", ")),
        })
    }
}

fn forbids_outsider(room: &str, arrow: &Arrow) -> Option<String> {
    let to = arrow.to.as_str();
    let wrapped = WRAPPED.iter().find(|it| it.name == to).filter(|it| {
        let knows = it.known_by.contains(&room);
        let tests_know = arrow.of_tests && it.known_by_tests_of.contains(&room);
        !knows && !tests_know
    });
    let closed = CLOSED
        .iter()
        .find(|it| it.name == room)
        .filter(|it| !arrow.of_tests && !it.uses.contains(&to));
    wrapped
        .map(|it| it.because)
        .or(closed.map(|it| it.because))
        .map(str::to_owned)
}

fn sentence(room: &Room, arrow: &Arrow, reason: &str) -> String {
    let who = if arrow.of_tests { "The tests of " } else { "" };
    let (from, to) = (room.name, &arrow.to);
    format!(
        "{who}{from} must not use {to}: {reason}. Take it out of {from}/Cargo.toml, or, for a better cut, change the \
         table in xtask/src/check/rooms.rs and say why in ARCHITECTURE.md."
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn broken_by(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        let metadata = json!({"packages": [
            {"name": from, "dependencies": [{"name": to, "kind": kind}]},
            {"name": "domain", "dependencies": []},
            {"name": "record", "dependencies": [{"name": "domain", "kind": null}]},
            {"name": "command-api", "dependencies": []},
        ]});
        broken_rules(&crates(&metadata).unwrap())
    }

    #[test]
    fn arrows_along_the_dataflow_are_allowed() {
        assert_eq!(broken_by("event-log", "record", None), Vec::<String>::new());
        assert_eq!(
            broken_by("event-log", "rdkafka", None),
            Vec::<String>::new()
        );
        assert_eq!(
            broken_by("holdfast", "sqlx", Some("dev")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn an_arrow_from_the_query_side_to_the_command_side_is_named_with_its_reason() {
        let broken = broken_by("query-api", "command-api", None);
        assert_eq!(broken.len(), 1);
        assert!(broken[0].starts_with(
            "query-api must not use command-api: of the workspace it uses only domain, record, contract"
        ));
    }

    #[test]
    fn a_store_is_known_behind_its_own_door_only() {
        for (from, to) in [
            ("query-api", "redis"),
            ("query-api", "rdkafka"),
            ("holdfast", "redis"),
            ("projectors", "rusqlite"),
            ("command-api", "sqlx"),
            ("contract", "sqlx"),
        ] {
            assert_eq!(broken_by(from, to, None).len(), 1, "{from} → {to}");
        }
    }

    #[test]
    fn the_domain_takes_nothing_that_could_do_io() {
        for to in ["tokio", "axum", "rand", "async-trait"] {
            assert_eq!(broken_by("domain", to, None).len(), 1, "{to}");
        }
        assert_eq!(
            broken_by("domain", "tokio", Some("dev")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_audit_does_not_use_what_it_checks() {
        assert_eq!(broken_by("audit", "domain", None).len(), 1);
        assert_eq!(broken_by("audit", "record", Some("dev")).len(), 1);
    }

    #[test]
    fn a_crate_without_a_row_is_refused() {
        let broken = broken_by("billing", "serde", None);
        assert!(broken[0].starts_with("billing is not in the table of rooms"));
    }
}
