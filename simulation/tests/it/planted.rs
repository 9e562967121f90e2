//! The test of these tests: a bug that is planted in the commit path is found.

use std::path::Path;

use command_api::planted::Planted;
use simulation::process::Processes;
use simulation::totals::{Range, run_all};

/// Each was found within a third of this many seeds from 1 on.
const SEEDS_MAX: u64 = 300;

#[test]
fn every_planted_bug_is_found() {
    for (bug, _) in Planted::ALL {
        let mut processes = Processes::of(Path::new(env!("CARGO_BIN_EXE_simulation")));
        processes.planted = Some(bug.to_owned());
        let range = Range {
            from: 1,
            count: SEEDS_MAX,
            workers: 2,
            stop_at_first: true,
        };
        let totals = run_all(
            range,
            |seed| processes.run(seed, false).of_promises_only(),
            |_| {},
        );
        let found = totals.broken.first();
        let found = found.unwrap_or_else(|| panic!("{bug} is not found in {SEEDS_MAX} seeds"));
        println!("{bug}: {}", found.told());
    }
}
