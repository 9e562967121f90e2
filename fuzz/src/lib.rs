//! What comes from outside, read under every input: clients' headers, tokens and files, and the
//! bytes of the log.
//!
//! Each of [`targets`] takes any bytes and panics where something does not hold. libFuzzer drives
//! them (`cargo xtask fuzz`), guided by what code they reach, and keeps what is new in `corpus/`; an
//! ordinary `cargo test` runs what is there and mutations of it.

pub mod targets;

/// A target by its name.
pub struct Target {
    /// As in `fuzz_targets/` and `corpus/`.
    pub name: &'static str,
    /// Runs one input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 10] = [
    Target {
        name: "access_token",
        run: targets::access_token::run,
    },
    Target {
        name: "audit",
        run: targets::audit::run,
    },
    Target {
        name: "consistency_token",
        run: targets::consistency_token::run,
    },
    Target {
        name: "cursor",
        run: targets::cursor::run,
    },
    Target {
        name: "epochs",
        run: targets::epochs::run,
    },
    Target {
        name: "headers",
        run: targets::headers::run,
    },
    Target {
        name: "import",
        run: targets::import::run,
    },
    Target {
        name: "json_body",
        run: targets::json_body::run,
    },
    Target {
        name: "record",
        run: targets::record::run,
    },
    Target {
        name: "text",
        run: targets::text::run,
    },
];
