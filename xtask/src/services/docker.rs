//! The same services as containers, by `compose/compose.yaml`, where a Docker engine answers.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use super::{Addresses, process};

/// Whether there is an engine, and the compose plugin to speak to it.
pub(crate) fn is_usable() -> bool {
    says_yes(&["info"]) && has_compose()
}

/// Whether the compose plugin is there; it can check a file without an engine.
pub(crate) fn has_compose() -> bool {
    says_yes(&["compose", "version"])
}

/// Starts the services, without Holdfast's own roles, and waits until they are healthy.
pub(crate) fn up(root: &Path, addresses: &Addresses) -> Result<()> {
    let [node] = addresses.kafka_nodes[..] else {
        bail!("Three Kafka nodes are started without Docker only: add --native.");
    };
    let mut command = compose(root);
    command
        .args(["up", "--detach", "--wait"])
        .env("HOLDFAST_REDIS_PORT", addresses.redis_port.to_string())
        .env("HOLDFAST_KAFKA_PORT", node.port.to_string())
        .env("HOLDFAST_MYSQL_PORT", addresses.mysql_port.to_string());
    run(&mut command)
}

/// Stops the containers; with `purge` their volumes are deleted too.
pub(crate) fn down(root: &Path, purge: bool) -> Result<()> {
    let mut command = compose(root);
    command.arg("down");
    if purge {
        command.arg("--volumes");
    }
    run(&mut command)
}

/// Lists the containers.
pub(crate) fn status(root: &Path) -> Result<()> {
    run(compose(root).arg("ps"))
}

/// Lets compose read its file, roles and proxy included.
pub(crate) fn check(root: &Path) -> Result<()> {
    run(compose(root).args(["--profile", "holdfast", "config", "--quiet"]))
}

fn compose(root: &Path) -> Command {
    let mut command = Command::new("docker");
    command
        .args(["compose", "--file"])
        .arg(root.join("compose/compose.yaml"));
    command
}

fn run(command: &mut Command) -> Result<()> {
    if !process::run_to_end(command)?.success() {
        bail!("docker compose failed: its message is above.");
    }
    Ok(())
}

fn says_yes(args: &[&str]) -> bool {
    Command::new("docker")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
