//! A seed in a process of its own: nothing of an earlier run is left in it, and one that never
//! ends or falls over takes nobody along.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::Outcome;

/// A run that works for longer than this, in seconds, goes round in circles.
const SECONDS_MAX: u64 = 60;

/// How seeds are run.
#[derive(Debug, Clone)]
pub struct Processes {
    /// This crate's program.
    pub program: PathBuf,
    /// The bug that is planted in them.
    pub planted: Option<String>,
}

impl Processes {
    /// Runs of this program.
    pub fn of(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            planted: None,
        }
    }

    /// Runs a seed; with its history where that is wanted.
    pub fn run(&self, seed: u64, history: bool) -> Outcome {
        match self.try_run(seed, history) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::broke(seed, format!("{error:#}")),
        }
    }

    fn try_run(&self, seed: u64, history: bool) -> Result<Outcome> {
        let mut command = Command::new(&self.program);
        command.args(["--seed", &seed.to_string(), "--in-this-process"]);
        if history {
            command.arg("--history");
        }
        if let Some(planted) = &self.planted {
            command.args(["--planted", planted]);
        }
        let output = command.output().context("no process for a seed")?;
        if !output.status.success() {
            bail!("the process of the seed ended with {}", output.status);
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// Ends this process if it works for too long, on however busy a machine.
pub fn end_in_time() {
    let limit = libc::rlimit {
        rlim_cur: SECONDS_MAX,
        rlim_max: SECONDS_MAX,
    };
    // SAFETY: the limit is a valid value that lives until the call returns.
    unsafe { libc::setrlimit(libc::RLIMIT_CPU, &raw const limit) };
}
