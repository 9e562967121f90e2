//! What a change must pass before its tests matter: format, lints, room rules, the compose file.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::checkout;
use crate::run::phase;
use crate::services::docker;
use crate::services::process::run_to_end;

mod rooms;
mod sources;

/// Code that no shipped build has.
const ONLY_IN_TESTS: &str = "holdfast/failpoints,holdfast/planted-oversell,simulation/planted";

/// Runs every check, the quick ones first. The first that fails ends the run.
pub(crate) fn check() -> Result<()> {
    phase("checking the rooms", check_rooms)?;
    phase("cargo fmt", || cargo_passes(&["fmt", "--all", "--check"]))?;
    if docker::has_compose() {
        phase(
            "checking compose.yaml",
            || docker::check(&checkout::root()?),
        )?;
    } else {
        eprintln!("xtask: compose.yaml is not checked, for there is no `docker compose` here");
    }
    for (name, features) in [
        ("cargo clippy", ""),
        ("cargo clippy, of what tests alone build", ONLY_IN_TESTS),
    ] {
        phase(name, || {
            cargo_passes(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--features",
                features,
                "--",
                "-D",
                "warnings",
            ])
        })?;
    }
    Ok(())
}

fn check_rooms() -> Result<()> {
    let crates = rooms::crates(&checkout::metadata()?)?;
    let root = checkout::root()?;
    let mut broken = rooms::broken_rules(&crates);
    for file in sources::rust_files(&root)? {
        let text = fs::read_to_string(root.join(&file))?;
        broken.extend(sources::broken_rules(&file, &text));
    }
    if !broken.is_empty() {
        bail!("A room rule is broken.\n- {}", broken.join("\n- "));
    }
    Ok(())
}

fn cargo_passes(args: &[&str]) -> Result<()> {
    let mut command: Command = checkout::cargo();
    if !run_to_end(command.args(args))?.success() {
        bail!("`cargo {}` found something: see above.", args.join(" "));
    }
    Ok(())
}
