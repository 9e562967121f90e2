//! The searches that go on for as long as one likes: schedules of tasks, inputs of readers. Their
//! short forms are ordinary tests.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::checkout;
use crate::run::{exit_code, phase};
use crate::services::process::run_to_end;

/// Runs the scenarios whose name begins like this, each for so many seconds, with a new seed, and
/// without a name also looks for every planted fault. Of the workspace, because then its crates
/// are built already where it was tested.
pub(crate) fn interleavings(scenario: &str, seconds: u32) -> Result<ExitCode> {
    let mut command = checkout::cargo();
    command
        .args([
            "test",
            "--workspace",
            "--test=interleavings",
            "--",
            scenario,
        ])
        .args(["--nocapture", "--test-threads=2"])
        .env("HOLDFAST_INTERLEAVINGS_SECONDS", seconds.to_string());
    Ok(exit_code(phase("interleavings", || {
        run_to_end(&mut command)
    })?))
}

/// What cargo-fuzz is told: no sanitizer, for that needs an unstable compiler and the code has no
/// `unsafe`; and no `cfg(fuzzing)`, under which libraries leave out what makes fuzzing hard.
const BUILD: [&str; 4] = [
    "--sanitizer=none",
    "--no-cfg-fuzzing",
    "--features",
    "libfuzzer",
];

/// Fuzzes one target or all of them, each for so many seconds, and keeps what it found in the
/// corpus, minimised.
pub(crate) fn fuzz(target: Option<&str>, seconds: u32) -> Result<ExitCode> {
    let installed = checkout::cargo().args(["fuzz", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        let installed = phase("installing cargo-fuzz", || {
            run_to_end(checkout::cargo().args(["install", "--locked", "cargo-fuzz"]))
        })?;
        if !installed.success() {
            bail!("cargo-fuzz cannot be installed.");
        }
    }
    let targets = match target {
        Some(target) => vec![target.to_owned()],
        None => targets()?,
    };
    for target in targets {
        let time = format!("-max_total_time={seconds}");
        let found = phase(&target, || {
            run_to_end(cargo_fuzz("run")?.arg(&target).args([
                "--",
                &time,
                "-print_final_stats=1",
                "-max_len=4096",
            ]))
        })?;
        if !found.success() {
            return Ok(exit_code(found));
        }
        phase("minimising the corpus", || {
            run_to_end(cargo_fuzz("cmin")?.arg(&target))
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cargo_fuzz(verb: &str) -> Result<Command> {
    let mut command = checkout::cargo();
    command.current_dir(checkout::root()?);
    command.args(["fuzz", verb]).args(BUILD);
    Ok(command)
}

fn targets() -> Result<Vec<String>> {
    let listed = checkout::cargo()
        .current_dir(checkout::root()?)
        .args(["fuzz", "list"])
        .output()?;
    let names = String::from_utf8(listed.stdout)?;
    Ok(names.lines().map(str::to_owned).collect())
}
