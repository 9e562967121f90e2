//! Where this checkout is, and what cargo says about it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The folder of the workspace that the user stands in, not the one that xtask was built from: the
/// two differ when several worktrees share a target directory.
pub(crate) fn root() -> Result<PathBuf> {
    let manifest = cargo_says(&["locate-project", "--workspace", "--message-format", "plain"])
        .context("Run this inside a checkout of Holdfast.")?;
    let root = Path::new(manifest.trim()).parent();
    Ok(root
        .context("cargo names a manifest without a folder.")?
        .to_owned())
}

/// The workspace's members with their direct dependencies, as `cargo metadata` prints them.
pub(crate) fn metadata() -> Result<Value> {
    let text = cargo_says(&["metadata", "--no-deps", "--format-version", "1"])?;
    serde_json::from_str(&text).context("cargo metadata printed something that is not JSON.")
}

/// A command for the cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// What services need and can be kept between runs and checkouts: the cache directory of the user.
pub(crate) fn cache() -> Result<PathBuf> {
    let directory = |variable: &str| {
        env::var_os(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    Ok(match (directory("XDG_CACHE_HOME"), directory("HOME")) {
        (Some(cache), _) => cache.join("holdfast"),
        (None, Some(home)) => home.join(".cache/holdfast"),
        (None, None) => root()?.join("target/services/cache"),
    })
}

fn cargo_says(args: &[&str]) -> Result<String> {
    let output = cargo()
        .args(args)
        .output()
        .context("cargo cannot be started.")?;
    if !output.status.success() {
        bail!(
            "cargo {} failed:\n{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}
