//! Bugs that are planted in the commit path: each has to be found.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use command_api::planted::Planted;
use simulation::process::Processes;
use simulation::totals::{Range, run_all};

/// Plants a bug in this process.
pub(crate) fn plant(name: &str) -> Result<()> {
    let bug = Planted::ALL.iter().find(|(known, _)| *known == name);
    let (_, bug) = bug.with_context(|| format!("there is no bug {name}"))?;
    #[cfg(feature = "planted")]
    {
        command_api::planted::plant(*bug);
        Ok(())
    }
    #[cfg(not(feature = "planted"))]
    bail!("{bug:?} cannot be planted in this build: it needs the feature `planted`")
}

/// Looks for a planted bug, or for each of them, and prints a table. Fails if one is not found.
pub(crate) fn hunt(processes: &Processes, name: &str, range: Range) -> Result<ExitCode> {
    let wanted = |(known, _): &&(&str, Planted)| name == "all" || *known == name;
    let bugs: Vec<_> = Planted::ALL.iter().filter(wanted).collect();
    if bugs.is_empty() {
        bail!("there is no bug {name}");
    }
    if cfg!(not(feature = "planted")) {
        bail!("no bug can be planted in this build: it needs the feature `planted`");
    }
    println!(
        "{:<26} {:>16}  promise that broke",
        "planted bug", "found at seed"
    );
    let mut all_found = true;
    for (bug, _) in bugs {
        let processes = Processes {
            planted: Some((*bug).to_owned()),
            ..processes.clone()
        };
        let range = Range {
            stop_at_first: true,
            ..range
        };
        let totals = run_all(
            range,
            |seed| processes.run(seed, false).of_promises_only(),
            |_| {},
        );
        match totals.broken.first() {
            Some(outcome) => {
                let nth = outcome.seed.wrapping_sub(range.from) + 1;
                let found = format!("{nth} of {}", range.count);
                let (promise, what) = match outcome.violations.first() {
                    Some(violation) => (&*violation.promise, &*violation.what),
                    None => ("", ""),
                };
                println!("{bug:<26} {found:>16}  {promise}: {what}");
            }
            None => {
                all_found = false;
                println!(
                    "{bug:<26} {:>16}  NOT FOUND",
                    format!("- of {}", range.count)
                );
            }
        }
    }
    Ok(match all_found {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
